package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
)

// recipe makes a folder with these files, by path.
func recipe(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	one = "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps: [{run: echo}]\n"
	two = "jobs:\n  lint: {runs-on: ubuntu, steps: [{run: a}]}\n  test: {runs-on: [cc-ci], steps: [{run: b}]}\n"
)

// A run without flags takes what can only be meant, and asks where it can't know.
func TestNewPlanChooses(t *testing.T) {
	cases := []struct {
		name    string
		files   map[string]string
		options local.Options
		file    string
		job     string
		problem string
	}{
		{"the usual file wins over others",
			map[string]string{".gitea/workflows/ci.yml": one, ".gitea/workflows/release.yml": two}, local.Options{},
			".gitea/workflows/ci.yml", "test", ""},
		{"the only file is taken whatever it is called",
			map[string]string{".github/workflows/x.yaml": one}, local.Options{}, ".github/workflows/x.yaml", "test", ""},
		{"of several files one must be named",
			map[string]string{".gitea/workflows/a.yml": one, ".gitea/workflows/b.yml": one}, local.Options{},
			"", "", "choose with --workflow a.yml or --workflow b.yml"},
		{"a file is found by its name alone",
			map[string]string{".gitea/workflows/a.yml": one, ".gitea/workflows/b.yml": two}, local.Options{Workflow: "b.yml"},
			".gitea/workflows/b.yml", "test", ""},
		{"a file is found by its path", map[string]string{"other/w.yml": one}, local.Options{Workflow: "other/w.yml"}, "other/w.yml", "test", ""},
		{"a file that isn't there is said", nil, local.Options{Workflow: "w.yml"}, "", "", "no workflow w.yml"},
		{"a recipe without a workflow is asked for its page", nil, local.Options{}, "(built in)", "test", ""},
		{"the only job for cc-ci is meant", map[string]string{".gitea/workflows/ci.yml": two}, local.Options{}, ".gitea/workflows/ci.yml", "test", ""},
		{"a job may be named", map[string]string{".gitea/workflows/ci.yml": two}, local.Options{Job: "lint"}, ".gitea/workflows/ci.yml", "lint", ""},
		{"a job that isn't there is said", map[string]string{".gitea/workflows/ci.yml": two}, local.Options{Job: "tset"}, "", "", "no job tset, it has lint, test"},
		{"of several jobs one must be named",
			map[string]string{".gitea/workflows/ci.yml": "jobs: {a: {runs-on: cc-ci}, b: {runs-on: cc-ci}}"}, local.Options{},
			"", "", "choose with --job a or --job b"},
		{"a file without jobs is no workflow", map[string]string{".gitea/workflows/ci.yml": "on: push"}, local.Options{}, "", "", "no jobs"},
		{"an empty file is no workflow", map[string]string{".gitea/workflows/ci.yml": "# nothing\n"}, local.Options{}, "", "", "empty"},
		{"broken YAML is said with its line", map[string]string{".gitea/workflows/ci.yml": "a: b\n c: d\n"}, local.Options{}, "", "", ".gitea/workflows/ci.yml: yaml: line 2"},
		{"an alias of itself has an end", map[string]string{".gitea/workflows/ci.yml": "a: &a [*a]\njobs: {}"}, local.Options{}, "", "", "nested too deeply"},
		{"a variable without value must be set here", nil, local.Options{Env: []string{"CC_CI_TEST_UNSET_VARIABLE"}}, "", "", "--env CC_CI_TEST_UNSET_VARIABLE: write KEY=value"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			plan, err := local.NewPlan(context.Background(), recipe(t, c.files), c.options)
			if c.problem != "" {
				if !errors.Is(err, local.ErrUsage) || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("got %v, want a usage error with %q", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if plan.File != c.file || plan.Job.ID != c.job {
				t.Errorf("got job %s of %s, want %s of %s", plan.Job.ID, plan.File, c.job, c.file)
			}
		})
	}
}

func TestNewPlanWantsAFolder(t *testing.T) {
	if _, err := local.NewPlan(context.Background(), "/does/not/exist", local.Options{}); !errors.Is(err, local.ErrUsage) {
		t.Errorf("got %v, want a usage error", err)
	}
}

// The job is handed over as Gitea would: alone, without needs, one combination,
// aliases resolved, and with the variables of the command line.
func TestNewPlanNarrowsTheWorkflow(t *testing.T) {
	t.Setenv("FROM_HERE", "here")
	dir := recipe(t, map[string]string{".gitea/workflows/ci.yml": `
name: all
env: {A: workflow}
jobs:
  first: &first
    runs-on: other
    steps: &steps [{name: One, run: x}, {uses: actions/checkout@v4}, {run: "echo a\necho b\n"}, {id: d}]
  test:
    runs-on: cc-ci
    needs: first
    strategy: {matrix: {db: [postgres, mysql], v: [1, 2], include: [{db: x}]}}
    env: {CC_CI_DEPLOY: manual, KEEP: "${{ matrix.db }}"}
    steps: *steps
`})
	plan, err := local.NewPlan(context.Background(), dir, local.Options{Env: []string{"CC_CI_DEPLOY=auto", "FROM_HERE", "EMPTY="}})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := yaml.Unmarshal(plan.Job.Workflow, &got); err != nil {
		t.Fatal(err)
	}
	err = yaml.Unmarshal([]byte(`
name: all
env: {A: workflow}
jobs:
  test:
    runs-on: cc-ci
    strategy: {matrix: {db: [postgres], v: [1]}}
    env: {CC_CI_DEPLOY: auto, KEEP: "${{ matrix.db }}", FROM_HERE: here, EMPTY: ""}
    steps: [{name: One, run: x}, {uses: actions/checkout@v4}, {run: "echo a\necho b\n"}, {id: d}]
`), &want)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := asJSON(t, got), asJSON(t, want); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if want := []string{"One", "actions/checkout@v4", "echo a", "step 4"}; !slices.Equal(plan.Steps, want) {
		t.Errorf("steps are %q, want %q", plan.Steps, want)
	}
	if len(plan.Notes) != 2 || !strings.Contains(plan.Notes[1], "db=postgres v=1") {
		t.Errorf("notes are %q", plan.Notes)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A folder under git tells its commit and branch; without git there are stand-ins.
func TestNewPlanKnowsTheCommit(t *testing.T) {
	dir := recipe(t, map[string]string{"compose.yml": "services: {}"})
	plan, err := local.NewPlan(context.Background(), dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sha := plan.Job.Context["sha"]; sha != strings.Repeat("0", 40) {
		t.Errorf("without git the commit is %q", sha)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=trunk"},
		{"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message=x"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if plan, err = local.NewPlan(context.Background(), dir, local.Options{}); err != nil {
		t.Fatal(err)
	}
	c := plan.Job.Context
	if len(c["sha"]) != 40 || strings.Trim(c["sha"], "0") == "" || c["ref"] != "refs/heads/trunk" || c["ref_name"] != "trunk" {
		t.Errorf("the context is %v", c)
	}
	if c["repository"] != "local/"+filepath.Base(dir) {
		t.Errorf("the repository is %q", c["repository"])
	}
	var event struct{ After string }
	if err := json.Unmarshal(plan.Job.Event, &event); err != nil || event.After != c["sha"] {
		t.Errorf("the event is %s: %v", plan.Job.Event, err)
	}
}

// Completion offers what NewPlan would take.
func TestCompletion(t *testing.T) {
	dir := recipe(t, map[string]string{".gitea/workflows/ci.yml": two, ".gitea/workflows/b.yaml": one, ".gitea/workflows/README": ""})
	if got := local.Workflows(dir); !slices.Equal(got, []string{"b.yaml", "ci.yml"}) {
		t.Errorf("workflows are %q", got)
	}
	if got := local.Jobs(dir, ""); !slices.Equal(got, []string{"lint", "test"}) {
		t.Errorf("jobs are %q", got)
	}
	if got := local.Jobs(dir, "none.yml"); got != nil {
		t.Errorf("jobs of no file are %q", got)
	}
}
