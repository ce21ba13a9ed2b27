package runner_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/giteatest"
	"github.com/rs/zerolog"
)

// run is an executor of one function.
type run func(ctx context.Context, job executor.Job, report executor.Reporter) executor.Outcome

func (r run) Run(ctx context.Context, job executor.Job, report executor.Reporter) executor.Outcome {
	return r(ctx, job, report)
}

// life is a daemon that runs.
type life struct {
	*runner.Daemon
	server       *giteatest.Server
	uuid         string
	drain, force context.CancelFunc
	ended        chan error
}

// live starts a daemon on a new Gitea; change may alter it before.
func live(t *testing.T, jobs run, change ...func(*life)) *life {
	t.Helper()
	server := giteatest.New(t, giteatest.V124)
	known := server.Enrol("here", "old-label")
	id := runner.Identity{ID: known.Id, UUID: known.Uuid, Name: known.Name, Token: known.Token, Address: server.URL, Labels: []string{"cc-ci:docker://image"}}
	l := &life{
		Daemon: &runner.Daemon{
			IdentityFile: filepath.Join(t.TempDir(), "identity.json"),
			Version:      "1",
			Runner:       jobs,
			Log:          zerolog.Nop(),
		},
		server: server,
		uuid:   known.Uuid,
		ended:  make(chan error, 1),
	}
	if err := id.Save(l.IdentityFile); err != nil {
		t.Fatal(err)
	}
	l.Hasten()
	for _, c := range change {
		c(l)
	}
	ctx, drain := context.WithCancel(context.Background())
	hard, force := context.WithCancel(context.Background())
	l.drain, l.force = drain, force
	go func() { l.ended <- l.Run(ctx, hard) }()
	t.Cleanup(func() {
		force()
		select {
		case err := <-l.ended:
			l.ended <- err
		case <-time.After(20 * time.Second):
			t.Error("the daemon does not end")
		}
	})
	return l
}

// workflow is a job with two steps.
func workflow(runsOn string) string {
	return "name: CI\non: push\njobs:\n  test:\n    " + runsOn + "\n    steps:\n      - run: one\n      - run: two\n"
}

// queue lets a job wait that the daemon takes.
func (l *life) queue() int64 {
	return l.server.Queue(giteatest.Job{Workflow: workflow("runs-on: cc-ci"), RunsOn: []string{"cc-ci"}})
}

// done waits for a task's end.
func (l *life) done(id int64) giteatest.Page {
	l.server.Await(fmt.Sprintf("the end of task %d", id), func() bool {
		page := l.server.Page(id)
		return page.State.GetResult() != 0
	})
	return l.server.Page(id)
}

func succeed(context.Context, executor.Job, executor.Reporter) executor.Outcome {
	return executor.Outcome{Result: executor.Success}
}

// takes sends a name for each job that begins and waits for leave to end it, or
// for its context, whose cause is the outcome's error.
func takes(began chan<- string, leave <-chan struct{}) run {
	return func(ctx context.Context, job executor.Job, report executor.Reporter) executor.Outcome {
		report.Row(time.Now(), "job begins")
		began <- job.Task
		select {
		case <-leave:
			return executor.Outcome{Result: executor.Success}
		case <-ctx.Done():
			report.Row(time.Now(), "teardown because "+context.Cause(ctx).Error())
			return executor.Outcome{Result: executor.Cancelled, Err: context.Cause(ctx)}
		}
	}
}

