package report_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/giteatest"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/report"
	"github.com/rs/zerolog"
)

// quick is a pace at which tests don't wait.
var quick = report.Pace{
	Latency:   2 * time.Millisecond,
	Gap:       time.Millisecond,
	Heartbeat: 10 * time.Millisecond,
	Retry:     time.Millisecond,
	RetryMax:  5 * time.Millisecond,
	LogAlone:  time.Minute,
	Grace:     time.Second,
}

// idle is a pace at which nothing is sent but what is asked for.
var idle = report.Pace{
	Latency:   time.Hour,
	Gap:       time.Millisecond,
	Heartbeat: time.Hour,
	Retry:     time.Millisecond,
	RetryMax:  5 * time.Millisecond,
	Grace:     time.Second,
}

// reported is a task under report.
type reported struct {
	*report.Reporter
	server *giteatest.Server
	task   int64
	// job ends when the Reporter stops the job.
	job context.Context
	t   testing.TB
}

// begin queues a task on a new Gitea, fetches it and starts to report it.
func begin(t testing.TB, version giteatest.Version, steps int, pace report.Pace) *reported {
	t.Helper()
	server := giteatest.New(t, version)
	known := server.Enrol("test", "cc-ci")
	client, err := gitea.New(gitea.Options{Address: server.URL, UUID: known.Uuid, Token: known.Token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	id := server.Queue(giteatest.Job{RunsOn: []string{"cc-ci"}})
	if task, _, err := client.Fetch(t.Context(), 0); err != nil || task.GetId() != id {
		t.Fatalf("Fetch = %v, %v", task, err)
	}
	job, stop := context.WithCancelCause(t.Context())
	rep := report.Start(client, report.Options{Task: id, Steps: steps, Stop: stop, Pace: pace, Log: zerolog.Nop()})
	return &reported{rep, server, id, job, t}
}

// end closes the report, which must go well, and returns the page.
func (r *reported) end(out executor.Outcome) giteatest.Page {
	r.t.Helper()
	if err := r.Close(r.t.Context(), out); err != nil {
		r.t.Fatalf("Close: %v", err)
	}
	page := r.server.Page(r.task)
	if !page.Archived {
		r.t.Errorf("Gitea did not see the log's end")
	}
	return page
}

func (r *reported) rows(lines ...string) {
	for _, line := range lines {
		r.Row(time.Now(), line)
	}
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestRowsLieWhereTheyBelong(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		what     string
		steps    int
		job      func(r *reported) executor.Result
		setUp    []string
		each     []wantStep
		complete []string
	}{
		{
			"rows before, in and after the steps", 2,
			func(r *reported) executor.Result {
				r.rows("deploy")
				r.StepStarted(0, now)
				r.rows("one")
				r.StepFinished(0, now, executor.Success)
				r.StepStarted(1, now)
				r.rows("two")
				r.StepFinished(1, now, executor.Success)
				r.rows("teardown", "receipt")
				return executor.Success
			},
			[]string{"deploy"},
			[]wantStep{step(executor.Success, "one"), step(executor.Success, "two")},
			[]string{"teardown", "receipt"},
		},
		{
			"rows between two steps belong to the first of them", 2,
			func(r *reported) executor.Result {
				r.StepStarted(0, now)
				r.StepFinished(0, now, executor.Success)
				r.rows("between")
				r.StepStarted(1, now)
				r.StepFinished(1, now, executor.Success)
				return executor.Success
			},
			nil,
			[]wantStep{step(executor.Success, "between"), step(executor.Success)},
			nil,
		},
		{
			"rows after a failed step with no other to come are the job's end", 3,
			func(r *reported) executor.Result {
				r.rows("deploy")
				r.StepStarted(0, now)
				r.rows("one")
				r.StepFinished(0, now, executor.Failure)
				r.rows("teardown", "receipt")
				return executor.Failure
			},
			[]string{"deploy"},
			[]wantStep{step(executor.Failure, "one"), step(executor.Skipped), step(executor.Skipped)},
			[]string{"teardown", "receipt"},
		},
		{
			"rows of a first step that is skipped are counted once", 2,
			func(r *reported) executor.Result {
				r.rows("deploy")
				r.StepStarted(0, now)
				r.rows("why it is skipped")
				r.StepFinished(0, now, executor.Skipped)
				r.StepStarted(1, now)
				r.rows("two")
				r.StepFinished(1, now, executor.Success)
				r.rows("receipt")
				return executor.Success
			},
			[]string{"deploy", "why it is skipped"},
			[]wantStep{step(executor.Skipped), step(executor.Success, "two")},
			[]string{"receipt"},
		},
		{
			"a step that is skipped between two others has no rows", 3,
			func(r *reported) executor.Result {
				r.StepStarted(0, now)
				r.rows("one")
				r.StepFinished(0, now, executor.Success)
				r.StepFinished(1, now, executor.Skipped)
				r.StepStarted(2, now)
				r.rows("three")
				r.StepFinished(2, now, executor.Success)
				r.rows("receipt")
				return executor.Success
			},
			nil,
			[]wantStep{step(executor.Success, "one"), step(executor.Skipped), step(executor.Success, "three")},
			[]string{"receipt"},
		},
		{
			"a cancelled job leaves no step open", 3,
			func(r *reported) executor.Result {
				r.StepStarted(0, now)
				r.rows("one")
				r.StepFinished(0, now, executor.Success)
				r.StepStarted(1, now)
				r.rows("two")
				return executor.Cancelled
			},
			nil,
			[]wantStep{step(executor.Success, "one"), step(executor.Cancelled, "two"), step(executor.Cancelled)},
			nil,
		},
		{
			"a job that fails before its steps skips them, and all rows are its set-up", 1,
			func(r *reported) executor.Result {
				r.rows("deploy", "receipt")
				return executor.Infra
			},
			[]string{"deploy", "receipt"},
			[]wantStep{step(executor.Skipped)},
			nil,
		},
		{
			"a step that was running when the job broke off has failed", 1,
			func(r *reported) executor.Result {
				r.StepStarted(0, now)
				r.rows("one")
				return executor.Infra
			},
			nil,
			[]wantStep{step(executor.Failure, "one")},
			nil,
		},
		{
			"steps that don't exist, start twice or end twice change nothing", 1,
			func(r *reported) executor.Result {
				r.StepStarted(0, now)
				r.rows("one")
				r.StepStarted(0, now)
				r.StepStarted(7, now)
				r.StepFinished(0, now, executor.Success)
				r.StepFinished(0, now, executor.Failure)
				r.StepFinished(-1, now, executor.Failure)
				r.rows("receipt")
				return executor.Success
			},
			nil,
			[]wantStep{step(executor.Success, "one")},
			[]string{"receipt"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := begin(t, giteatest.V124, c.steps, idle)
			page := r.end(executor.Outcome{Result: c.job(r)})
			same(t, "Set up job", page.SetUp, c.setUp...)
			for i, want := range c.each {
				if got := page.Steps[i].Result.String(); got != "RESULT_"+strings.ToUpper(string(want.result)) {
					t.Errorf("step %d is %s, want %s", i, got, want.result)
				}
				same(t, fmt.Sprintf("step %d", i), page.Steps[i].Rows, want.rows...)
			}
			same(t, "Complete job", withoutOwn(page.Complete), c.complete...)
		})
	}
}

// wantStep is a step as the page should show it.
type wantStep struct {
	result executor.Result
	rows   []string
}

func step(result executor.Result, rows ...string) wantStep { return wantStep{result, rows} }

// withoutOwn leaves out the row with which a Reporter ends a log when all other
// rows were sent already.
func withoutOwn(rows []string) []string {
	return slices.DeleteFunc(slices.Clone(rows), func(row string) bool {
		return strings.HasPrefix(row, "The job has ended: ")
	})
}

func TestRowsAreMendedAndMasked(t *testing.T) {
	long := strings.Repeat("x", 64<<10-1)
	for _, c := range []struct {
		what string
		line string
		want []string
	}{
		{"a line goes as it is", "::group::Ünïcode", []string{"::group::Ünïcode"}},
		{"an empty line is a row", "", []string{""}},
		{"a line break at the end is no row", "one\r\n", []string{"one"}},
		{"line breaks within make rows", "one\r\ntwo\n\nthree", []string{"one", "two", "", "three"}},
		{"what overwrites itself is left to the page", "1%\r2%", []string{"1%\r2%"}},
		{"bytes that are no UTF-8 are replaced", "a\xffb\xc3", []string{"a\uFFFDb\uFFFD"}},
		{"a line over 64 KiB is split between characters", long + "é" + "tail", []string{long, "étail"}},
		{"a secret is masked", "my s3cret!", []string{"my ***!"}},
		{"a secret is masked although the line is split within it", long + "s3cret", []string{long + "*", "**"}},
		{"a line of a secret with several is masked", "that is BEGIN KEY", []string{"that is ***"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := begin(t, giteatest.V124, 0, quick)
			r.Mask("s3cret", "BEGIN KEY\nEND KEY")
			r.rows(c.line, "end")
			page := r.end(executor.Outcome{Result: executor.Success})
			got := page.Rows[:max(0, slices.Index(page.Rows, "end"))]
			same(t, "rows", got, c.want...)
		})
	}
}

// The newest row is kept back until the end, which Gitea before 1.27 ignores
// when it brings no new row.
func TestTheNewestRowIsKeptBack(t *testing.T) {
	r := begin(t, giteatest.V124, 1, idle)
	r.rows("first")
	r.server.Await("the first row, at once", func() bool { return len(r.server.Page(r.task).Rows) == 1 })
	r.rows("second", "third")
	r.Flush()
	r.server.Await("all rows but the newest", func() bool { return len(r.server.Page(r.task).Rows) == 2 })
	r.StepStarted(0, time.Now())
	r.rows("in the step")
	r.Flush()
	r.server.Await("the newest row too while a step runs", func() bool { return len(r.server.Page(r.task).Rows) == 4 })
	page := r.end(executor.Outcome{Result: executor.Success})
	same(t, "rows", page.Rows, "first", "second", "third", "in the step", "The job has ended: success")
}

func TestTheLogsEndReachesEveryGitea(t *testing.T) {
	for _, version := range []giteatest.Version{giteatest.V124, giteatest.V126, giteatest.V127} {
		for _, faults := range []struct {
			what string
			next []giteatest.Fault
		}{
			{"nothing goes wrong", nil},
			{"the answer is lost", []giteatest.Fault{giteatest.Lose}},
			{"the request is lost", []giteatest.Fault{giteatest.Drop}},
			{"a proxy says 502", []giteatest.Fault{giteatest.Status(502), giteatest.Status(502)}},
			{"a proxy says 404 while Gitea starts", []giteatest.Fault{giteatest.Status(404)}},
			{"the answer is rubbish", []giteatest.Fault{giteatest.Garble}},
		} {
			t.Run(fmt.Sprintf("%d: %s", version, faults.what), func(t *testing.T) {
				t.Parallel()
				r := begin(t, version, 0, idle)
				r.rows("one")
				r.server.Await("the first row", func() bool { return len(r.server.Page(r.task).Rows) == 1 })
				r.rows("two", "three")
				r.server.Fault(giteatest.UpdateLog, faults.next...)
				r.server.Fault(giteatest.UpdateTask, faults.next...)
				page := r.end(executor.Outcome{Result: executor.Failure})
				same(t, "rows", page.Rows, "one", "two", "three")
				if page.Result != runnerv1.Result_RESULT_FAILURE || page.State.StoppedAt == nil {
					t.Errorf("the page says %v, stopped at %v", page.Result, page.State.StoppedAt)
				}
			})
		}
	}
}

// A job without a word still closes its log.
func TestAJobWithoutRows(t *testing.T) {
	r := begin(t, giteatest.V124, 0, quick)
	page := r.end(executor.Outcome{Result: executor.Success})
	same(t, "rows", page.Rows, "The job has ended: success")
}

// Every row arrives once and in order, whatever happens to the calls.
func TestNoRowIsLostOrDoubled(t *testing.T) {
	r := begin(t, giteatest.V124, 0, quick)
	r.server.Fault(giteatest.UpdateLog, giteatest.Fine, giteatest.Lose, giteatest.Drop, giteatest.Garble,
		giteatest.Status(500), giteatest.Lose, giteatest.Fine, giteatest.Lose, giteatest.Drop)
	const count = 30_000
	for i := range count {
		r.rows(fmt.Sprint("row ", i))
	}
	page := r.end(executor.Outcome{Result: executor.Success})
	if len(page.Rows) < count {
		t.Fatalf("Gitea has %d rows of %d", len(page.Rows), count)
	}
	for i := range count {
		if want := fmt.Sprint("row ", i); page.Rows[i] != want {
			t.Fatalf("row %d is %q", i, page.Rows[i])
		}
	}
}

// A Gitea that lost rows it had acknowledged gets them again.
func TestRowsGiteaLostAreSentAgain(t *testing.T) {
	r := begin(t, giteatest.V124, 1, quick)
	r.StepStarted(0, time.Now())
	r.rows("one", "two", "three")
	r.server.Await("three rows", func() bool { return len(r.server.Page(r.task).Rows) == 3 })
	r.server.Forget(r.task, 1)
	r.rows("four")
	r.server.Await("four rows", func() bool { return len(r.server.Page(r.task).Rows) == 4 })
	r.rows("five")
	page := r.end(executor.Outcome{Result: executor.Success})
	same(t, "rows", page.Rows[:5], "one", "two", "three", "four", "five")
}

// The job's end is tried until Gitea is back.
func TestTheEndOutlastsAnAbsentGitea(t *testing.T) {
	r := begin(t, giteatest.V124, 1, quick)
	r.StepStarted(0, time.Now())
	r.rows("one")
	r.server.Away(giteatest.Status(502))
	closed := make(chan error, 1)
	calls := r.server.Calls(giteatest.UpdateLog)
	go func() { closed <- r.Close(t.Context(), executor.Outcome{Result: executor.Success}) }()
	r.server.Await("five tries", func() bool { return r.server.Calls(giteatest.UpdateLog) > calls+5 })
	r.server.Back()
	if err := <-closed; err != nil {
		t.Fatalf("Close: %v", err)
	}
	if page := r.server.Page(r.task); page.Result != runnerv1.Result_RESULT_SUCCESS || !page.Archived {
		t.Errorf("the page says %v, archived %v", page.Result, page.Archived)
	}
}

// A log that Gitea takes no row of doesn't keep the result from it.
func TestTheResultOutlivesARefusedLog(t *testing.T) {
	pace := quick
	pace.LogAlone = 20 * time.Millisecond
	r := begin(t, giteatest.V124, 0, pace)
	r.server.Away(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if strings.HasSuffix(req.URL.Path, giteatest.UpdateLog) {
			giteatest.Status(http.StatusRequestEntityTooLarge)(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	r.rows("one")
	err := r.Close(t.Context(), executor.Outcome{Result: executor.Success})
	if err == nil || !strings.Contains(err.Error(), "doesn't take the log") {
		t.Errorf("Close = %v, want that the log is missing", err)
	}
	if page := r.server.Page(r.task); page.Result != runnerv1.Result_RESULT_SUCCESS {
		t.Errorf("the page says %v", page.Result)
	}
}

// Close gives up with its context, and says what is missing.
func TestTheEndHasABound(t *testing.T) {
	r := begin(t, giteatest.V124, 0, quick)
	r.server.Away(giteatest.Drop)
	ctx, cancel := context.WithCancelCause(t.Context())
	r.rows("one")
	calls := r.server.Calls(giteatest.UpdateLog)
	closed := make(chan error, 1)
	go func() { closed <- r.Close(ctx, executor.Outcome{Result: executor.Success}) }()
	r.server.Await("three tries", func() bool { return r.server.Calls(giteatest.UpdateLog) > calls+3 })
	cancel(errors.New("enough"))
	err := <-closed
	if err == nil || !strings.Contains(err.Error(), "enough") || !errors.Is(err, gitea.ErrUnreachable) {
		t.Errorf("Close = %v", err)
	}
}

func TestGiteaStopsTheJob(t *testing.T) {
	for _, c := range []struct {
		what string
		stop func(r *reported)
		want error
		says string
	}{
		{"somebody cancels it", func(r *reported) { r.server.Cancel(r.task) }, executor.ErrCancelled, "the job was cancelled"},
		{"Gitea takes it for dead", func(r *reported) { r.server.GiveUp(r.task) }, executor.ErrCancelled, "took it for dead"},
		{"the runner is deleted", func(r *reported) { r.server.Delete("00000000-0000-4000-8000-000000000001") }, gitea.ErrUnregistered, "register"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := begin(t, giteatest.V124, 1, quick)
			r.rows("one")
			c.stop(r)
			<-r.job.Done()
			cause := context.Cause(r.job)
			if !errors.Is(cause, c.want) || !errors.Is(cause, executor.ErrCancelled) || !strings.Contains(cause.Error(), c.says) {
				t.Errorf("the job's context ended with %v", cause)
			}
			r.rows("teardown")
			// Whether Gitea takes the rest isn't said here: only that Close ends.
			_ = r.Close(t.Context(), executor.Outcome{Result: executor.Cancelled})
		})
	}
}

// After a cancellation Gitea still takes rows, and gets them to the last.
func TestACancelledJobsLogIsWhole(t *testing.T) {
	r := begin(t, giteatest.V124, 0, quick)
	r.rows("one")
	r.server.Cancel(r.task)
	<-r.job.Done()
	r.rows("teardown", "receipt")
	page := r.end(executor.Outcome{Result: executor.Cancelled})
	same(t, "rows", page.Rows[:3], "one", "teardown", "receipt")
}

// Outputs are there before the result, which starts the jobs that need them.
func TestOutputs(t *testing.T) {
	r := begin(t, giteatest.V124, 0, quick)
	r.server.Fault(giteatest.UpdateTask, giteatest.Lose, giteatest.Drop)
	r.rows("one")
	page := r.end(executor.Outcome{Result: executor.Success, Outputs: map[string]string{
		"a": "1", "b": strings.Repeat("x", 1<<20), "big": strings.Repeat("x", 1<<20+1), strings.Repeat("k", 256): "2",
	}})
	if len(page.Outputs) != 2 || page.Outputs["a"] != "1" || len(page.Outputs["b"]) != 1<<20 {
		t.Errorf("Gitea has %d outputs", len(page.Outputs))
	}
	told := strings.Join(page.Rows, "\n")
	if !strings.Contains(told, `"big" is not passed on`) || !strings.Contains(told, "its name is over 255 bytes") {
		t.Errorf("the log doesn't tell of outputs that are too large:\n%s", told)
	}
}

// States are sent when steps change, without waiting for a heartbeat.
func TestStepsShowAtOnce(t *testing.T) {
	r := begin(t, giteatest.V124, 2, idle)
	step := func(index int) giteatest.Step {
		if page := r.server.Page(r.task); len(page.Steps) > index {
			return page.Steps[index]
		}
		return giteatest.Step{}
	}
	r.rows("deploy")
	r.StepStarted(0, time.Now())
	r.server.Await("the first step to run", func() bool {
		page := r.server.Page(r.task)
		return len(page.Steps) == 2 && page.State.Steps[0].StartedAt != nil && len(page.SetUp) == 1
	})
	r.rows("one", "two")
	r.StepFinished(0, time.Now(), executor.Success)
	r.server.Await("the first step to end", func() bool { return step(0).Result == runnerv1.Result_RESULT_SUCCESS })
	r.StepStarted(1, time.Now())
	r.rows("three")
	r.Flush()
	r.server.Await("the second step's row", func() bool { return len(r.server.Page(r.task).Rows) == 4 })
	r.end(executor.Outcome{Result: executor.Success})
}

// A log that Gitea doesn't take doesn't fill the memory: rows are cut, and the
// log says how many, where they would be.
func TestRowsAreCutWhenGiteaIsAway(t *testing.T) {
	r := begin(t, giteatest.V124, 1, quick)
	r.server.Away(giteatest.Drop)
	r.StepStarted(0, time.Now())
	line := strings.Repeat("x", 60<<10)
	const count = 450
	for range count {
		r.rows(line)
	}
	r.server.Back()
	page := r.end(executor.Outcome{Result: executor.Failure})
	rows := page.Steps[0].Rows
	whole := slices.IndexFunc(rows, func(row string) bool { return row != line })
	want := fmt.Sprintf("[cc-ci] %d rows are missing here: Gitea took the log more slowly than it was written", count-whole)
	if whole < 350 || rows[whole] != want {
		t.Errorf("after %d of %d rows the log says %.100q, want %q", whole, len(rows), rows[max(whole, 0)], want)
	}
}

// Rows that Gitea lost long after it took them can't be had again; others stand
// in their places, so that each later row stays with its step.
func TestRowsLostLongAgoKeepTheirPlace(t *testing.T) {
	r := begin(t, giteatest.V124, 1, quick)
	line := strings.Repeat("x", 60<<10)
	const count = 64
	for range count {
		r.rows(line)
	}
	r.StepStarted(0, time.Now())
	r.server.Await("all rows", func() bool { return len(r.server.Page(r.task).Rows) == count })
	r.server.Forget(r.task, 1)
	r.rows("in the step")
	page := r.end(executor.Outcome{Result: executor.Failure})
	if len(page.SetUp) != count || page.SetUp[1] != "[cc-ci] Gitea lost this row" || page.SetUp[count-1] != line {
		t.Errorf("%d rows of the set-up, the second %.40q, the last %.40q", len(page.SetUp), page.SetUp[1], page.SetUp[count-1])
	}
	same(t, "rows of the step", withoutOwn(page.Steps[0].Rows), "in the step")
}
