package steps_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

const oneStep = "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: env}]}}\n"

// act's host environment copies the runner's own variables to every step; none
// may get there, and act's environment must have been exchanged before it ran
// anything.
func TestRunnersEnvironmentStaysOut(t *testing.T) {
	t.Setenv("RUNNERS_OWN_SECRET", "leaked-value")
	t.Setenv("LD_PRELOAD", "")
	place := newPlace(t)
	job := newJob(t, place, oneStep)
	log, result, _, err := run(t, place, job)
	if result != "success" || err != nil {
		t.Fatal(result, err, log)
	}
	allowed := []string{"CC_CI", "CI=", "ACT=", "GITEA_ACTIONS=", "GITHUB_", "RUNNER_", "HOME=", "PATH=", "LANG=", "PWD=", "SHLVL=", "_="}
	for line := range strings.Lines(log) {
		row, ok := strings.CutPrefix(line, "  | ")
		if !ok || strings.HasPrefix(row, " ") || strings.HasPrefix(row, "::") {
			continue
		}
		if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(row, prefix) }) || strings.Contains(row, "leaked") {
			t.Errorf("a step has %q", row)
		}
	}
}

// act probes for node in each job and leaves folders behind; a run: step costs
// its own process only, and the cache stays empty.
func TestNothingBesideTheSteps(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, oneStep)
	run(t, place, job)
	if len(place.argvs) != 1 {
		t.Errorf("the place ran %q", place.argvs)
	}
	left, err := os.ReadDir(job.ActionCache)
	if err != nil || len(left) > 0 {
		t.Errorf("act left %v in the action cache (%v)", left, err)
	}
}

// Without ref and commit act would look for a repository around the runner.
func TestBareContext(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: 'echo $GITHUB_REPOSITORY $GITHUB_REF $GITHUB_SHA ${{ gitea.event_name }}'}]}}\n")
	job.Context, job.Event = nil, nil
	log, result, _, err := run(t, place, job)
	if result != "success" || err != nil || !strings.Contains(log, "| local/recipe refs/heads/main 0000000000000000000000000000000000000000 push\n") {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// A workflow without a name has its file's, which act leaves empty.
func TestWorkflowWithoutAName(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: 'echo \"${{ github.workflow }} $GITHUB_WORKFLOW\"'}]}}\n")
	job.Context["workflow"] = "ci.yml"
	if log, result, _, err := run(t, place, job); result != "success" || err != nil || !strings.Contains(log, "| ci.yml ci.yml\n") {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// act ends the process on a part of the wrong type that it reads late.
func TestWrongTypeReadLate(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: {workflow_dispatch: {inputs: [1]}}\njobs: {test: {runs-on: cc-ci, steps: [{run: echo here}]}}\n")
	job.Context["event_name"] = "workflow_dispatch"
	if log, result, _, err := run(t, place, job); result != "success" || err != nil {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// Without shell: act takes bash; an image without bash has sh.
func TestShWithoutBash(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	place.path = onlyPrograms(t, "sh")
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: echo from $0}]}}\n")
	if log, result, _, err := run(t, place, job); result != "success" || err != nil {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// With container: sh is the default shell and its env: joins the job's; act
// would start a container of its own.
func TestContainerIsThePlaces(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, container: {image: 'debian:12', env: {A: one, B: one}}, env: {B: two}, steps: [{run: echo $A $B}]}}\n")
	log, result, _, err := run(t, place, job)
	if result != "success" || err != nil || !strings.Contains(log, "| one two\n") || !strings.Contains(log, "shell: sh -e {0}") {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// act logs secrets in its debug text; no row may have them unmasked that the
// workflow doesn't print.
func TestDebugTextStaysOut(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{env: {K: '${{ secrets.KEY }}'}, run: 'test -n \"$K\"'}, {if: \"secrets.KEY == 'x'\", run: echo}]}}\n")
	sink := &journal{}
	if _, _, err := steps.Run(t.Context(), job, place, sink); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sink.text(), "s3cret-value") {
		t.Errorf("the log has the secret\n%s", sink.text())
	}
}

