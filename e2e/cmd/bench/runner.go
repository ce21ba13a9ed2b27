package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

// A runner is one of the two that are compared: a process, registered for an
// organisation of its own.
type runner struct {
	name   string
	label  string
	org    string
	client *gitea.Client
	gate   *gate  // stands for Gitea to this runner
	logs   string // the folder that the jobs' logs are written to; empty: they aren't

	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has ended
}

type startFunc func(ctx context.Context, b *bench, r *runner, token string) error

// jobImage is what either runner's steps run in.
const jobImage = "cc-ci-job:latest"

const oursConfig = `state_dir: %q
work_dir: %q
docker_host: %q
base_domain: %q
ca_file: %q
job_image: %q
`

// startOurs registers and starts bin/cc-ci.
func startOurs(ctx context.Context, b *bench, r *runner, token string) error {
	dir := filepath.Join(b.dir, "ours")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(oursConfig, filepath.Join(dir, "state"), filepath.Join(dir, "jobs"), b.lab.DockerHost,
		b.lab.Facts.Traefik.BaseDomain, b.lab.Facts.Traefik.CAFile, jobImage)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	binary := filepath.Join(b.lab.Repo, "bin", "cc-ci")
	register := exec.CommandContext(ctx, binary, "register", "--config", config, "--instance", r.gate.URL,
		"--token-file", "-", "--name", "bench", "--labels", r.label)
	register.Stdin = strings.NewReader(token)
	if out, err := register.CombinedOutput(); err != nil {
		return fmt.Errorf("register: %w\n%s", err, out)
	}
	return r.start(dir, exec.Command(binary, "daemon", "--config", config))
}

// startOfficial registers and starts the official runner, without a
// configuration file and with its label mapped to the image that ours uses.
func startOfficial(ctx context.Context, b *bench, r *runner, token string) error {
	dir := filepath.Join(b.dir, "official")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	program := b.lab.Facts.Gitea.Runner
	register := exec.CommandContext(ctx, program, "register")
	register.Dir = dir
	// It asks for these one after the other; as arguments all could read them.
	register.Stdin = strings.NewReader(strings.Join([]string{r.gate.URL, token, "bench", r.label + ":docker://" + jobImage, ""}, "\n"))
	if out, err := register.CombinedOutput(); err != nil {
		return fmt.Errorf("register: %w\n%s", err, out)
	}
	daemon := exec.Command(program, "daemon")
	daemon.Env = append(os.Environ(), "HOME="+dir)
	return r.start(dir, daemon)
}

// start starts the runner's process in its folder.
func (r *runner) start(dir string, cmd *exec.Cmd) error {
	r.log = filepath.Join(dir, "log")
	log, err := os.Create(r.log)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd, r.done = cmd, make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	// A Ctrl-C is for bench, which stops the runners after the measuring.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Ends with the process.
	go func() {
		_ = cmd.Wait() // why it ended is told by its log
		close(r.done)
	}()
	return nil
}

// stop ends the process: it may drain, then it is told again, then killed. What
// it leaves on the engine goes with the lab.
func (r *runner) stop() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		_ = r.cmd.Process.Signal(s) // it may have ended already
		select {
		case <-r.done:
			_ = r.gate.Close()
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// tail is the end of the process's log.
func (r *runner) tail() string {
	b, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}

// push makes a repository of the runner's organisation with these files.
func (r *runner) push(ctx context.Context, name string, files ...fs.FS) error {
	if err := r.client.CreateRepo(ctx, r.org, name); err != nil {
		return err
	}
	repo := r.org + "/" + name
	if _, err := r.client.Push(ctx, repo, "main", "what is measured", files...); err != nil {
		return err
	}
	return r.client.AwaitFilled(ctx, repo, 10*time.Second)
}
