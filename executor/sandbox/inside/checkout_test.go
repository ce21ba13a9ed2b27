package inside_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// job is what a checkout finds: a clone, a workspace, a home and a file for
// outputs.
type job struct {
	t                              *testing.T
	clone, workspace, home, output string
}

func newJob(t *testing.T) *job {
	t.Helper()
	j := &job{t: t, clone: t.TempDir(), workspace: filepath.Join(t.TempDir(), "owner", "repo"), home: t.TempDir()}
	j.output = filepath.Join(j.home, "output")
	return j
}

// checkout runs the program and returns what it printed.
func (j *job) checkout(args ...string) (string, error) {
	j.t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"checkout", "-from", j.clone}, args...)...)
	cmd.Env = []string{
		asSandbox + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + j.home, "GOCOVERDIR=" + j.t.TempDir(),
		"GITHUB_WORKSPACE=" + j.workspace, "GITHUB_OUTPUT=" + j.output,
		"GITHUB_REPOSITORY=owner/repo", "GITHUB_REF=refs/heads/main",
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (j *job) git(dir string, args ...string) string {
	j.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=A", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + j.home, "GIT_CONFIG_NOSYSTEM=1"}
	output, err := cmd.CombinedOutput()
	if err != nil {
		j.t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

func (j *job) write(path, text string, mode os.FileMode) {
	j.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		j.t.Fatal(err)
	}
}

// repository fills the clone and returns its commit.
func (j *job) repository() string {
	j.t.Helper()
	j.write(filepath.Join(j.clone, "compose.yml"), "services: {}\n", 0o644)
	j.write(filepath.Join(j.clone, "bin", "deep", "run.sh"), "#!/bin/sh\n", 0o755)
	if err := os.Symlink("../compose.yml", filepath.Join(j.clone, "bin", "link")); err != nil {
		j.t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(j.clone, "dangling")); err != nil {
		j.t.Fatal(err)
	}
	j.git(j.clone, "init", "-q", "-b", "main")
	j.git(j.clone, "add", ".")
	j.git(j.clone, "commit", "-q", "-m", "begin")
	return j.git(j.clone, "rev-parse", "HEAD")
}

func TestCheckoutServesTheClone(t *testing.T) {
	j := newJob(t)
	commit := j.repository()
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(j.clone, "compose.yml"), old, old); err != nil {
		t.Fatal(err)
	}
	j.write(filepath.Join(j.workspace, "left", "over"), "", 0o644)

	said, err := j.checkout()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if want := "Served owner/repo at " + commit[:10] + " from the job's own clone, without network, in "; !strings.HasPrefix(said, want) || strings.Count(said, "\n") != 1 {
		t.Errorf("said %q, want one line %q…", said, want)
	}
	// Plumbing takes files whose times the index doesn't know for changed.
	j.git(j.workspace, "diff-index", "--quiet", "HEAD")
	if status := j.git(j.workspace, "status", "--porcelain"); status != "" {
		t.Errorf("git sees changes (what was there before must be gone):\n%s", status)
	}
	if info, err := os.Stat(filepath.Join(j.workspace, "compose.yml")); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("the file's time isn't its original's: %v %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(j.workspace, "bin", "deep", "run.sh")); err != nil || info.Mode() != 0o755 {
		t.Errorf("the script's mode isn't its original's: %v %v", info, err)
	}
	if target, err := os.Readlink(filepath.Join(j.workspace, "bin", "link")); target != "../compose.yml" {
		t.Errorf("the link points to %q, %v", target, err)
	}
	outputs, _ := os.ReadFile(j.output)
	if want := "commit=" + commit + "\nref=refs/heads/main\n"; string(outputs) != want {
		t.Errorf("outputs %q, want %q", outputs, want)
	}
}

func TestCheckoutTwiceAndInAPath(t *testing.T) {
	j := newJob(t)
	j.repository()
	for _, args := range [][]string{nil, {"a/b"}, {"a/b"}, nil} {
		if said, err := j.checkout(args...); err != nil {
			t.Fatalf("checkout %v: %v: %s", args, err, said)
		}
		j.git(filepath.Join(append([]string{j.workspace}, args...)...), "diff-index", "--quiet", "HEAD")
	}
	config, err := os.ReadFile(filepath.Join(j.home, ".gitconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(config), "directory ="); n != 2 {
		t.Errorf("git is told to trust %d folders, want each of two once:\n%s", n, config)
	}
}

func TestCheckoutFindsTheCommitWithoutGit(t *testing.T) {
	j := newJob(t)
	commit := j.repository()
	for _, c := range []struct {
		what    string
		arrange func()
		commit  string
	}{
		{"a branch", func() {}, commit},
		{"a packed branch", func() { j.git(j.clone, "pack-refs", "--all") }, commit},
		{"a commit", func() { j.git(j.clone, "checkout", "-q", "--detach") }, commit},
		{"no repository at all", func() { os.RemoveAll(filepath.Join(j.clone, ".git")) }, ""},
	} {
		c.arrange()
		os.Remove(j.output)
		said, err := j.checkout()
		if outputs, _ := os.ReadFile(j.output); err != nil || !strings.HasPrefix(string(outputs), "commit="+c.commit+"\n") {
			t.Errorf("%s: outputs %q, %v, %s", c.what, outputs, err, said)
		}
	}
}

func TestCheckoutRefuses(t *testing.T) {
	j := newJob(t)
	j.repository()
	outside := t.TempDir()
	j.write(filepath.Join(outside, "precious"), "", 0o644)
	if err := os.MkdirAll(j.workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(j.workspace, "escape")); err != nil {
		t.Fatal(err)
	}
	for what, args := range map[string][]string{
		"a path out of the workspace":       {"../elsewhere"},
		"a path from the root":              {outside},
		"a path through a link":             {"escape"},
		"a path below a link":               {"escape/sub"},
		"two paths":                         {"a", "b"},
		"a clone that isn't there":          {"-from", filepath.Join(outside, "absent")},
		"a path that leaves and comes back": {"a/../../repo"},
		"an option that it doesn't know":    {"-ref", "main"},
	} {
		if said, err := j.checkout(args...); err == nil {
			t.Errorf("%s was accepted: %s", what, said)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
		t.Error("a file outside the workspace is gone")
	}
}

func TestCleanRemovesWhatIsInside(t *testing.T) {
	j := newJob(t)
	outside := filepath.Join(t.TempDir(), "precious")
	j.write(outside, "", 0o644)
	j.write(filepath.Join(j.workspace, "a", "b"), "", 0o400)
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(j.workspace, "link")); err != nil {
		t.Fatal(err)
	}
	clean := func(args ...string) error {
		cmd := exec.Command(os.Args[0], append([]string{"clean"}, args...)...)
		cmd.Env = []string{asSandbox + "=1", "GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir()}
		return cmd.Run()
	}
	for what, args := range map[string][]string{
		"the root": {"/"}, "the root by another name": {"/tmp/.."}, "a relative folder": {"a"}, "nothing": nil, "an absent folder": {"/no/such"},
	} {
		if clean(args...) == nil {
			t.Errorf("%s was cleaned", what)
		}
	}
	if err := clean(j.workspace, j.home); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(j.workspace); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error("clean followed a link")
	}
}
