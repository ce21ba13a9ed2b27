package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nektos/act/pkg/common"
	"github.com/nektos/act/pkg/container"
)

const defaultActPath = "/var/run/act"

// environment is a Place as act sees one. act calls it from one goroutine.
type environment struct {
	job       Job
	place     Place
	record    *recorder
	actions   *actions
	act       folder
	workspace folder
	// cancelled ends with the job's cancellation; forced when it may not even
	// clean up any longer.
	cancelled, forced context.Context

	out      io.Writer
	script   *script // the one written last
	node     string  // its path in the place, once an action needed it
	unpacked map[string]bool
	broken   error // the place's own failure: no fault of the workflow
}

var _ container.ExecutionsEnvironment = (*environment)(nil)

// script is a run: step's text with expressions evaluated.
type script struct{ path, text string }

func newEnvironment(job Job, place Place, record *recorder) *environment {
	e := &environment{
		job: job, place: place, record: record, out: io.Discard,
		act:       folder{container: cmp.Or(job.ActPath, defaultActPath), host: job.Scratch},
		workspace: folder{container: path.Clean(job.Workspace)},
		cancelled: context.Background(),
		forced:    context.Background(),
		unpacked:  map[string]bool{},
	}
	if place != nil {
		e.workspace.host, _ = place.HostPath(job.Workspace)
	}
	return e
}

// baseEnv is what every step's environment begins with; the workflow's, the
// job's and cc-ci's own variables come over it.
func (e *environment) baseEnv() map[string]string {
	base := map[string]string{"HOME": "/root", "LANG": "C.UTF-8"}
	if image, ok := e.place.(ImageEnv); ok {
		for name, value := range image.Environ() {
			base[name] = defang(value)
		}
	}
	base["PATH"] = cmp.Or(e.place.DefaultPath(), base["PATH"])
	base["CI"] = "true"
	base["GITEA_ACTIONS"] = "true"
	base["GITHUB_WORKSPACE"] = e.job.Workspace
	for name, value := range e.GetRunnerContext(context.Background()) {
		base["RUNNER_"+strings.ToUpper(name)] = fmt.Sprint(value)
	}
	return base
}

// Exec runs a command in the place and says in the log how it failed.
func (e *environment) Exec(argv []string, env map[string]string, _, dir string) common.Executor {
	return func(ctx context.Context) error {
		if e.place == nil {
			return errors.New("nothing can run here")
		}
		switch {
		case slices.Equal(argv, nodeProbe):
			_, err := io.WriteString(e.out, nodeStandIn+"\n")
			return err
		case e.forced.Err() != nil:
			// act gives post steps a fresh context even then.
			return ctx.Err()
		case argv[0] == refusal && e.script != nil:
			e.failed("%s", strings.TrimSpace(e.script.text))
			return errReported
		}
		e.announce(argv)
		if argv[0] == nodeStandIn {
			node, err := e.findNode(ctx)
			if err != nil {
				return err
			}
			argv = append([]string{node}, argv[1:]...)
		}
		return e.run(ctx, argv, env, dir)
	}
}

// announce logs a script before its output, as a group that can be folded.
func (e *environment) announce(argv []string) {
	if e.script == nil || !slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, e.script.path) }) {
		return
	}
	text := strings.Trim(e.script.text, "\n")
	shell := strings.ReplaceAll(strings.Join(argv, " "), e.script.path, "{0}")
	e.script = nil
	e.record.group("Run "+firstLine(text), append(strings.Split(text, "\n"), "shell: "+shell))
}

// run is one command with its step's deadline.
func (e *environment) run(ctx context.Context, argv []string, env map[string]string, dir string) error {
	ctx, cancel := e.stepContext(ctx)
	defer cancel()
	command := Command{Env: e.variables(env), Dir: e.dir(dir), Argv: make([]string, len(argv))}
	for i, arg := range argv {
		command.Argv[i] = restore(arg)
	}
	open := false
	command.Stdout = func(output []byte) {
		if len(output) > 0 {
			open = output[len(output)-1] != '\n'
			_, _ = e.out.Write(output)
		}
	}
	err := e.place.Exec(ctx, command)
	var missing *StartError
	if fallback, ok := defaultShell(command.Argv); ok && errors.As(err, &missing) && missing.Code == 127 {
		command.Argv = fallback
		err = e.place.Exec(ctx, command)
	}
	if open {
		_, _ = io.WriteString(e.out, "\n")
	}
	return e.explain(ctx, err)
}

