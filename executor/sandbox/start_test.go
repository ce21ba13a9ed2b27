package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

var _ steps.Place = (*sandbox.Sandbox)(nil)

// jobImage is a Debian with bash, curl, git, jq and node.
const jobImage = "cc-ci-job:latest"

const workspace = "/workspace/owner/repo"

// firstProcess builds the sandbox's first process, which the test's own program
// can't be: it isn't static.
var firstProcess = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cc-ci-first-")
	if err != nil {
		return "", err
	}
	built = dir
	binary := filepath.Join(dir, "cc-ci")
	build := exec.Command("go", "build", "-o", binary, "./testdata/first")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the first process: %w\n%s", err, output)
	}
	return binary, nil
})

// built is the folder that firstProcess made.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// site is what a sandbox is started on.
type site struct {
	t      testing.TB
	engine *swarm.Engine
	owner  swarm.Owner
	spec   sandbox.Spec
}

func newSite(t testing.TB) *site {
	t.Helper()
	engine, err := swarm.Open(t.Context(), lab.Engine(t))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := firstProcess()
	if err != nil {
		t.Fatal(err)
	}
	spec := sandbox.Spec{
		Image: jobImage, Binary: binary, WorkspacePath: workspace,
		RunDir: t.TempDir(), Act: t.TempDir(), Workspace: t.TempDir(), Clone: t.TempDir(),
	}
	owner := swarm.Owner{
		Runner: "sandbox-test", Task: "1",
		Slug:    "test-" + strings.ToLower(rand.Text()[:6]),
		Expires: time.Now().Add(time.Hour),
	}
	s := &site{t: t, engine: engine, owner: owner, spec: spec}
	t.Cleanup(func() {
		s.wantNothingLeft()
		engine.Close()
	})
	return s
}

