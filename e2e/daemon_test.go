package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopLimit is how long a daemon may take to end once it was asked to.
const stopLimit = time.Minute

// A daemon is cc-ci as an operator runs it: registered, with a config file, a
// process of its own.
type daemon struct {
	w      *world
	config string
	state  string
	cmd    *exec.Cmd
	log    *logbook
	exited chan error
}

// daemon registers a runner for the world's organisation and starts it. The
// settings are lines of YAML over those that fit the lab.
func (w *world) daemon(settings ...string) *daemon {
	w.Helper()
	d := w.register(settings...)
	d.start()
	return d
}

func (w *world) register(settings ...string) *daemon {
	w.Helper()
	dir := shortDir(w)
	d := &daemon{w: w, config: filepath.Join(dir, "config.yml"), state: filepath.Join(dir, "state"), log: &logbook{}}
	lines := map[string]string{
		"state_dir":   d.state,
		"work_dir":    filepath.Join(dir, "jobs"),
		"docker_host": w.lab.Facts.DockerHost,
		"base_domain": w.lab.Facts.Traefik.BaseDomain,
		"ca_file":     w.lab.Facts.Traefik.CAFile,
	}
	var text strings.Builder
	for _, setting := range settings {
		key, _, _ := strings.Cut(setting, ":")
		delete(lines, key)
		fmt.Fprintln(&text, setting)
	}
	for key, value := range lines {
		fmt.Fprintf(&text, "%s: %s\n", key, value)
	}
	token := must(w.admin.RegistrationToken(w.Context(), w.org))(w)
	w.write(d.config, text.String())
	w.write(filepath.Join(dir, "token"), token)
	out, code := w.cli("register", "--instance", w.lab.Facts.Gitea.URL, "--token-file", filepath.Join(dir, "token"),
		"--labels", "cc-ci", "--name", "e2e", "--config", d.config)
	if code != 0 {
		w.Fatalf("cc-ci register: exit code %d\n%s", code, out)
	}
	return d
}

// variant is the daemon's config file with one setting otherwise, under another
// name beside it.
func (w *world) variant(d *daemon, name, key, value string) string {
	w.Helper()
	var text strings.Builder
	for line := range strings.Lines(string(must(os.ReadFile(d.config))(w))) {
		if !strings.HasPrefix(line, key+":") {
			text.WriteString(line)
		}
	}
	fmt.Fprintf(&text, "%s: %s\n", key, value)
	file := filepath.Join(filepath.Dir(d.config), name)
	w.write(file, text.String())
	return file
}

// shortDir is a folder with a short path, since sockets are made below it.
func shortDir(w *world) string {
	dir := must(os.MkdirTemp("", "e2e"))(w)
	w.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) write(path, text string) {
	w.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// cli runs cc-ci and returns what it printed and its exit code.
func (w *world) cli(args ...string) (string, int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.binary, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+w.lab.Facts.DockerHost)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (d *daemon) start() {
	d.w.Helper()
	d.cmd = exec.Command(d.w.binary, "daemon", "--config", d.config)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	// Should the test binary be killed, the daemon goes with it.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.w.Fatal(err)
	}
	d.exited = make(chan error, 1)
	cmd, exited := d.cmd, d.exited
	go func() { exited <- cmd.Wait() }()
	d.w.Cleanup(func() {
		d.stop()
		if d.w.Failed() {
			d.w.Logf("the daemon's log:\n%s", d.log)
		}
	})
}

// stop ends the daemon as systemd does and waits for it.
func (d *daemon) stop() {
	d.w.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	if d.w.Failed() {
		// A job may be left that nobody waits for: the second signal forces its end.
		_ = d.cmd.Process.Signal(syscall.SIGINT)
	}
	d.await()
}

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	d.w.Helper()
	_ = d.cmd.Process.Kill()
	d.await()
}

func (d *daemon) await() {
	d.w.Helper()
	select {
	case err := <-d.exited:
		d.exited <- err
	case <-time.After(stopLimit):
		_ = d.cmd.Process.Kill()
		d.w.Errorf("the daemon did not end within %s\n%s", stopLimit, d.log)
	}
}

// A logbook gathers what a process writes while others read it.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var _ testing.TB = (*world)(nil)
