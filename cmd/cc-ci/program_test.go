package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ccci "git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci"
	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// buffer may be written to from several goroutines, as a screen may.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// call runs the program as main does.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs buffer
	m := &ccci.Main{Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.Run(ctx), out.String(), errs.String()
}

// home keeps a test out of the user's folders and away from the machine's engine.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(dir, "none.sock"))
	return dir
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings writes a configuration whose folders are the test's own.
func settings(t *testing.T, more string) string {
	dir := t.TempDir()
	return file(t, "state_dir: "+dir+"\nwork_dir: "+dir+"/jobs\ndocker_host: unix://"+dir+"/none.sock\n"+more)
}

// Each wrong call ends with its code, one message and nothing on the output.
func TestWrongCalls(t *testing.T) {
	dir := home(t)
	broken := file(t, "capactiy: 2\n")
	fine := settings(t, "")
	closed := closedPort(t)
	cases := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a verb that isn't one", []string{"runn"}, ccci.ExitUsage, `unknown command "runn"`},
		{"a flag that isn't one", []string{"run", "--kep", dir}, ccci.ExitUsage, "unknown flag: --kep"},
		{"run without a folder", []string{"run"}, ccci.ExitUsage, "accepts 1 arg(s), received 0"},
		{"run in a folder that isn't there", []string{"run", dir + "/none"}, ccci.ExitUsage, "is no folder"},
		{"run of a workflow that isn't there", []string{"run", dir, "--workflow", "x.yml"}, ccci.ExitUsage, "no workflow x.yml"},
		{"run with secrets that aren't there", []string{"run", dir, "--secret-file", "none"}, ccci.ExitUsage, "--secret-file: open none"},
		{"run without an engine", []string{"run", dir}, ccci.ExitInfra, "no Docker engine answers"},
		{"reap without an engine", []string{"reap", "--config", fine}, ccci.ExitInfra, "no Docker engine answers"},
		{"a daemon with arguments", []string{"daemon", "now"}, ccci.ExitUsage, `unknown command "now"`},
		{"a daemon that isn't registered", []string{"daemon", "--config", fine}, ccci.ExitUsage, "run cc-ci register"},
		{"a configuration that isn't there", []string{"daemon", "--config", dir + "/none.yml"}, ccci.ExitUsage, "no such file"},
		{"a configuration with a mistake", []string{"config", "check", "--config", broken}, ccci.ExitUsage,
			broken + ":1: capactiy: no such key, did you mean capacity?"},
		{"register without its flags", []string{"register"}, ccci.ExitUsage, `required flag(s) "instance", "token-file" not set`},
		{"register with a token file that isn't there",
			[]string{"register", "--config", fine, "--instance", "http://" + closed, "--token-file", dir + "/none"}, ccci.ExitUsage, "--token-file: open"},
		{"register with an empty token", []string{"register", "--config", fine, "--instance", "http://" + closed, "--token-file", "-"},
			ccci.ExitUsage, "doesn't hold a token alone"},
		{"register with a label nobody can serve",
			[]string{"register", "--config", fine, "--instance", "http://" + closed, "--token-file", file(t, "t"), "--labels", "cc-ci:host"},
			ccci.ExitUsage, "--labels: "},
		{"register with a Gitea that isn't there",
			[]string{"register", "--config", fine, "--instance", "http://" + closed, "--token-file", file(t, "t")}, ccci.ExitInfra, closed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := call(t, "", c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d; stderr %q, want %q in it", code, c.code, stderr, c.says)
			}
			if stdout != "" {
				t.Errorf("unexpected output %q", stdout)
			}
			if hint := strings.Contains(stderr, "--help."); hint != (c.code == ccci.ExitUsage) {
				t.Errorf("stderr %q: a usage error points at --help, others don't", stderr)
			}
		})
	}
}

// closedPort is an address nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The help is read by people: changes to it are looked at.
func TestHelp(t *testing.T) {
	for _, verb := range []string{"", "run", "register", "daemon", "reap", "config", "config check", "version"} {
		t.Run("help "+verb, func(t *testing.T) {
			code, got, stderr := call(t, "", append(strings.Fields(verb), "--help")...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
			golden := filepath.Join("testdata", strings.ReplaceAll("help "+verb, " ", "-")+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What the check prints is the effective configuration, as a file would have it.
func TestConfigCheck(t *testing.T) {
	code, stdout, stderr := call(t, "", "config", "check", "--config", settings(t, "capacity: 3\n"))
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	if !strings.HasPrefix(stdout, "# ok (") {
		t.Errorf("got %q", stdout)
	}
	loaded, err := config.Load(file(t, stdout))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Capacity != 3 {
		t.Errorf("capacity is %d", loaded.Capacity)
	}
}

func TestConfigExampleIsTheDocumentation(t *testing.T) {
	if code, stdout, _ := call(t, "", "config", "example"); code != 0 || stdout != config.Example() {
		t.Errorf("exit code %d, got\n%s", code, stdout)
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := call(t, "", "version", "--json")
	var b map[string]string
	if err := json.Unmarshal([]byte(stdout), &b); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %q", code, err, stdout)
	}
	for _, key := range []string{"version", "commit", "go", "act"} {
		if b[key] == "" {
			t.Errorf("%s is missing in %v", key, b)
		}
	}
}

// Completion knows the recipe that is being typed.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	workflows := filepath.Join(dir, ".gitea/workflows")
	if err := os.MkdirAll(workflows, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, jobs := range map[string]string{"ci.yml": "{test: {}, lint: {}}", "release.yml": "{publish: {}}"} {
		if err := os.WriteFile(filepath.Join(workflows, name), []byte("jobs: "+jobs), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"workflows of the recipe", []string{"run", dir, "--workflow", ""}, "ci.yml\nrelease.yml\n:4\n"},
		{"jobs of the usual workflow", []string{"run", dir, "--job", ""}, "test\nlint\n:4\n"},
		{"jobs of the workflow that was named", []string{"run", dir, "--workflow", "release.yml", "--job", ""}, "publish\n:4\n"},
		{"folders for run itself", []string{"run", ""}, ":16\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if code, stdout, stderr := call(t, "", append([]string{"__complete"}, c.args...)...); code != 0 || stdout != c.want {
				t.Errorf("exit code %d, got %q, want %q\n%s", code, stdout, c.want, stderr)
			}
		})
	}
}