// stepContext ends with the step's timeout-minutes and, unless the step is one
// to go on with then, with the job's cancellation.
func (e *environment) stepContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, done := e.record.limited(ctx)
	if e.record.endures() {
		return ctx, done
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(e.cancelled, func() { cancel(context.Cause(e.cancelled)) })
	return ctx, func() {
		stop()
		cancel(nil)
		done()
	}
}

// explain logs why a command failed, once; its caller only has to pass the
// error on.
func (e *environment) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var exit *ExitError
	var start *StartError
	var limit *errStepTimeout
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &limit):
		e.failed("%v", limit)
	case cause != nil:
		e.record.interrupted()
		e.failed("The step was stopped: %v.", cause)
	case errors.As(err, &exit) && exit.Signal == "" && !exit.OOM:
		e.failed("Process completed with exit code %d.", exit.Code)
	case errors.As(err, &exit):
		e.failed("Process ended with %v.", exit)
	case errors.As(err, &start):
		e.failed("%v.", start)
	default:
		e.broken = err
		e.failed("The sandbox failed: %v.", err)
	}
	return errReported
}

func (e *environment) failed(format string, args ...any) {
	e.record.row(time.Now(), "::error::"+fmt.Sprintf(format, args...))
}

// variables is a step's environment as a list, without what act adds for itself.
func (e *environment) variables(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		if !slices.Contains(hidden, name) {
			list = append(list, name+"="+e.actions.original(restore(value)))
		}
	}
	slices.Sort(list)
	return list
}

func (e *environment) dir(dir string) string {
	if path.IsAbs(dir) {
		return restore(dir)
	}
	return path.Join(e.job.Workspace, restore(dir))
}

// findNode looks node up in the image's own PATH, whatever the steps before
// have put before it.
func (e *environment) findNode(ctx context.Context) (string, error) {
	if e.node != "" {
		return e.node, nil
	}
	var output strings.Builder
	err := e.place.Exec(ctx, Command{
		Argv:   []string{"sh", "-c", "command -v node"},
		Env:    []string{"PATH=" + e.place.DefaultPath()},
		Dir:    "/",
		Stdout: func(text []byte) { output.Write(text) },
	})
	if ctx.Err() != nil {
		return "", e.explain(ctx, err)
	}
	if e.node = strings.TrimSpace(output.String()); err != nil || e.node == "" {
		e.failed("This action needs node, and the job image has none: use an image with node, as new as the action asks for (runs-on label, job_image or container:).")
		return "", errReported
	}
	return e.node, nil
}

// Copy writes act's own files: command files and scripts.
func (e *environment) Copy(dest string, files ...*container.FileEntry) common.Executor {
	return func(context.Context) error {
		for _, file := range files {
			full := path.Join(dest, file.Name)
			name, ok := e.act.rel(full)
			if !ok {
				return fmt.Errorf("%s isn't below %s", full, e.act.container)
			}
			text := restore(file.Body)
			if err := e.act.write(name, fs.FileMode(file.Mode), strings.NewReader(text)); err != nil {
				return fmt.Errorf("writing %s: %w", full, err)
			}
			if file.Mode == 0o755 {
				e.script = &script{path: full, text: text}
			}
		}
		return nil
	}
}

// CopyTarStream brings an action in, once: act asks before each of its stages.
func (e *environment) CopyTarStream(_ context.Context, dest string, content io.Reader) error {
	name, ok := e.act.rel(dest)
	if !ok {
		return fmt.Errorf("%s isn't below %s", dest, e.act.container)
	}
	if e.unpacked[name] {
		return nil
	}
	if err := e.act.unpack(name, content); err != nil {
		return fmt.Errorf("unpacking the action: %w", err)
	}
	e.unpacked[name] = true
	return nil
}

