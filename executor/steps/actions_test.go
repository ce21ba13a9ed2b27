package steps_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

// newRepository makes a git repository with one commit and the tag v1.
func newRepository(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message=first"},
		{"tag", "v1"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, output)
		}
	}
}

var remoteAction = map[string]string{
	".gitattributes": "lib export-ignore\n",
	"action.yml":     "name: remote\ndescription: remote\nruns:\n  using: node20\n  pre: pre.js\n  main: lib/main.js\n  post: lib/post.js\n",
	"pre.js":         "console.log('pre')\n",
	"lib/main.js":    "console.log('main ' + process.env.GITHUB_ACTION_REPOSITORY + ' ' + process.env.INPUT_A)\n",
	"lib/post.js":    "console.log('post')\n",
	"sub/action.yml": "name: sub\ndescription: sub\ninputs: {b: {description: b, default: '${{ gitea.ref_name }}'}}\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      run: echo sub ${{ inputs.b }} $(basename $GITHUB_ACTION_PATH)\n    - uses: tools/remote@v1\n      with: {a: inner}\n",
}

// Actions are fetched from the actions URL, with pre and post stages outside of
// the steps.
func TestRemoteAction(t *testing.T) {
	t.Parallel()
	forge := t.TempDir()
	newRepository(t, filepath.Join(forge, "tools", "remote"), remoteAction)
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - run: echo first
      - uses: tools/remote@v1
        with: {a: outer}
      - uses: tools/remote/sub@main
`)
	job.ActionsURL = "file://" + forge
	log, result, _, err := run(t, place, job)
	if result != "success" || err != nil {
		t.Fatalf("%s %v\n%s", result, err, log)
	}
	want := []string{
		"| Pre Run tools/remote@v1", "| pre", "step 0 started", "| first", "step 1 started", "| main tools/remote outer",
		"step 2 started", "| sub main sub", "| main tools/remote inner", "step 2 success", "| post", "| Post Run tools/remote@v1", "| post",
	}
	inOrder(t, log, want)
}

func inOrder(t *testing.T, log string, want []string) {
	t.Helper()
	rest := log
	for _, line := range want {
		_, after, ok := strings.Cut(rest, line+"\n")
		if !ok {
			t.Fatalf("%q is missing or out of order in\n%s", line, log)
		}
		rest = after
	}
}

// An action that can't be fetched fails the job before its first step, with the
// URL and git's reason; the steps are skipped.
func TestRemoteActionMissing(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: echo one}, {uses: tools/none@v1}]}}\n")
	job.ActionsURL = "file://" + t.TempDir()
	log, result, _, err := run(t, place, job)
	if result != "failure" || err != nil {
		t.Errorf("%s %v", result, err)
	}
	if !strings.Contains(log, "::error::failed to fetch") || !strings.Contains(log, "tools/none") {
		t.Errorf("the log doesn't say what is missing\n%s", log)
	}
	wantSteps(t, log, "skipped", "skipped")
}

// The job's token goes to its own instance, to no other host.
func TestTokenStaysAtHome(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]string{}
	forge := func(name string) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen[name] = r.URL.Path + " " + r.Header.Get("Authorization")
			http.NotFound(w, r)
		}))
		t.Cleanup(server.Close)
		return server
	}
	own, other := forge("own"), forge("other")
	for _, uses := range []string{"tools/a@v1", other.URL + "/tools/b@v1"} {
		place := newPlace(t)
		job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{uses: '"+uses+"'}]}}\n")
		job.InstanceURL, job.ActionsURL = own.URL, own.URL
		if log, result, _, _ := run(t, place, job); result != "failure" {
			t.Errorf("%s: %s\n%s", uses, result, log)
		}
	}
	if got := seen["own"]; !strings.HasPrefix(got, "/tools/a/info/refs Basic ") {
		t.Errorf("own instance saw %q", got)
	}
	if got := seen["other"]; got != "/tools/b/info/refs " {
		t.Errorf("the other host saw %q", got)
	}
}

// checkout of the job's own repository is served by the runner where its
// inputs change nothing, else the real action runs.
func TestCheckout(t *testing.T) {
	forge := t.TempDir()
	newRepository(t, filepath.Join(forge, "actions", "checkout"), map[string]string{
		"action.yml": "name: checkout\ndescription: real\nruns: {using: node20, main: main.js}\n",
		"main.js":    "console.log('real')\n",
	})
	for _, tc := range []struct {
		sentence, step, want string
	}{
		{"without inputs", "{uses: actions/checkout@v4}", "served"},
		{"by URL", "{uses: 'https://gitea.com/actions/checkout@v4'}", "served"},
		{"with a path", "{uses: actions/checkout@v4, with: {path: 'a folder/${{ gitea.ref_name }}'}}", "served a folder/main"},
		{"named as itself", "{uses: actions/checkout@v4, with: {repository: recipes/hello, token: '${{ gitea.token }}', fetch-depth: 1}}", "served"},
		{"at its own commit", "{uses: actions/checkout@v4, with: {ref: '${{ github.sha }}'}}", "served"},
		{"another repository", "{uses: actions/checkout@v1, with: {repository: a/b}}", "real"},
		{"another ref", "{uses: actions/checkout@v1, with: {ref: v2}}", "real"},
		{"all commits", "{uses: actions/checkout@v1, with: {fetch-depth: 0}}", "real"},
		{"submodules", "{uses: actions/checkout@v1, with: {submodules: true}}", "real"},
		{"an input not known", "{uses: actions/checkout@v1, with: {filter: 'blob:none'}}", "real"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			t.Parallel()
			place := newPlace(t)
			job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, defaults: {run: {working-directory: gone}}, steps: ["+tc.step+"]}}\n")
			job.ActionsURL = "file://" + forge
			job.CheckoutArgv = []string{"echo", "served"}
			log, result, _, err := run(t, place, job)
			if result != "success" || err != nil || !strings.Contains(log, "  | "+tc.want+"\n") {
				t.Errorf("%s %v, no row %q in\n%s", result, err, tc.want, log)
			}
		})
	}
}

// An action that needs node says so when the image has none.
func TestNoNode(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	place.path = onlyPrograms(t, "bash", "sh", "basename")
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{uses: ./actions/node}]}}\n")
	copyFolder(t, "testdata/workspace", job.Workspace)
	log, result, _, _ := run(t, place, job)
	if result != "failure" || !strings.Contains(log, "needs node") {
		t.Errorf("%s\n%s", result, log)
	}
}

// onlyPrograms is a folder for PATH with links to these programs.
func onlyPrograms(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		file, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var _ steps.Place = (*hostPlace)(nil)
