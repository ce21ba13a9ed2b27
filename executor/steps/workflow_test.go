package steps_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

// What Gitea 1.24 sends: quoted numbers, gitea. expressions, anchors.
func TestParse(t *testing.T) {
	workflow, err := steps.Parse([]byte(`
name: CI
"on": push
env: &shared
  A: ${{ gitea.ref }}
jobs:
  build:
    name: build (a, 1)
    runs-on: cc-ci
    needs: [lint]
    if: always() && gitea.event_name == 'push'
    timeout-minutes: "5"
    strategy:
      fail-fast: "false"
      max-parallel: "2"
      matrix: {os: [a], v: [1]}
    env:
      <<: *shared
    container: {image: "debian:12"}
    steps:
      - uses: https://gitea.com/actions/checkout@v4
        continue-on-error: true
        timeout-minutes: "3"
      - id: s
        if: ${{ !cancelled() }}
        run: |
          echo hi
          echo ${{ format('}}{0}', 1) }}
      - {name: named, run: x, timeout-minutes: 1.5}
  other:
    runs-on: [cc-ci, big]
    steps: [{run: x}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if workflow.Name != "CI" || len(workflow.Jobs) != 2 {
		t.Fatalf("%+v", workflow)
	}
	got := fmt.Sprintf("%+v", workflow.Jobs[0])
	want := "{ID:build Name:build (a, 1) RunsOn:[cc-ci] Needs:[lint] Timeout:5 Image:debian:12 Matrix:[map[os:a v:1]]" +
		" Steps:[{Index:0 ID: Name:Run https://gitea.com/actions/checkout@v4} {Index:1 ID:s Name:Run echo hi} {Index:2 ID: Name:named}]}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if other, ok := workflow.Job("other"); !ok || strings.Join(other.RunsOn, " ")+" "+other.Name != "cc-ci big other" {
		t.Errorf("%+v", other)
	}
}

// Each testdata/parse/*.txt is a workflow that can't run, a line of dashes, and
// what the maintainer is told.
func TestParseFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			workflow, want, _ := strings.Cut(string(content), "\n----\n")
			_, err = steps.Parse([]byte(workflow))
			if err == nil {
				t.Fatal("no finding")
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(workflow+"\n----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A few lines of aliases must not unfold to gigabytes.
func TestParseAliasBomb(t *testing.T) {
	text := "on: push\nx0: &x0 [a, b, c, d, e, f, g, h, i]\n"
	for i := 1; i < 10; i++ {
		text += fmt.Sprintf("x%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9), ", "))
	}
	if _, err := steps.Parse([]byte(text + "jobs: {}\n")); err == nil || !strings.Contains(err.Error(), "alias") {
		t.Error(err)
	}
}

const asked = `
on: push
env:
  A: ${{ gitea.ref_name }} ${{ vars.COLOUR }}
  B: workflow
jobs:
  test:
    runs-on: cc-ci
    strategy: {matrix: {size: [small, large]}}
    if: %s
    container: debian:${{ matrix.size }}
    env:
      B: ${{ needs.build.outputs.version }}-${{ matrix.size }}
      CC_CI_ENV: |
        KEY=${{ secrets.KEY }}
        DIR=${{ gitea.workspace }}
    steps: [{run: echo}]
`

func TestEvaluate(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, fmt.Sprintf(asked, "true"))
	env, err := steps.Evaluate(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"A": "main blue", "B": "1.2-small",
		"CC_CI_ENV": "KEY=s3cret-value\nDIR=" + job.Workspace + "\n",
	}
	if !maps.Equal(env, want) {
		t.Errorf("got %v", env)
	}
	// The combination can be chosen.
	job.Matrix = map[string]any{"size": "large"}
	if env, err := steps.Evaluate(t.Context(), job); err != nil || env["B"] != "1.2-large" {
		t.Error(env, err)
	}
	if image, err := steps.Image(t.Context(), job); err != nil || image != "debian:large" {
		t.Error(image, err)
	}
}

// An expression that can't be evaluated is an error that names the variable.
func TestEvaluateFails(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, "on: push\nenv: {X: \"${{ fromJSON('{') }}\"}\njobs: {test: {runs-on: cc-ci, steps: [{run: echo}]}}\n")
	if _, err := steps.Evaluate(t.Context(), job); err == nil || !strings.HasPrefix(err.Error(), "env X: ") {
		t.Error(err)
	}
	job.ID = "none"
	if _, err := steps.Evaluate(t.Context(), job); err == nil {
		t.Error("a job that isn't there was evaluated")
	}
}

func TestJobIf(t *testing.T) {
	for condition, want := range map[string]bool{
		"true":                               true,
		"success()":                          true,
		"failure()":                          false,
		"gitea.ref == 'refs/heads/main'":     true,
		"${{ gitea.actor != 'mo' }}":         false,
		"matrix.size == 'small'":             true,
		"needs.build.result == 'success'":    true,
		"always() && vars.COLOUR == 'green'": false,
		"false":                              false,
	} {
		t.Run(condition, func(t *testing.T) {
			place := newPlace(t)
			job := newJob(t, place, fmt.Sprintf(asked, condition))
			if got, err := steps.JobIf(t.Context(), job); err != nil || got != want {
				t.Error(got, err)
			}
		})
	}
	// A job that needs a failed one runs only if it asks to.
	for condition, want := range map[string]bool{"success()": false, "true": false, "failure()": true, "always()": true} {
		place := newPlace(t)
		job := newJob(t, place, fmt.Sprintf(asked, condition))
		job.Needs = map[string]steps.Need{"build": {Result: "failure"}}
		if got, err := steps.JobIf(t.Context(), job); err != nil || got != want {
			t.Error(condition, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fmt.Sprintf(asked, "true"))
	f.Add("on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: '${{ x'}]}}")
	f.Fuzz(func(t *testing.T, text string) {
		workflow, err := steps.Parse([]byte(text))
		if err != nil {
			return
		}
		for _, info := range workflow.Jobs {
			_, _ = steps.JobIf(t.Context(), steps.Job{ID: info.ID, Workflow: []byte(text), Workspace: "/w"})
			_, _ = steps.Evaluate(t.Context(), steps.Job{ID: info.ID, Workflow: []byte(text), Workspace: "/w"})
		}
	})
}
