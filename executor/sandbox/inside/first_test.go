package inside_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// patience bounds every wait of the tests; none should come near it.
const patience = 20 * time.Second

// asSandbox makes the test's own program the first process, as cc-ci is in a
// container.
const asSandbox = "CC_CI_TEST_AS_SANDBOX"

func TestMain(m *testing.M) {
	if os.Getenv(asSandbox) != "" {
		os.Exit(inside.Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// first is a first process without a container.
type first struct {
	t    *testing.T
	run  string // folder of the sockets
	cmd  *exec.Cmd
	done chan error
}

// startFirst starts a first process with more arguments and environment.
func startFirst(t *testing.T, args []string, env ...string) *first {
	t.Helper()
	// The name of a test makes t.TempDir too long for a socket's path.
	run, err := os.MkdirTemp("", "sbx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	absent := filepath.Join(run, "absent")
	f := &first{t: t, run: run, done: make(chan error, 1)}
	f.cmd = exec.Command(os.Args[0], append([]string{"-run", run, "-ca", absent, "-bundle", absent}, args...)...)
	f.cmd.Env = append([]string{asSandbox + "=1", "GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir()}, env...)
	f.cmd.Stderr = os.Stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.done <- f.cmd.Wait() }()
	t.Cleanup(func() { _ = f.cmd.Process.Kill() })
	eventually(t, "the first process listens", func() bool {
		conn, err := net.Dial("unix", filepath.Join(run, inside.Socket))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return f
}

// asked is one command under way.
type asked struct {
	t      *testing.T
	conn   *net.UnixConn
	frames *process.Reader
	output bytes.Buffer
}

func (f *first) ask(request process.Request) *asked {
	f.t.Helper()
	command := f.dial()
	if err := process.Send(command.conn, process.Run, request); err != nil {
		f.t.Fatal(err)
	}
	return command
}

// dial is a command not asked for yet.
func (f *first) dial() *asked {
	f.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(f.run, inside.Socket))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &asked{t: f.t, conn: conn.(*net.UnixConn), frames: process.NewReader(conn)}
}

// sh asks for a shell's script.
func (f *first) sh(script string, args ...string) *asked {
	f.t.Helper()
	return f.ask(process.Request{
		Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), Env: []string{"PATH=/usr/bin:/bin"}, Dir: f.run,
	})
}

// until reads output up to and with text.
func (a *asked) until(text string) string {
	a.t.Helper()
	for !strings.Contains(a.output.String(), text) {
		kind, payload, err := a.frames.Next()
		if err != nil || kind != process.Output {
			a.t.Fatalf("waiting for %q after %q: %q %s %v", text, a.output.String(), byte(kind), payload, err)
		}
		a.output.Write(payload)
	}
	return a.output.String()
}

// end reads all output and the exit.
func (a *asked) end() (string, process.Exit) {
	a.t.Helper()
	for {
		kind, payload, err := a.frames.Next()
		switch {
		case err != nil:
			a.t.Fatalf("waiting for the exit after %q: %v", a.output.String(), err)
		case kind == process.Output:
			a.output.Write(payload)
		case kind == process.Ended:
			exit, err := process.Decode[process.Exit](payload)
			if err != nil {
				a.t.Fatal(err)
			}
			if _, _, err := a.frames.Next(); !errors.Is(err, io.EOF) {
				a.t.Errorf("after the exit: %v, want the end of the stream", err)
			}
			return a.output.String(), exit
		}
	}
}

func (a *asked) stop(grace time.Duration) {
	a.t.Helper()
	if err := process.Send(a.conn, process.Halt, process.Stop{Grace: grace}); err != nil {
		a.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		}
	}
}

// numbers reads the pids that a script has printed, one a line.
func numbers(t *testing.T, text string) []int {
	t.Helper()
	var pids []int
	for field := range strings.FieldsSeq(text) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// One that is dead and not reaped yet is a zombie, and does nothing any more.
	state := strings.TrimSpace(string(status[strings.LastIndexByte(string(status), ')')+1:]))
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func wantAllGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives on", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