// A value from outside that looks like an expression isn't evaluated: neither a
// branch's name in the context nor a message in the event.
func TestForeignExpressionsAreText(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - env: {MESSAGE: "${{ gitea.event.head_commit.message }}"}
        uses: ./actions/show
      - run: printf '%s\n' "$GITHUB_HEAD_REF" | tr a-z A-Z
`)
	copyFolder(t, "testdata/workspace", job.Workspace)
	job.Context["head_ref"] = "${{secrets.KEY}}"
	job.Event = []byte(`{"head_commit":{"message":"${{ secrets.KEY }}"}}`)
	job.Workflow = []byte(strings.Replace(string(job.Workflow), "MESSAGE", "Y", 1))
	sink := &journal{}
	if result, _, err := steps.Run(t.Context(), job, place, sink); result != "success" || err != nil {
		t.Fatal(result, err, sink.text())
	}
	if log := sink.text(); strings.Contains(log, "S3CRET-VALUE") || strings.Count(log, "| ${{ SECRETS.KEY }}\n") != 2 || !strings.Contains(log, "| ${{SECRETS.KEY}}\n") {
		t.Errorf("an expression from outside was evaluated\n%s", log)
	}
}

// What steps put into the mounted folders can't lead the runner out of them or
// make it wait: links, pipes.
func TestMountedFoldersAreForeign(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("HOSTS=own\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ sentence, run, want string }{
		{"a link for GITHUB_ENV", "ln -sf " + outside + " $GITHUB_ENV", "GITHUB_ENV"},
		{"a link for GITHUB_STEP_SUMMARY", "ln -sf " + outside + " $GITHUB_STEP_SUMMARY", "SUMMARY"},
		{"a pipe for GITHUB_OUTPUT", "rm $GITHUB_OUTPUT; mkfifo $GITHUB_OUTPUT", "regular"},
		{"a link for the folder", "cd $(dirname $GITHUB_ENV)/..; mv workflow old; ln -s " + filepath.Dir(outside) + " workflow", ""},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			t.Parallel()
			place := newPlace(t)
			job := newJob(t, place, "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps:\n      - run: "+tc.run+"\n      - if: always()\n        run: echo HOSTS is $HOSTS\n")
			log, result, _, _ := run(t, place, job)
			if result != "failure" || strings.Contains(log, "HOSTS=own") || strings.Contains(log, "is own") {
				t.Errorf("%s\n%s", result, log)
			}
			if !strings.Contains(log, tc.want) {
				t.Errorf("no %q in the log\n%s", tc.want, log)
			}
		})
	}
	if content, err := os.ReadFile(outside); err != nil || string(content) != "HOSTS=own\n" {
		t.Errorf("the file outside is now %q (%v)", content, err)
	}
}

// A place that fails is no failure of the workflow: Run says so with an error.
func TestPlaceFails(t *testing.T) {
	t.Parallel()
	place := newPlace(t)
	place.fail = syscall.ECONNRESET
	job := newJob(t, place, oneStep)
	log, result, _, err := run(t, place, job)
	if result != "failure" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s %v\n%s", result, err, log)
	}
}

// A step's own cost, beside its process, is small.
func BenchmarkTenSteps(b *testing.B) {
	place := &hostPlace{root: b.TempDir()}
	place.path = os.Getenv("PATH")
	workflow := "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps:\n" + strings.Repeat("      - run: echo line\n", 10)
	job := steps.Job{
		ID: "test", Workflow: []byte(workflow), Workspace: place.root, Scratch: place.root, ActPath: place.root, ActionCache: place.root,
		Event: []byte(`{"commits":[` + strings.TrimSuffix(strings.Repeat(`{"message":"`+strings.Repeat("x", 500)+`","added":["a","b"]},`, 40), ",") + `]}`),
	}
	idle := idlePlace{place}
	for b.Loop() {
		if result, _, err := steps.Run(b.Context(), job, idle, &journal{}); result != "success" || err != nil {
			b.Fatal(result, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(10*b.N), "µs/step")
}
