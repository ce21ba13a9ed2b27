// Package laptop_test runs cc-ci as a maintainer does on a machine with nothing
// but a Docker engine: no swarm, no proxy network, no Traefik, no Gitea. The
// engine must be as it was after each run.
package laptop_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// runLimit ends a run that hangs; nothing is measured here.
const runLimit = 3 * time.Minute

// A laptop is the lab's plain engine with a user's folders.
type laptop struct {
	*testing.T
	lab *lab.Lab
	env []string
}

func newLaptop(t *testing.T) *laptop {
	t.Helper()
	home := t.TempDir()
	l := &laptop{T: t, lab: lab.Current(t)}
	l.env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home+"/state", "XDG_CACHE_HOME="+home+"/cache")
	before := l.census()
	t.Cleanup(func() {
		after := l.census()
		if more, less := after.Without(before), before.Without(after); len(more) > 0 || len(less) > 0 {
			t.Errorf("the engine is not as it was: %v came, %v went", more, less)
		}
	})
	return l
}

// census lists the plain engine's objects; it must not be in swarm mode, which
// is the first thing a run would change.
func (l *laptop) census() swarm.Census {
	l.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	engine, err := swarm.Open(ctx, l.lab.Facts.DockerHost)
	if err != nil {
		l.Fatal(err)
	}
	defer engine.Close()
	if err := engine.Check(ctx, ""); !errors.Is(err, swarm.ErrNoSwarm) {
		l.Fatalf("the engine is in swarm mode (%v): run this in a plain lab, as make test does", err)
	}
	census, err := engine.CensusAll(ctx)
	if err != nil {
		l.Fatal(err)
	}
	return census
}

