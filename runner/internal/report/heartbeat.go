package report

import (
	"context"
	"fmt"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

// sendStates sends the steps' states when one has changed, and in any case at
// each heartbeat: that keeps Gitea from taking the job for dead, and its answer
// is the only way to learn of a cancellation. It ends when the Reporter closes,
// when ctx ends in mid-call, or when Gitea doesn't know the job any more.
func (r *Reporter) sendStates(ctx context.Context) {
	troubles := outage{log: r.opts.Log, what: "the steps' states"}
	for {
		if !r.pause(r.opts.Pace.Heartbeat, r.stateKick) {
			return
		}
		answer, err := r.gitea.UpdateTask(ctx, &runnerv1.UpdateTaskRequest{State: r.snapshot()})
		if ctx.Err() != nil {
			return
		}
		troubles.note(err)
		switch {
		case gitea.Final(err):
			r.opts.Stop(fmt.Errorf("%w: %w", executor.ErrCancelled, err))
			return
		case err == nil:
			r.heed(answer.GetState().GetResult())
		}
		if !r.pause(r.opts.Pace.Gap, nil) {
			return
		}
	}
}

// heed stops the job if Gitea has ended it, for whatever reason.
func (r *Reporter) heed(result runnerv1.Result) {
	switch result {
	case runnerv1.Result_RESULT_UNSPECIFIED:
	case runnerv1.Result_RESULT_CANCELLED:
		r.opts.Stop(executor.ErrCancelled)
	default:
		r.opts.Stop(fmt.Errorf("%w by Gitea, which took it for dead or past its own time limit", executor.ErrCancelled))
	}
}

// snapshot is the task's state as it is now, without a result.
func (r *Reporter) snapshot() *runnerv1.TaskState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &runnerv1.TaskState{
		Id:        r.opts.Task,
		StartedAt: stamp(r.begun),
		Steps:     r.states.encode(r.rows.next),
	}
}

// result is the task's state with its end.
func (r *Reporter) result(result executor.Result, at time.Time) *runnerv1.TaskState {
	state := r.snapshot()
	state.Result = resultOf(result)
	state.StoppedAt = stamp(at)
	return state
}