// start starts a sandbox that goes with the test.
func (s *site) start() *sandbox.Sandbox {
	s.t.Helper()
	box, err := sandbox.Start(s.t.Context(), s.engine, s.owner, s.spec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := box.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return box
}

// wantNothingLeft looks for the owner's objects.
func (s *site) wantNothingLeft() {
	s.t.Helper()
	mine := filters.NewArgs(filters.Arg("label", swarm.LabelSlug+"="+s.owner.Slug))
	api := s.engine.Client()
	containers, err := api.ContainerList(context.Background(), container.ListOptions{All: true, Filters: mine})
	if err != nil || len(containers) > 0 {
		s.t.Errorf("containers left: %v, %v", containers, err)
	}
	networks, err := api.NetworkList(context.Background(), network.ListOptions{Filters: mine})
	if err != nil || len(networks) > 0 {
		s.t.Errorf("networks left: %v, %v", networks, err)
	}
}

// bash runs a script in a sandbox as a step would and returns what it wrote.
func bash(ctx context.Context, box *sandbox.Sandbox, script string) (string, error) {
	var output bytes.Buffer
	env := []string{"PATH=" + box.DefaultPath()}
	for _, more := range []map[string]string{box.ImageEnv(), box.Env()} {
		for name, value := range more {
			if name != "PATH" {
				env = append(env, name+"="+value)
			}
		}
	}
	err := box.Exec(ctx, process.Command{
		Argv: []string{"bash", "-e", "-c", script}, Env: env, Dir: workspace,
		Stdout: func(b []byte) { output.Write(b) },
	})
	return output.String(), err
}

func TestSandboxIsWhatAStepExpects(t *testing.T) {
	s := newSite(t)
	s.spec.ExtraHosts = map[string]string{"app.example.test": "host-gateway", "other.example.test": "127.0.0.1"}
	s.spec.Env = map[string]string{"OURS": "one two"}
	if err := os.WriteFile(filepath.Join(s.spec.Clone, "compose.yml"), []byte("services: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	box := s.start()
	for _, c := range []struct{ what, script, want string }{
		{"root, whoever the image names", "id -u", "0\n"},
		{"the workspace", "pwd", workspace + "\n"},
		{"the job's slug as the host's name", "hostname 2>/dev/null || cat /etc/hostname", s.owner.Slug + "\n"},
		{"cc-ci on the PATH", "command -v cc-ci", "/.cc-ci/cc-ci\n"},
		{"a home", "cd ~; pwd", "/root\n"},
		{"the variables asked for", "echo $OURS", "one two\n"},
		{"names that lead to the host", "getent ahostsv4 app.example.test | grep -c STREAM; getent ahostsv4 other.example.test | grep -o '^127.* STREAM'", "1\n127.0.0.1       STREAM\n"},
		{"no engine's socket", "ls /var/run/docker.sock /run/docker.sock 2>/dev/null | wc -l", "0\n"},
		{"the job's clone, read-only", "cat /.cc-ci/clone/compose.yml; touch /.cc-ci/clone/x 2>/dev/null || echo refused", "services: {}\nrefused\n"},
		{"a cc-ci that it can't change", "(echo x > /.cc-ci/cc-ci) 2>/dev/null || echo refused", "refused\n"},
		{"the engine's capabilities but two", "sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status", "00000000a00405fb\n"},
		{"no devices of its own making", "mknod /tmp/disk b 8 0 2>/dev/null || echo refused", "refused\n"},
		{"packages can change users and owners", "touch f; chown nobody f; setpriv --reuid=65534 --clear-groups id -u", "65534\n"},
		{"a bound on processes", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null || true", "4096\n"},
		{"no zombies", "(true & (true &) ); for i in 1 2 3 4 5 6 7 8 9; do cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' > n || break; done; cat n", "0\n"},
	} {
		got, err := bash(t.Context(), box, c.script)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.what, got, err, c.want)
		}
	}
	if box.IP() == "" {
		t.Error("the sandbox has no address")
	}
}

func TestStepsShareFilesWithTheHost(t *testing.T) {
	s := newSite(t)
	box := s.start()
	if _, err := bash(t.Context(), box, "echo hello > a; mkdir d; echo out=1 > /var/run/act/output"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{workspace + "/a": "hello\n", "/var/run/act/output": "out=1\n"} {
		host, ok := box.HostPath(path)
		if text, err := os.ReadFile(host); !ok || string(text) != want {
			t.Errorf("%s is %s, %v: %q, %v", path, host, ok, text, err)
		}
	}
}

func TestCheckoutInASandbox(t *testing.T) {
	s := newSite(t)
	box := s.start()
	script := `
		export GITHUB_WORKSPACE=$PWD GITHUB_OUTPUT=/var/run/act/output HOME=/root
		cd /.cc-ci; cc-ci sandbox checkout
		cd $GITHUB_WORKSPACE; git diff-index --quiet HEAD; git log -1 --format=%s`
	git := exec.Command("sh", "-c", "git init -q && echo x > f && git add f && git -c user.name=a -c user.email=a@b commit -q -m begin && chown -R 12345 .")
	git.Dir = s.spec.Clone
	if output, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, output)
	}
	if err := os.Chown(s.spec.Workspace, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	output, err := bash(t.Context(), box, script)
	if err != nil || !strings.HasSuffix(output, "begin\n") {
		t.Errorf("%q, %v", output, err)
	}
}

func TestStartRefuses(t *testing.T) {
	s := newSite(t)
	dynamic, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func(*sandbox.Spec)
		says   string
	}{
		"an image that isn't there":    {func(s *sandbox.Spec) { s.Image = "cc-ci-lab/absent:1" }, "the engine has no image cc-ci-lab/absent:1"},
		"a program that isn't Linux's": {func(s *sandbox.Spec) { s.Binary = script }, "isn't a Linux program"},
		"a relative folder":            {func(s *sandbox.Spec) { s.Act = "act" }, `"act" isn't given from the root`},
		"a relative workspace":         {func(s *sandbox.Spec) { s.WorkspacePath = "repo" }, "doesn't begin at the root"},
		"no image":                     {func(s *sandbox.Spec) { s.Image = "" }, "needs an image"},
		"a folder that isn't there":    {func(s *sandbox.Spec) { s.Clone = "/no/such/clone" }, "/no/such/clone"},
		"a first process that ends":    {func(s *sandbox.Spec) { s.Router = "192.0.2.1:80" }, "only a loopback address is forwarded"},
	} {
		spec := s.spec
		c.change(&spec)
		_, err := sandbox.Start(t.Context(), s.engine, s.owner, spec)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", what, err, c.says)
		}
		s.wantNothingLeft()
		var missing *sandbox.MissingImageError
		if errors.As(err, &missing) != (what == "an image that isn't there") {
			t.Errorf("%s: %T", what, err)
		}
		var died *sandbox.DiedError
		if errors.As(err, &died) != (what == "a first process that ends") {
			t.Errorf("%s: %T", what, err)
		}
	}
	// The race detector needs the C library, so only with it is this a case.
	if needsLibraries(t, dynamic) {
		spec := s.spec
		spec.Binary = dynamic
		if _, err := sandbox.Start(t.Context(), s.engine, s.owner, spec); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
			t.Errorf("a program that needs libraries: %v", err)
		}
	}
}

func TestStartLeavesNothingWhenItIsCancelled(t *testing.T) {
	s := newSite(t)
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		box, err := sandbox.Start(ctx, s.engine, s.owner, s.spec)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
		case err != nil:
			t.Errorf("after %s: %v", after, err)
		default:
			if err := box.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		// What was being made when the caller gave up undoes itself.
		if _, err := s.engine.Teardown(t.Context(), s.owner); err != nil {
			t.Error(err)
		}
		s.wantNothingLeft()
		s.owner.Slug += "x"
	}
}

// What steps left in a folder goes by a container of its own, and so does that.
func TestClear(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a/b/c", ".hidden"} {
		path := filepath.Join(s.spec.Workspace, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.spec.Workspace, "link")); err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Clear(t.Context(), s.engine, s.owner, s.spec.Binary, s.spec.Workspace); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.spec.Workspace); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	if err := sandbox.Clear(t.Context(), s.engine, s.owner, s.spec.Binary, filepath.Join(outside, "none")); err == nil {
		t.Error("a folder that isn't there was cleared")
	}
}