// command is cc-ci with these arguments.
func (l *laptop) command(args ...string) *exec.Cmd {
	l.Helper()
	ctx, stop := context.WithTimeout(context.Background(), runLimit)
	l.Cleanup(stop)
	cmd := exec.CommandContext(ctx, filepath.Join(l.lab.Repo, "bin", "cc-ci"), args...)
	cmd.Env = l.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs cc-ci to its end.
func (l *laptop) run(args ...string) (string, int) {
	l.Helper()
	cmd := l.command(args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		l.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// hello is the example recipe's folder.
func (l *laptop) hello() string {
	return filepath.Join(l.lab.Repo, "examples", "recipes", "hello")
}

// recipe is the example recipe with a workflow of these steps.
func (l *laptop) recipe(steps string) string {
	l.Helper()
	dir := filepath.Join(l.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS(l.hello())); err != nil {
		l.Fatal(err)
	}
	workflow := "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps:\n" + steps
	if err := os.WriteFile(filepath.Join(dir, ".gitea", "workflows", "ci.yml"), []byte(workflow), 0o644); err != nil {
		l.Fatal(err)
	}
	return dir
}

// TestExitCodes: each way a run can end has its own code and message, and
// leaves the engine as it was.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  func(l *laptop) []string
		code  int
		wants []string
	}{
		{"the example recipe succeeds", func(l *laptop) []string { return []string{"run", l.hello()} }, 0,
			[]string{"turning that on", "answers 200", "secret: present", "all gone", "success"}},
		{"a failing step is a failure", func(l *laptop) []string { return []string{"run", l.recipe("      - run: exit 7\n")} }, 1,
			[]string{"exit code 7", "all gone"}},
		{"a folder that isn't there is wrong usage", func(l *laptop) []string { return []string{"run", "/nowhere"} }, 2,
			[]string{"/nowhere"}},
		{"a job that isn't there is wrong usage", func(l *laptop) []string { return []string{"run", l.hello(), "--job", "tset"} }, 2,
			[]string{"tset", "test"}},
		{"an image for steps that isn't there is the host's fault", func(l *laptop) []string {
			return []string{"run", l.hello(), "--config", l.config("job_image: cc-ci-lab/nowhere:1\ndocker_host: " + l.lab.Facts.DockerHost + "\n")}
		}, 3, []string{"the runner's side", "cc-ci-lab/nowhere:1", "make job-image"}},
		{"a daemon wants swarm mode and says how", func(l *laptop) []string { return []string{"daemon", "--config", l.registered()} }, 3,
			[]string{"docker swarm init"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLaptop(t)
			out, code := l.run(c.args(l)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.wants {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q", want)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// config is a configuration file with this text.
func (l *laptop) config(text string) string {
	l.Helper()
	file := filepath.Join(l.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
	return file
}

// registered is the config of a runner with an identity of nobody's.
func (l *laptop) registered() string {
	l.Helper()
	dir := l.TempDir()
	config := filepath.Join(dir, "config.yml")
	for name, text := range map[string]string{
		config:                              "state_dir: " + dir + "\nwork_dir: " + dir + "/jobs\ndocker_host: " + l.lab.Facts.DockerHost + "\n",
		filepath.Join(dir, "identity.json"): `{"id":1,"uuid":"u","name":"n","token":"t","address":"http://127.0.0.1:1","labels":["cc-ci"]}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			l.Fatal(err)
		}
	}
	return config
}

// await starts cc-ci and returns once it has printed a line with text; rest
// gives the remaining output and the exit code.
func (l *laptop) await(text string, args ...string) (cmd *exec.Cmd, line string, rest func() (string, int)) {
	l.Helper()
	cmd = l.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	var seen bytes.Buffer
	reader := bufio.NewReader(out)
	for !strings.Contains(line, text) {
		if line, err = reader.ReadString('\n'); err != nil {
			l.Fatalf("%v before a line with %q:\n%s", err, text, &seen)
		}
		seen.WriteString(line)
	}
	return cmd, line, func() (string, int) {
		left, _ := io.ReadAll(reader)
		_ = cmd.Wait()
		return string(left), cmd.ProcessState.ExitCode()
	}
}

// TestCtrlC: the first one cancels the job, which still cleans up.
func TestCtrlC(t *testing.T) {
	l := newLaptop(t)
	dir := l.recipe("      - run: echo under way && sleep 600\n      - if: always()\n        run: echo cleaning up\n")
	cmd, _, rest := l.await("under way", "run", dir)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	out, code := rest()
	if code != 130 || !strings.Contains(out, "cleaning up") || !strings.Contains(out, "all gone") {
		t.Errorf("exit code %d, want 130:\n%s", code, out)
	}
}

// TestClosedPipe: a reader that has seen enough, as head has, doesn't leave the
// app behind.
func TestClosedPipe(t *testing.T) {
	l := newLaptop(t)
	cmd := l.command("run", l.recipe("      - run: echo done\n"))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	if _, err := bufio.NewReader(read).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	read.Close()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Errorf("it was ended by %v", err)
	}
}

// TestKeep: the app is held for the maintainer's browser until Ctrl-C, which is
// no failure then.
func TestKeep(t *testing.T) {
	l := newLaptop(t)
	cmd, line, rest := l.await("stays up", "run", "--keep", l.recipe("      - run: echo done\n"))
	url := regexp.MustCompile(`https://\S+`).FindString(line)
	page, err := exec.CommandContext(t.Context(), "curl", "--silent", "--insecure", "--max-time", "20", url).CombinedOutput()
	if err != nil || !strings.Contains(string(page), "secret: present") {
		t.Errorf("curl %s: %v\n%s", url, err, page)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if out, code := rest(); code != 0 || !strings.Contains(out, "all gone") {
		t.Errorf("exit code %d, want 0:\n%s", code, out)
	}
}

// TestKilledRun: what a killed run left, swarm mode included, the next reap
// takes away.
func TestKilledRun(t *testing.T) {
	l := newLaptop(t)
	cmd, _, rest := l.await("under way", "run", l.recipe("      - run: echo under way && sleep 600\n"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest()
	if out, code := l.run("reap", "--dry-run"); code != 0 || !strings.Contains(out, "would be removed") {
		t.Errorf("cc-ci reap --dry-run: exit code %d\n%s", code, out)
	}
	if out, code := l.run("reap"); code != 0 || !strings.Contains(out, ": removed") {
		t.Errorf("cc-ci reap: exit code %d\n%s", code, out)
	}
}
