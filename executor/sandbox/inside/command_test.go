package inside_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

func TestCommandsEnd(t *testing.T) {
	f := startFirst(t, nil)
	plain := filepath.Join(f.run, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(f.run, "lost")
	if err := os.WriteFile(lost, []byte("#!/no/such/shell\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/usr/bin:/bin", "A=one two", "EMPTY="}
	for _, c := range []struct {
		what   string
		argv   []string
		env    []string
		dir    string
		output string
		exit   process.Exit // Error is a part of it
	}{
		{"success", []string{"true"}, env, "/", "", process.Exit{}},
		{"an exit code", []string{"sh", "-c", "exit 7"}, env, "/", "", process.Exit{Code: 7}},
		{"a signal", []string{"sh", "-c", "kill -USR1 $$"}, env, "/", "", process.Exit{Code: 128 + 10, Signal: "SIGUSR1"}},
		{"output without a newline at its end", []string{"printf", "x"}, env, "/", "x", process.Exit{}},
		{"exactly the environment asked for", []string{"/usr/bin/env"}, env, "/", "PATH=/usr/bin:/bin\nA=one two\nEMPTY=\n", process.Exit{}},
		{"the folder asked for", []string{"pwd"}, env, "/usr/bin", "/usr/bin\n", process.Exit{}},
		{"the root when no folder is asked for", []string{"pwd"}, env, "", "/\n", process.Exit{}},
		{"a program by its path from the folder", []string{"./pwd"}, env, "/usr/bin", "/usr/bin\n", process.Exit{}},
		{"nothing to read", []string{"cat"}, env, "/", "", process.Exit{}},
		{"a program that isn't there", []string{"no-such-program"}, env, "/", "", process.Exit{Code: 127, Error: "no-such-program isn't in the image"}},
		{"a path that isn't there", []string{"/no/such"}, env, "/", "", process.Exit{Code: 127, Error: "/no/such doesn't exist"}},
		{"no PATH", []string{"true"}, nil, "/", "", process.Exit{Code: 127, Error: "in no folder of PATH ()"}},
		{"a file that isn't executable", []string{plain}, env, "/", "", process.Exit{Code: 126, Error: "is not executable"}},
		{"a folder as a program", []string{"/usr"}, env, "/", "", process.Exit{Code: 126, Error: "is a folder"}},
		{"a script whose interpreter isn't there", []string{lost}, env, "/", "", process.Exit{Code: 126, Error: "interpreter"}},
		{"no command", nil, env, "/", "", process.Exit{Code: 127, Error: "the command is empty"}},
		{"a folder that isn't there", []string{"true"}, env, "/no/such", "", process.Exit{Code: 126, Error: "/no/such doesn't exist"}},
		{"a file as a folder", []string{"true"}, env, plain, "", process.Exit{Code: 126, Error: "doesn't exist"}},
		{"an argument the kernel doesn't take", []string{"true", strings.Repeat("x", 1<<18)}, env, "/", "", process.Exit{Code: 126, Error: "longer than the kernel takes"}},
		{"a name with a zero byte in it", []string{"true", "a\x00b"}, env, "/", "", process.Exit{Code: 126, Error: "invalid argument"}},
	} {
		output, exit := f.ask(process.Request{Argv: c.argv, Env: c.env, Dir: c.dir}).end()
		if output != c.output {
			t.Errorf("%s: output %q, want %q", c.what, output, c.output)
		}
		said := exit.Error
		if !strings.Contains(said, c.exit.Error) || (c.exit.Error == "") != (said == "") {
			t.Errorf("%s: error %q, want %q in it", c.what, said, c.exit.Error)
		}
		if exit.Error = c.exit.Error; exit != c.exit {
			t.Errorf("%s: exit %+v, want %+v", c.what, exit, c.exit)
		}
	}
}

func TestBothOutputsKeepTheirOrder(t *testing.T) {
	f := startFirst(t, nil)
	output, _ := f.sh("i=0; while [ $i -lt 500 ]; do echo $i; echo $i >&2; i=$((i+1)); done").end()
	var want strings.Builder
	for i := range 500 {
		fmt.Fprintf(&want, "%d\n%d\n", i, i)
	}
	if output != want.String() {
		t.Errorf("the outputs are out of order: %.200q …", output)
	}
}

// A command's last megabyte must arrive though the command has ended long before.
func TestAllOutputArrives(t *testing.T) {
	f := startFirst(t, nil)
	for what, script := range map[string]string{
		"a burst": "head -c 1048576 /dev/zero",
		"a burst beside something that holds the pipe": "sleep 1000 & echo $! > pid; head -c 1048576 /dev/zero",
	} {
		output, exit := f.sh(script).end()
		if len(output) != 1<<20 || exit.Err() != nil {
			t.Errorf("%s: %d bytes of %d, %v", what, len(output), 1<<20, exit.Err())
		}
	}
	pid, err := os.ReadFile(filepath.Join(f.run, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(numbers(t, string(pid))[0], syscall.SIGKILL)
}

// A server that a step starts in the background is there for the next step; it
// neither holds the step up nor dies of its pipe's end.
func TestBackgroundOutlivesItsStep(t *testing.T) {
	f := startFirst(t, nil)
	if err := syscall.Mkfifo(filepath.Join(f.run, "gate"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	output, exit := f.sh("(read go < gate; echo heard; echo late && : > done) & echo $!").end()
	if took := time.Since(begun); took > patience/2 || exit.Err() != nil {
		t.Errorf("the step took %s, %v", took, exit.Err())
	}
	if pid := numbers(t, output)[0]; !alive(pid) {
		t.Errorf("the background process %d didn't outlive the step", pid)
	}
	f.sh("echo go > gate").end()
	eventually(t, "the background process wrote to the output of its ended step and went on", func() bool {
		_, err := os.Stat(filepath.Join(f.run, "done"))
		return err == nil
	})
}

func TestEndlessBackgroundOutputDoesNotHoldTheStep(t *testing.T) {
	f := startFirst(t, nil)
	output, exit := f.sh("echo $$; yes & echo $!").end()
	if exit.Err() != nil {
		t.Error(exit.Err())
	}
	for _, pid := range numbers(t, output) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestStopTakesAllDown(t *testing.T) {
	f := startFirst(t, nil)
	// It is the child in the foreground that says it is ready: a shell that is
	// just starting one can miss SIGINT.
	for what, c := range map[string]struct {
		script string
		grace  time.Duration
		signal string
	}{
		"a child in the foreground":        {"echo $$; sh -c 'echo $$; echo ready; exec sleep 1000'; :", patience, "SIGINT"},
		"children in the background":       {"echo $$; sleep 1000 & echo $!; sleep 1000 & echo $!; echo ready; wait", patience, "SIGINT"},
		"a grandchild":                     {"echo $$; sh -c 'sleep 1000 & echo $!; echo ready; wait'; :", patience, "SIGINT"},
		"a child in a session of its own":  {"echo $$; setsid sleep 1000 & echo $!; echo ready; wait", patience, "SIGINT"},
		"those who ignore it, at the end":  {"trap '' INT TERM; echo $$; sleep 1000 & echo $!; echo ready; while :; do wait; done", 100 * time.Millisecond, "SIGKILL"},
		"those who ignore the first of it": {"trap '' INT; echo $$; sleep 1000 & echo $!; echo ready; while :; do wait; done", 100 * time.Millisecond, "SIGTERM"},
		"all at once without grace":        {"trap '' INT TERM; echo $$; sleep 1000 & echo $!; echo ready; wait", 0, "SIGKILL"},
	} {
		command := f.sh(c.script)
		pids := numbers(t, command.until("ready\n"))
		command.stop(c.grace)
		_, exit := command.end()
		if exit.Signal != c.signal {
			t.Errorf("%s: %+v, want an end by %s", what, exit, c.signal)
		}
		t.Run(what, func(t *testing.T) { wantAllGone(t, pids) })
	}
}

func TestStopLetsACommandTidyUp(t *testing.T) {
	f := startFirst(t, nil)
	command := f.sh("trap 'echo tidied; exit 3' INT; sleep 1000 & echo ready; wait")
	command.until("ready\n")
	command.stop(patience)
	output, exit := command.end()
	if exit.Code != 3 || !strings.HasSuffix(output, "tidied\n") {
		t.Errorf("output %q, exit %+v", output, exit)
	}
}

// Whoever dies on the host takes the command along, however unwilling.
func TestClosedConnectionKills(t *testing.T) {
	f := startFirst(t, nil)
	for what, stopFirst := range map[string]bool{"at once": false, "in the grace": true} {
		command := f.sh("trap '' INT TERM; echo $$; sleep 1000 & echo $!; echo ready; while :; do wait; done")
		pids := numbers(t, command.until("ready\n"))
		if stopFirst {
			command.stop(10 * patience)
		}
		command.conn.Close()
		eventually(t, what+", all processes are gone", func() bool {
			return !slices.ContainsFunc(pids, alive)
		})
	}
}

func TestManyCommandsAtOnce(t *testing.T) {
	f := startFirst(t, nil)
	var all sync.WaitGroup
	for i := range 40 {
		command := f.sh("echo $1; exit $1", fmt.Sprint(i))
		all.Go(func() {
			output, exit := command.end()
			if output != fmt.Sprintln(i) || exit.Code != i {
				t.Errorf("command %d: %q, %+v", i, output, exit)
			}
		})
	}
	all.Wait()
}

func TestOrphansAreReaped(t *testing.T) {
	f := startFirst(t, nil)
	if _, exit := f.sh("for i in 1 2 3 4 5 6 7 8; do (true & sleep 0.01 &) ; done").end(); exit.Err() != nil {
		t.Fatal(exit.Err())
	}
	children := fmt.Sprintf("/proc/%d/task/*/children", f.cmd.Process.Pid)
	eventually(t, "the first process has no children, dead or alive", func() bool {
		lists, err := filepath.Glob(children)
		if err != nil || len(lists) == 0 {
			t.Fatalf("%s: %v", children, err)
		}
		for _, list := range lists {
			if text, err := os.ReadFile(list); err != nil || len(text) > 0 {
				return false
			}
		}
		return true
	})
}

func TestTheFirstProcessEndsOnSIGTERM(t *testing.T) {
	f := startFirst(t, nil)
	command := f.sh("trap '' INT TERM; echo $$; sleep 1000 & echo $!; echo ready; while :; do wait; done")
	pids := numbers(t, command.until("ready\n"))
	f.dial() // one that never says what it wants must not hold it up
	begun := time.Now()
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, exit := command.end(); exit.Signal != "SIGKILL" {
		t.Errorf("the command ended with %+v", exit)
	}
	if err := <-f.done; err != nil {
		t.Errorf("the first process: %v", err)
	}
	if took := time.Since(begun); took > patience/4 {
		t.Errorf("the first process took %s to end", took)
	}
	wantAllGone(t, pids)
}

func TestNonsenseIsAnswered(t *testing.T) {
	f := startFirst(t, nil)
	for what, kind := range map[string]process.Kind{"a stop before a request": process.Halt, "an exit": process.Ended} {
		command := f.dial()
		if err := process.Send(command.conn, kind, struct{}{}); err != nil {
			t.Fatal(err)
		}
		if _, exit := command.end(); exit.Error == "" {
			t.Errorf("%s: %+v, want an error", what, exit)
		}
	}
	// And it goes on.
	if _, exit := f.ask(process.Request{Argv: []string{"/bin/true"}}).end(); exit.Err() != nil {
		t.Error(exit.Err())
	}
}

func TestAnyUserOfTheHostMayConnect(t *testing.T) {
	f := startFirst(t, nil)
	info, err := os.Stat(filepath.Join(f.run, "init.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&fs.ModePerm != 0o777 {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
}