// What Gitea sends arrives as the executor's job, and the result on the page.
func TestAJobFromGitea(t *testing.T) {
	got := make(chan executor.Job, 1)
	l := live(t, func(_ context.Context, job executor.Job, report executor.Reporter) executor.Outcome {
		got <- job
		report.Row(time.Now(), "the token is t0ken and the secret s3cret, runtime runt1me")
		return executor.Outcome{Result: executor.Success, Outputs: map[string]string{"o": "v"}}
	})
	id := l.server.Queue(giteatest.Job{
		Workflow: workflow("runs-on: [cc-ci]"),
		RunsOn:   []string{"cc-ci"},
		Context: map[string]any{
			"actor": "me", "sha": "abc", "run_number": "7", "retention_days": 3.0, "ref_protected": false,
			"token": "t0ken", "gitea_runtime_token": "runt1me", "gitea_default_actions_url": "https://actions",
			"event": map[string]any{"after": "abc", "id": 12345678901.0},
		},
		Secrets: map[string]string{"S": "s3cret", "GITEA_TOKEN": "t0ken"},
		Vars:    map[string]string{"V": "v"},
		Needs:   map[string]*runnerv1.TaskNeed{"build": {Result: runnerv1.Result_RESULT_SUCCESS, Outputs: map[string]string{"a": "b"}}},
	})
	job := <-got
	page := l.done(id)
	for what, pair := range map[string][2]string{
		"task":        {job.Task, fmt.Sprint(id)},
		"id":          {job.ID, "test"},
		"actor":       {job.Context["actor"], "me"},
		"a number":    {job.Context["retention_days"], "3"},
		"a boolean":   {job.Context["ref_protected"], "false"},
		"event":       {string(job.Event), `{"after":"abc","id":12345678901}`},
		"token":       {job.Token, "t0ken"},
		"runtime":     {job.RuntimeToken, "runt1me"},
		"actions URL": {job.ActionsURL, "https://actions"},
		"secret":      {job.Secrets["S"], "s3cret"},
		"var":         {job.Vars["V"], "v"},
		"need":        {job.Needs["build"].Result + job.Needs["build"].Outputs["a"], "successb"},
		"image":       {job.Image, "image"},
		"token twice": {job.Context["token"], ""},
		"row":         {page.Rows[0], "the token is *** and the secret ***, runtime ***"},
		"output":      {page.Outputs["o"], "v"},
		"result":      {page.Result.String(), "RESULT_SUCCESS"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
	if labels := l.server.Labels(l.uuid); len(labels) != 1 || labels[0] != "cc-ci" {
		t.Errorf("declared labels are %q", labels)
	}
}

func TestJobsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		what     string
		workflow string
		says     string
	}{
		{"a job without runs-on, which Gitea gives to any runner", workflow("name: x"), "Write `runs-on: cc-ci`"},
		{"a job for a label that this runner had before", workflow("runs-on: [cc-ci, big]"), `asks for runs-on "big"`},
		{"a workflow that is no YAML", "jobs: [", "can't be read"},
		{"a workflow without a job", "name: CI", "0 jobs"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			l := live(t, func(context.Context, executor.Job, executor.Reporter) executor.Outcome {
				t.Error("the job was run")
				return executor.Outcome{}
			})
			page := l.done(l.server.Queue(giteatest.Job{Workflow: c.workflow}))
			if page.Result != runnerv1.Result_RESULT_FAILURE || !strings.Contains(strings.Join(page.Rows, "\n"), c.says) {
				t.Errorf("the page says %v: %q", page.Result, page.Rows)
			}
			for i, step := range page.Steps {
				if step.Result != runnerv1.Result_RESULT_SKIPPED {
					t.Errorf("step %d is %v", i, step.Result)
				}
			}
		})
	}
}

func TestResults(t *testing.T) {
	for result, want := range map[executor.Result]runnerv1.Result{
		executor.Success:   runnerv1.Result_RESULT_SUCCESS,
		executor.Failure:   runnerv1.Result_RESULT_FAILURE,
		executor.Infra:     runnerv1.Result_RESULT_FAILURE,
		executor.Cancelled: runnerv1.Result_RESULT_CANCELLED,
		executor.Skipped:   runnerv1.Result_RESULT_SKIPPED,
	} {
		t.Run(string(result), func(t *testing.T) {
			t.Parallel()
			l := live(t, func(context.Context, executor.Job, executor.Reporter) executor.Outcome {
				return executor.Outcome{Result: result}
			})
			if page := l.done(l.queue()); page.Result != want {
				t.Errorf("the page says %v, want %v", page.Result, want)
			}
		})
	}
}

// A job that ends with a panic fails; the daemon takes the next.
func TestAPanicIsAFailedJob(t *testing.T) {
	var first atomic.Bool
	l := live(t, func(context.Context, executor.Job, executor.Reporter) executor.Outcome {
		if first.CompareAndSwap(false, true) {
			panic("s3cret")
		}
		return executor.Outcome{Result: executor.Success}
	})
	page := l.done(l.queue())
	if page.Result != runnerv1.Result_RESULT_FAILURE || strings.Contains(strings.Join(page.Rows, "\n"), "s3cret") {
		t.Errorf("the page says %v: %q", page.Result, page.Rows)
	}
	if page := l.done(l.queue()); page.Result != runnerv1.Result_RESULT_SUCCESS {
		t.Errorf("the next job is %v", page.Result)
	}
}

// A cancellation on the page ends the job's context, with the reason.
func TestCancelOnThePage(t *testing.T) {
	began := make(chan string, 1)
	cause := make(chan error, 1)
	l := live(t, func(ctx context.Context, job executor.Job, _ executor.Reporter) executor.Outcome {
		began <- job.Task
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return executor.Outcome{Result: executor.Cancelled}
	})
	id := l.queue()
	<-began
	l.server.Cancel(id)
	if err := <-cause; !errors.Is(err, executor.ErrCancelled) {
		t.Errorf("the job's context ended with %v", err)
	}
}

