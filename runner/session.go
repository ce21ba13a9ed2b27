package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/report"
	"github.com/rs/zerolog"
)

// session is one run of a daemon: from its identity to the end of its last job.
type session struct {
	identity Identity
	labels   Labels
	version  string
	client   *gitea.Client
	runner   executor.Runner
	log      zerolog.Logger
	pace     pace
	onIdle   func()
	poller   *poller

	// slots has room for as many as may run at once; running waits for them.
	slots   chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// tasks are those that run.
	tasks map[int64]struct{}
}

// declare tells Gitea that the runner is here, and waits a while for a Gitea
// that is away, as after a restart of both. A context that ends isn't an error.
func (s *session) declare(ctx context.Context) error {
	deadline := time.Now().Add(s.pace.start)
	for first := true; ; first = false {
		err := s.client.Declare(ctx, s.version, s.labels.Names())
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case gitea.Final(err), errors.Is(err, gitea.ErrCertificate), time.Now().After(deadline):
			return fmt.Errorf("declaring the runner %q: %w", s.identity.Name, err)
		case first:
			s.log.Warn().Err(err).Dur("within", s.pace.start).Msg("Gitea doesn't answer yet; trying on")
		}
		timer := time.NewTimer(s.pace.startRetry)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// serve takes tasks until ctx ends or Gitea no longer knows the runner, then
// waits for the jobs that run.
func (s *session) serve(ctx, force context.Context) error {
	jobs, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(force, func() { stop(executor.ErrShutdown) })()
	err := s.take(ctx, jobs)
	s.drain(stop)
	return err
}

// take starts a job for each task that comes, as long as there is room. Without
// room it doesn't ask: a task in hand can't be given back.
func (s *session) take(ctx, jobs context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s.slots <- struct{}{}:
		}
		task, err := s.poller.next(ctx)
		if task == nil {
			<-s.slots
			return err
		}
		s.running.Go(func() {
			s.runOnce(jobs, task)
			<-s.slots
			s.poller.forget()
		})
	}
}

// drain waits for the jobs that run, and stops them when that takes too long.
func (s *session) drain(stop context.CancelCauseFunc) {
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	timer := time.NewTimer(s.pace.shutdown)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	s.log.Warn().Msg("jobs still run at the end of the shutdown timeout: stopping them")
	stop(executor.ErrShutdown)
	<-done
}

// runOnce runs a task, unless it runs already: a proxy that repeats an answer of
// Gitea's would have it deployed twice.
func (s *session) runOnce(jobs context.Context, task *runnerv1.Task) {
	s.mu.Lock()
	_, twice := s.tasks[task.GetId()]
	s.tasks[task.GetId()] = struct{}{}
	s.mu.Unlock()
	if twice {
		s.log.Warn().Int64("task", task.GetId()).Msg("Gitea handed a task over twice; it runs once")
		return
	}
	s.runTask(jobs, task)
	s.mu.Lock()
	delete(s.tasks, task.GetId())
	idle := len(s.tasks) == 0
	s.mu.Unlock()
	if idle {
		s.onIdle()
	}
}

// runTask runs a task and reports it to its end.
func (s *session) runTask(jobs context.Context, task *runnerv1.Task) {
	ctx, stop := context.WithCancelCause(jobs)
	defer stop(nil)
	a := assign(task, s.labels)
	log := s.log.With().Int64("task", task.GetId()).Str("repository", a.job.Context["repository"]).Str("job", a.job.ID).Logger()
	rep := report.Start(s.client, report.Options{
		Task: task.GetId(), Steps: a.steps, Stop: stop, Pace: s.pace.report, Log: log,
	})
	rep.Mask(a.secrets...)
	log.Info().Msg("job begins")
	begun := time.Now()
	outcome := s.execute(ctx, a, rep, log)
	closing, cancel := s.closingContext(jobs)
	defer cancel()
	if err := rep.Close(closing, outcome); err != nil {
		log.Error().Err(err).Msg("the end of the job did not reach Gitea whole")
	}
	log.Info().Str("result", string(outcome.Result)).Dur("took", time.Since(begun)).Msg("job ended")
}

// execute runs the job, or says why it isn't run. A panic ends the job, not the
// daemon: its fault goes to the runner's log, since a trace may hold secrets.
func (s *session) execute(ctx context.Context, a assignment, rep executor.Reporter, log zerolog.Logger) (out executor.Outcome) {
	defer func() {
		if fault := recover(); fault != nil {
			log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("the job ended with a panic")
			rep.Row(time.Now(), "The runner has a fault and could not end this job properly. Its operator finds it in the runner's log.")
			out = executor.Outcome{Result: executor.Infra, Err: errors.New("panic in the runner")}
		}
	}()
	if a.refusal != "" {
		rep.Row(time.Now(), a.refusal)
		return executor.Outcome{Result: executor.Failure, Err: errors.New(a.refusal)}
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		rep.Row(time.Now(), fmt.Sprintf("The job did not begin: %v. Run it again.", cause))
		return executor.Outcome{Result: executor.Cancelled, Err: cause}
	}
	return s.runner.Run(ctx, a.job, rep)
}

// closingContext bounds the last calls of a job. It isn't cancelled with the
// jobs: also a cancelled job's end must get to Gitea.
func (s *session) closingContext(jobs context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(jobs))
	late := time.AfterFunc(s.pace.closing, func() { cancel(errors.New("no answer from Gitea for too long")) })
	unhook := context.AfterFunc(jobs, func() {
		late.Stop()
		late.Reset(s.pace.closingForced)
	})
	return ctx, func() {
		unhook()
		late.Stop()
		cancel(nil)
	}
}
