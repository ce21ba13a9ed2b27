package steps_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

// hostPlace runs commands on this machine, in a folder of the test's own. Paths
// in the "container" are the host's.
type hostPlace struct {
	root  string
	path  string
	fail  error // what Exec returns instead of running anything
	mu    sync.Mutex
	argvs [][]string
}

func newPlace(t *testing.T) *hostPlace {
	t.Helper()
	return &hostPlace{root: t.TempDir(), path: os.Getenv("PATH")}
}

func (p *hostPlace) HostPath(container string) (string, bool) {
	return container, strings.HasPrefix(container, p.root)
}

func (p *hostPlace) DefaultPath() string { return p.path }

func (p *hostPlace) Exec(ctx context.Context, command steps.Command) error {
	p.mu.Lock()
	p.argvs = append(p.argvs, command.Argv)
	p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	program := lookPath(command)
	if program == "" {
		return &steps.StartError{Code: 127, Reason: command.Argv[0] + " isn't installed"}
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args, cmd.Env, cmd.Dir = command.Argv, command.Env, command.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// One writer, compared by address: os/exec then copies both from one goroutine.
	output := &writer{command.Stdout}
	cmd.Stdout, cmd.Stderr = output, output
	return asExit(cmd.Run())
}

func asExit(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return &steps.StartError{Code: 126, Reason: err.Error()}
		}
		return nil
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &steps.ExitError{Code: 128 + int(status.Signal()), Signal: status.Signal().String()}
	}
	return &steps.ExitError{Code: exit.ExitCode()}
}

func lookPath(command steps.Command) string {
	if strings.Contains(command.Argv[0], "/") {
		return command.Argv[0]
	}
	for _, variable := range command.Env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			for _, folder := range filepath.SplitList(path) {
				if file := filepath.Join(folder, command.Argv[0]); isFile(file) {
					return file
				}
			}
		}
	}
	return ""
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

type writer struct{ write func([]byte) }

func (w *writer) Write(p []byte) (int, error) {
	w.write(p)
	return len(p), nil
}

// journal is a Sink that keeps all it is told, masking as a reporter does.
type journal struct {
	mu    sync.Mutex
	lines []string
	masks []string
	onRow func(line string)
}

func (j *journal) add(line string) {
	j.lines = append(j.lines, line)
}

func (j *journal) Row(_ time.Time, line string) {
	j.mu.Lock()
	for _, mask := range j.masks {
		line = strings.ReplaceAll(line, mask, "***")
	}
	j.add("  | " + line)
	on := j.onRow
	j.mu.Unlock()
	if on != nil {
		on(line)
	}
}

func (j *journal) StepStarted(step int, _ time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add("step " + string(rune('0'+step)) + " started")
}

func (j *journal) StepFinished(step int, _ time.Time, result string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add("step " + string(rune('0'+step)) + " " + result)
}

func (j *journal) Mask(values ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, value := range values {
		j.masks = append(j.masks, value)
		j.add("mask " + strings.Repeat("*", len(value)))
	}
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n") + "\n"
}

// newJob is a job whose folders are the place's.
func newJob(t *testing.T, p *hostPlace, workflow string) steps.Job {
	t.Helper()
	job := steps.Job{
		Name: "task-1", ID: "test", Workflow: []byte(workflow),
		Context: map[string]string{
			"actor": "mo", "event_name": "push", "ref": "refs/heads/main", "ref_name": "main", "ref_type": "branch",
			"sha": "0123456789012345678901234567890123456789", "repository": "recipes/hello", "repository_owner": "recipes",
			"run_id": "7", "run_number": "3", "run_attempt": "1",
			"server_url": "https://git.example.org/", "api_url": "https://git.example.org/api/v1",
		},
		Event:       []byte(`{"head_commit":{"message":"a change"},"number":4}`),
		Env:         map[string]string{"CC_CI": "true", "CC_CI_URL": "https://hell-abc.ci.example.org", "HOME": p.root},
		Secrets:     map[string]string{"KEY": "s3cret-value", "GITHUB_TOKEN": "tok-123456"},
		Vars:        map[string]string{"COLOUR": "blue"},
		Needs:       map[string]steps.Need{"build": {Result: "success", Outputs: map[string]string{"version": "1.2"}}},
		Token:       "tok-123456",
		InstanceURL: "https://git.example.org",
		ActionsURL:  "https://git.example.org",
		ActionCache: filepath.Join(p.root, "cache"),
		Scratch:     filepath.Join(p.root, "act"),
		ActPath:     filepath.Join(p.root, "act"),
		Workspace:   filepath.Join(p.root, "workspace"),
	}
	for _, folder := range []string{job.Scratch, job.Workspace, job.ActionCache} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return job
}

// run runs a job with a deadline and gives the log with the test's folders cut out.
func run(t *testing.T, p *hostPlace, job steps.Job) (log, result string, outputs map[string]string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sink := &journal{masks: []string{"s3cret-value", "tok-123456"}}
	result, outputs, err = steps.Run(ctx, job, p, sink)
	return strings.ReplaceAll(sink.text(), p.root, "/ROOT"), result, outputs, err
}

// idlePlace runs nothing: what is left is this package's and act's own cost.
type idlePlace struct{ *hostPlace }

func (idlePlace) Exec(context.Context, steps.Command) error { return nil }