// As many jobs run at once as there is room for, and Gitea isn't asked for more.
func TestCapacity(t *testing.T) {
	began, leave := make(chan string, 3), make(chan struct{})
	l := live(t, takes(began, leave), func(l *life) { l.Capacity = 2 })
	ids := []int64{l.queue(), l.queue(), l.queue()}
	<-began
	<-began
	asked := l.server.Calls(giteatest.FetchTask)
	beats := l.server.Calls(giteatest.UpdateTask)
	l.server.Await("twenty heartbeats", func() bool { return l.server.Calls(giteatest.UpdateTask) > beats+20 })
	if now := l.server.Calls(giteatest.FetchTask); now != asked {
		t.Errorf("Gitea was asked %d times for tasks while there was no room", now-asked)
	}
	close(leave)
	<-began
	for _, id := range ids {
		l.done(id)
	}
}

// A job that waits is found although Gitea's version says that nothing is new.
func TestJobsAreNotStranded(t *testing.T) {
	t.Run("after the version was forgotten by the clock", func(t *testing.T) {
		l := live(t, succeed, func(l *life) { l.Forget(20 * time.Millisecond) })
		id := l.queue()
		l.server.LoseRaces(1)
		l.done(id)
	})
	t.Run("after a task came", func(t *testing.T) {
		began, leave := make(chan string, 2), make(chan struct{})
		l := live(t, takes(began, leave), func(l *life) { l.Capacity = 2 })
		l.queue()
		<-began
		l.server.QueueUnseen(giteatest.Job{Workflow: workflow("runs-on: cc-ci")})
		// The question after the first task's may be over already; the job's end asks anew.
		close(leave)
		<-began
	})
	t.Run("after a task ended", func(t *testing.T) {
		began, leave := make(chan string, 2), make(chan struct{})
		l := live(t, takes(began, leave), func(l *life) { l.Capacity = 2 })
		first := l.queue()
		<-began
		asked := l.server.Calls(giteatest.FetchTask)
		l.server.Await("questions with the latest version", func() bool { return l.server.Calls(giteatest.FetchTask) > asked+3 })
		l.server.QueueUnseen(giteatest.Job{Workflow: workflow("runs-on: cc-ci")})
		close(leave)
		l.done(first)
		<-began
	})
}

// Gitea may be away at any time; the daemon goes on when it is back.
func TestGiteaIsAway(t *testing.T) {
	for _, c := range []struct {
		what  string
		fault giteatest.Fault
	}{
		{"it doesn't answer", giteatest.Drop},
		{"a proxy says 502", giteatest.Status(502)},
		{"a proxy says 404", giteatest.Status(404)},
		{"a proxy asks for a password", giteatest.Status(401)},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			l := live(t, succeed, func(l *life) { l.server.Away(c.fault) })
			l.server.Await("three declarations", func() bool { return l.server.Calls(giteatest.Declare) >= 3 })
			l.server.Back()
			l.done(l.queue())
			asked := l.server.Calls(giteatest.FetchTask)
			l.server.Away(c.fault)
			l.server.Await("three questions", func() bool { return l.server.Calls(giteatest.FetchTask) >= asked+3 })
			l.server.Back()
			l.done(l.queue())
		})
	}
}

// A runner that was deleted in Gitea ends, and says what to do.
func TestADeletedRunnerEnds(t *testing.T) {
	l := live(t, succeed)
	l.done(l.queue())
	l.server.Delete(l.uuid)
	err := <-l.ended
	l.ended <- err
	if !errors.Is(err, runner.ErrUnregistered) || !strings.Contains(err.Error(), "cc-ci register") {
		t.Errorf("Run = %v", err)
	}
}

