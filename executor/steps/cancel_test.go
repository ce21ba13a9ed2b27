package steps_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

var errStop = errors.New("the job was cancelled")

// runCancelled cancels a job when a row is a given text.
func runCancelled(t *testing.T, job steps.Job, place *hostPlace, at string) (log, result string, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var cancelled time.Time
	sink := &journal{onRow: func(line string) {
		if line == at {
			cancelled = time.Now()
			cancel(errStop)
		}
	}}
	result, _, err := steps.Run(ctx, job, place, sink)
	if err != nil {
		t.Fatal(err)
	}
	if cancelled.IsZero() {
		t.Fatalf("no row %q:\n%s", at, sink.text())
	}
	return strings.ReplaceAll(sink.text(), place.root, "/ROOT"), result, time.Since(cancelled)
}

// A cancelled job's step is killed with all it started, later steps are
// skipped but for those that ask to run.
func TestCancel(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - run: echo "${{ cancelled() }}"
      - run: |
          (sleep 30; echo child) &
          echo ready
          sleep 30
      - run: echo never
      - if: always()
        run: echo "always ${{ cancelled() }} ${{ job.status }}"
      - if: ${{ !cancelled() }}
        run: echo not this
      - if: failure()
        run: echo nor this
      - if: cancelled() && gitea.actor == 'mo'
        run: echo cancelled
`)
	log, result, took := runCancelled(t, job, place, "ready")
	if result != "cancelled" {
		t.Errorf("result %s", result)
	}
	if took > 5*time.Second {
		t.Errorf("it took %v from the cancellation to the end", took)
	}
	wantSteps(t, log, "success", "cancelled", "skipped", "success", "skipped", "skipped", "success")
	for _, line := range []string{"always true cancelled", "::error::The step was stopped: the job was cancelled."} {
		if !strings.Contains(log, "\n  | "+line+"\n") {
			t.Errorf("no row %q in\n%s", line, log)
		}
	}
}

// A step whose if: still holds when the job is cancelled goes on.
func TestCancelLetsAlwaysStepsEnd(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - if: ${{ always() && gitea.ref_name == 'main' }}
        run: |
          echo ready
          for i in 1 2 3 4 5 6 7 8; do sleep 0.05; done
          echo done
      - if: always() && gitea.ref_name == 'other'
        run: echo never
`)
	log, result, _ := runCancelled(t, job, place, "ready")
	if result != "cancelled" || !strings.Contains(log, "  | done\n") {
		t.Errorf("result %s\n%s", result, log)
	}
	wantSteps(t, log, "success", "skipped")
}

// After the budget even always() steps and post steps are stopped.
func TestCancelBudget(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - uses: ./actions/node
      - run: |
          echo ready
          sleep 30
      - if: always()
        run: sleep 30
      - if: always()
        run: echo never
`)
	copyFolder(t, "testdata/workspace", job.Workspace)
	job.CancelBudget = 200 * time.Millisecond
	log, result, took := runCancelled(t, job, place, "ready")
	if result != "cancelled" {
		t.Errorf("result %s", result)
	}
	if took > 5*time.Second {
		t.Errorf("it took %v from the cancellation to the end", took)
	}
	wantSteps(t, log, "success", "cancelled", "cancelled", "skipped")
	if strings.Contains(log, "post: ") {
		t.Errorf("a post step ran after the budget\n%s", log)
	}
}

// Post steps run within a cancelled job's budget, before Run returns.
func TestCancelRunsPostSteps(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, `
on: push
jobs:
  test:
    runs-on: cc-ci
    steps:
      - uses: ./actions/node
        with: {text: kept}
      - run: |
          echo ready
          sleep 30
`)
	copyFolder(t, "testdata/workspace", job.Workspace)
	log, _, _ := runCancelled(t, job, place, "ready")
	if !strings.Contains(log, "  | post: kept\n") {
		t.Errorf("the post step didn't run\n%s", log)
	}
}

// A job cancelled before it begins runs nothing but what asks for it.
func TestCancelledBefore(t *testing.T) {
	place := newPlace(t)
	job := newJob(t, place, "on: push\njobs: {test: {runs-on: cc-ci, steps: [{run: echo one}, {if: always(), run: echo two}]}}\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	sink := &journal{}
	result, _, err := steps.Run(ctx, job, place, sink)
	if result != "cancelled" || err != nil {
		t.Errorf("%s %v", result, err)
	}
	wantSteps(t, sink.text(), "skipped", "success")
}

// wantSteps checks the steps' results, in order.
func wantSteps(t *testing.T, log string, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(log) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "step" && fields[2] != "started" {
			got = append(got, fields[2])
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("steps ended %v, not %v\n%s", got, want, log)
	}
}
