package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
)

// runnerConfig has, for its blanks, the folders of the state and the jobs, the
// identity's file, the engine's address, the base domain and the authority's
// file.
const runnerConfig = `state_dir: %q
work_dir: %q
identity: %q
docker_host: %q
base_domain: %q
ca_file: %q
`

// runner is a `cc-ci daemon`.
type runner struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// startRunner registers bin/cc-ci with the lab's Gitea as an operator does, and
// starts its daemon.
func startRunner(ctx context.Context, l *lab.Lab) (*runner, error) {
	dir := filepath.Join(l.State, "runner")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(runnerConfig, dir, filepath.Join(dir, "jobs"), filepath.Join(dir, "identity.json"),
		l.DockerHost, l.Facts.Traefik.BaseDomain, l.Facts.Traefik.CAFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	binary := filepath.Join(l.Repo, "bin", "cc-ci")
	root, err := l.Gitea()
	if err != nil {
		return nil, err
	}
	token, err := root.RegistrationToken(ctx, showOrg)
	if err != nil {
		return nil, err
	}
	register := exec.CommandContext(ctx, binary, "register", "--config", config,
		"--instance", l.Facts.Gitea.URL, "--token-file", "-", "--name", "lab", "--labels", "cc-ci")
	register.Stdin = strings.NewReader(token)
	register.Env = l.Environ()
	out, err := register.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cc-ci register: %w\n%s", err, out)
	}
	os.Stdout.Write(out)
	return startDaemon(l, binary, config)
}

func startDaemon(l *lab.Lab, binary, config string) (*runner, error) {
	r := &runner{log: filepath.Join(l.State, "log", "cc-ci.log"), done: make(chan struct{})}
	log, err := os.Create(r.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.cmd = exec.Command(binary, "daemon", "--config", config)
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.Env = log, log, l.Environ()
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start cc-ci daemon: %w", err)
	}
	// Ends with the daemon.
	go func() {
		_ = r.cmd.Wait() // its exit code is read where it matters
		close(r.done)
	}()
	return r, nil
}

// stop asks the daemon to end: to drain first, then at once, for nobody waits
// for a job any more. A daemon that had ended by itself is an error.
func (r *runner) stop() error {
	select {
	case <-r.done:
		b, err := os.ReadFile(r.log)
		return errors.Join(fmt.Errorf("cc-ci daemon has ended: %s\n%s", r.cmd.ProcessState, bytes.TrimSpace(b)), err)
	default:
	}
	for range 2 {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
		select {
		case <-r.done:
			return nil
		case <-time.After(2 * time.Second):
		}
	}
	select {
	case <-r.done:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("cc-ci daemon did not end within a minute; its log is %s", r.log)
	}
}