func TestRunErrors(t *testing.T) {
	t.Run("an identity that Gitea doesn't know", func(t *testing.T) {
		l := live(t, succeed, func(l *life) { l.server.Delete(l.uuid) })
		if err := l.wait(); !errors.Is(err, runner.ErrUnregistered) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("no identity", func(t *testing.T) {
		l := live(t, succeed, func(l *life) { l.IdentityFile += ".none" })
		if err := l.wait(); !errors.Is(err, runner.ErrNoIdentity) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("a daemon with the same identity", func(t *testing.T) {
		l := live(t, succeed)
		l.server.Await("a question", func() bool { return l.server.Calls(giteatest.FetchTask) > 0 })
		second := &runner.Daemon{IdentityFile: l.IdentityFile, Runner: run(succeed)}
		if err := second.Run(t.Context(), t.Context()); !errors.Is(err, runner.ErrIdentityInUse) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("a Gitea that stays away at the start", func(t *testing.T) {
		l := live(t, succeed, func(l *life) {
			l.server.Away(giteatest.Drop)
			l.StartTimeout = time.Millisecond
		})
		if err := l.wait(); !errors.Is(err, runner.ErrUnreachable) {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("a clean-up that fails; Gitea hears nothing", func(t *testing.T) {
		l := live(t, succeed, func(l *life) {
			l.Prepare = func(context.Context, runner.Identity) error { return errors.New("no engine") }
		})
		if err := l.wait(); err == nil || !strings.Contains(err.Error(), "no engine") {
			t.Errorf("Run = %v", err)
		}
		if n := l.server.Calls(giteatest.Declare); n != 0 {
			t.Errorf("the runner was declared %d times", n)
		}
	})
}

// wait is Run's answer.
func (l *life) wait() error {
	err := <-l.ended
	l.ended <- err
	return err
}

// A drain takes no new job, and lets the running one end.
func TestDrain(t *testing.T) {
	began, leave := make(chan string, 2), make(chan struct{})
	idle := make(chan struct{}, 2)
	l := live(t, takes(began, leave), func(l *life) { l.OnIdle = func() { idle <- struct{}{} } })
	id := l.queue()
	<-began
	l.drain()
	next := l.queue()
	close(leave)
	if err := l.wait(); err != nil {
		t.Errorf("Run = %v", err)
	}
	<-idle // before the first job
	<-idle
	if page := l.server.Page(id); page.Result != runnerv1.Result_RESULT_SUCCESS || !page.Archived {
		t.Errorf("the running job is %v", page.Result)
	}
	if l.server.Handed(next) {
		t.Error("a job was taken after the drain began")
	}
}

// What runs at the end of the shutdown timeout, or when forced, is stopped, torn
// down and reported.
func TestForce(t *testing.T) {
	for _, c := range []struct {
		what  string
		force func(l *life)
		limit time.Duration
	}{
		{"a second signal", func(l *life) { l.drain(); l.force() }, time.Hour},
		{"a second signal without the first", func(l *life) { l.force() }, time.Hour},
		{"the end of the shutdown timeout", func(l *life) { l.drain() }, time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			began := make(chan string, 1)
			l := live(t, takes(began, nil), func(l *life) { l.ShutdownTimeout = c.limit })
			id := l.queue()
			<-began
			c.force(l)
			if err := l.wait(); err != nil {
				t.Errorf("Run = %v", err)
			}
			page := l.server.Page(id)
			if page.Result != runnerv1.Result_RESULT_CANCELLED || !page.Archived {
				t.Errorf("the job is %v, its log archived: %v", page.Result, page.Archived)
			}
			if rows := strings.Join(page.Rows, "\n"); !strings.Contains(rows, "teardown because "+executor.ErrShutdown.Error()) {
				t.Errorf("the job's rows are %q", rows)
			}
		})
	}
}

// A question under way when the daemon is stopped is answered, and the task in
// the answer is run, or closed with the reason when there is no time.
func TestAFetchIsNeverAborted(t *testing.T) {
	for _, c := range []struct {
		what  string
		stop  func(l *life)
		want  runnerv1.Result
		first string
	}{
		{"a drain runs the task", func(l *life) { l.drain() }, runnerv1.Result_RESULT_SUCCESS, "job begins"},
		{"force closes the task", func(l *life) { l.force() }, runnerv1.Result_RESULT_CANCELLED, "The job did not begin"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			arrived, release, leave := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
			close(leave)
			began := make(chan string, 1)
			l := live(t, takes(began, leave), func(l *life) {
				l.server.Fault(giteatest.FetchTask, giteatest.Hold(arrived, release))
			})
			<-arrived
			id := l.queue()
			c.stop(l)
			close(release)
			if err := l.wait(); err != nil {
				t.Errorf("Run = %v", err)
			}
			page := l.server.Page(id)
			if page.Result != c.want || !strings.HasPrefix(page.Rows[0], c.first) {
				t.Errorf("the page says %v: %q", page.Result, page.Rows)
			}
		})
	}
}

// An answer that is lost costs a job, which Gitea itself closes; the daemon goes
// on with the next.
func TestALostTaskDoesNotStopTheDaemon(t *testing.T) {
	for _, c := range []struct {
		what  string
		fault giteatest.Fault
	}{
		{"the connection breaks", giteatest.Lose},
		{"the answer is rubbish", giteatest.Garble},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			var lost int64
			l := live(t, succeed, func(l *life) {
				lost = l.queue()
				l.server.Fault(giteatest.FetchTask, c.fault)
			})
			l.server.Await("the lost task", func() bool { return l.server.Handed(lost) })
			l.done(l.queue())
		})
	}
}