// CopyDir would copy the workspace in, which is bind-mounted already.
func (e *environment) CopyDir(dest, _ string, _ bool) common.Executor {
	return common.NewErrorExecutor(fmt.Errorf("copying to %s: the workspace is mounted, nothing is copied", dest))
}

// GetContainerArchive reads one file: a command file or a local action's
// metadata.
func (e *environment) GetContainerArchive(_ context.Context, source string) (io.ReadCloser, error) {
	if name, ok := e.act.rel(source); ok {
		content, err := e.act.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			content, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		return archive(name, []byte(defang(string(content))))
	}
	name, ok := e.workspace.rel(source)
	if !ok {
		name = path.Base(source)
	}
	content, err := e.actions.metadata(path.Base(name), func(file string) ([]byte, error) {
		if !ok {
			return nil, fs.ErrNotExist
		}
		return e.workspace.read(path.Join(path.Dir(name), file))
	})
	if err != nil {
		return nil, err
	}
	return archive(name, content)
}

// UpdateFromEnv reads a command file into env.
func (e *environment) UpdateFromEnv(source string, env *map[string]string) common.Executor {
	return func(context.Context) error {
		name, ok := e.act.rel(source)
		if !ok {
			return fmt.Errorf("%s isn't below %s", source, e.act.container)
		}
		content, err := e.act.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		variables, err := parseVariables(content)
		if err != nil {
			return fmt.Errorf("%s: %w", commandFiles[path.Base(name)], err)
		}
		for key, value := range variables {
			(*env)[key] = defang(value)
		}
		return nil
	}
}

// commandFiles are the variables that name act's files, for messages.
var commandFiles = map[string]string{
	"envs.txt": "GITHUB_ENV", "outputcmd.txt": "GITHUB_OUTPUT", "statecmd.txt": "GITHUB_STATE",
}

// ReplaceLogWriter changes where output goes; both streams are one.
func (e *environment) ReplaceLogWriter(stdout, _ io.Writer) (io.Writer, io.Writer) {
	old := e.out
	e.out = stdout
	return old, old
}

// GetRunnerContext is the runner context of expressions.
func (e *environment) GetRunnerContext(context.Context) map[string]any {
	arch := map[string]string{"amd64": "X64", "386": "X86", "arm64": "ARM64", "arm": "ARM"}[runtime.GOARCH]
	return map[string]any{
		"name":        cmp.Or(e.job.Env["RUNNER_NAME"], "cc-ci"),
		"os":          "Linux",
		"arch":        cmp.Or(arch, runtime.GOARCH),
		"temp":        "/tmp",
		"tool_cache":  "/opt/hostedtoolcache",
		"environment": "self-hosted",
	}
}

// What follows has nothing to do here: the sandbox is made and removed by its
// own package.

func nothing(context.Context) error { return nil }

// Create does nothing.
func (e *environment) Create(_, _ []string) common.Executor { return nothing }

// Pull does nothing.
func (e *environment) Pull(bool) common.Executor { return nothing }

// Start does nothing.
func (e *environment) Start(bool) common.Executor { return nothing }

// Remove does nothing.
func (e *environment) Remove() common.Executor { return nothing }

// Close does nothing.
func (e *environment) Close() common.Executor { return nothing }

// UpdateFromImageEnv does nothing: baseEnv has the image's variables.
func (e *environment) UpdateFromImageEnv(*map[string]string) common.Executor { return nothing }

// GetHealth is always healthy.
func (e *environment) GetHealth(context.Context) container.Health { return container.HealthHealthy }

// ToContainerPath is the path itself: act is given the container's paths.
func (e *environment) ToContainerPath(path string) string { return path }

// GetActPath is where act's files are in the container.
func (e *environment) GetActPath() string { return e.act.container }

// GetPathVariableName is PATH.
func (e *environment) GetPathVariableName() string { return "PATH" }

// DefaultPathVariable is the image's PATH.
func (e *environment) DefaultPathVariable() string {
	if e.place == nil {
		return ""
	}
	return e.place.DefaultPath()
}

// JoinPathVariable joins with colons.
func (e *environment) JoinPathVariable(paths ...string) string { return strings.Join(paths, ":") }

// IsEnvironmentCaseInsensitive is false.
func (e *environment) IsEnvironmentCaseInsensitive() bool { return false }
