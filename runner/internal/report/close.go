package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

// Gitea's bounds on an output (models/actions/task_output.go); it drops what is
// over without a word.
const (
	outputKeyBytes   = 255
	outputValueBytes = 1 << 20
)

// outputTries bounds how often outputs are sent that Gitea takes without saying
// that it has them.
const outputTries = 5

// Close ends the log and tells Gitea the job's result and outputs, trying until
// ctx ends. No method may be called after it. Its error says what Gitea may not
// have got; the job itself is over in any case.
func (r *Reporter) Close(ctx context.Context, out executor.Outcome) error {
	stopped := time.Now()
	r.endLoops()
	outputs := r.admit(stopped, out.Outputs)
	r.lastWords(stopped, out)
	logErr := r.closeLog(ctx)
	if logErr != nil {
		logErr = fmt.Errorf("closing the log: %w", logErr)
	}
	if ctx.Err() != nil || gitea.Final(logErr) && !errors.Is(logErr, gitea.ErrArchived) {
		return logErr
	}
	return errors.Join(logErr, r.closeState(ctx, r.result(out.Result, stopped), outputs))
}

// endLoops ends both loops. A call under way may go on for a while: if the rows
// of a call cut off did arrive, they are no longer new.
func (r *Reporter) endLoops() {
	close(r.closing)
	grace := time.AfterFunc(r.opts.Pace.Grace, r.abort)
	r.loops.Wait()
	grace.Stop()
	r.abort()
}

// admit returns the outputs that Gitea takes; of each other one a row tells.
func (r *Reporter) admit(at time.Time, outputs map[string]string) map[string]string {
	admitted := make(map[string]string, len(outputs))
	for _, key := range slices.Sorted(maps.Keys(outputs)) {
		switch value := outputs[key]; {
		case len(key) > outputKeyBytes:
			r.Row(at, fmt.Sprintf("[cc-ci] the output %.40q… is not passed on: its name is over %d bytes", key, outputKeyBytes))
		case len(value) > outputValueBytes:
			r.Row(at, fmt.Sprintf("[cc-ci] the output %q is not passed on: it is over %d bytes", key, outputValueBytes))
		default:
			admitted[key] = value
		}
	}
	return admitted
}

// lastWords ends the steps, sees to it that the end of the log has a row that
// Gitea was never sent, and takes no more rows.
func (r *Reporter) lastWords(at time.Time, out executor.Outcome) {
	r.mu.Lock()
	r.rows.sayCut(at)
	r.states.close(at, out.Result, r.rows.next)
	needed := r.offered >= r.rows.next
	r.mu.Unlock()
	if needed {
		r.Row(at, fmt.Sprintf("The job has ended: %s", out.Result))
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
}

// errLogRefused: Gitea answers, but takes no row.
var errLogRefused = errors.New("Gitea answers, but doesn't take the log")

// closeLog sends the rows that are left, the last of them with the log's end.
//
// It goes on while Gitea is away. Where only the log can't be sent (a proxy's
// limit, a full disk of Gitea's), it gives up after Pace.LogAlone, for the
// result must not wait for ever behind a row; until then the job's state is told
// to Gitea as before, which takes a silent job for dead.
func (r *Reporter) closeLog(ctx context.Context) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var alone time.Time
	for {
		r.mu.Lock()
		left := r.rows.next - r.rows.acked
		end := r.rows.next
		r.mu.Unlock()
		if left == 0 {
			return nil
		}
		err := r.insist(ctx, func() error {
			err := r.sendRows(ctx, end, true)
			if err == nil || gitea.Final(err) {
				return err
			}
			_, beat := r.gitea.UpdateTask(ctx, &runnerv1.UpdateTaskRequest{State: r.snapshot()})
			switch {
			case beat != nil:
				alone = time.Time{}
			case alone.IsZero():
				alone = time.Now()
			case time.Since(alone) > r.opts.Pace.LogAlone:
				giveUp(errLogRefused)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// closeState sends the outputs until Gitea has them, since jobs that need this
// one start with the result, and then the result.
func (r *Reporter) closeState(ctx context.Context, final *runnerv1.TaskState, outputs map[string]string) error {
	for try := 0; len(outputs) > 0 && try < outputTries; try++ {
		if err := r.sendState(ctx, r.snapshot(), outputs); err != nil {
			return fmt.Errorf("sending the job's outputs: %w", err)
		}
	}
	if err := r.sendState(ctx, final, outputs); err != nil {
		return fmt.Errorf("sending the job's result: %w", err)
	}
	if len(outputs) > 0 {
		return fmt.Errorf("the job's result is told, but Gitea did not take the outputs %q", slices.Sorted(maps.Keys(outputs)))
	}
	return nil
}

// sendState sends a state with outputs, and takes from these what Gitea has.
func (r *Reporter) sendState(ctx context.Context, state *runnerv1.TaskState, outputs map[string]string) error {
	return r.insist(ctx, func() error {
		answer, err := r.gitea.UpdateTask(ctx, &runnerv1.UpdateTaskRequest{State: state, Outputs: outputs})
		for _, key := range answer.GetSentOutputs() {
			delete(outputs, key)
		}
		return err
	})
}

// insist makes a call until it goes well, can't, or ctx ends.
func (r *Reporter) insist(ctx context.Context, call func() error) error {
	var last error
	for delay := r.opts.Pace.Retry; ; delay = min(2*delay, r.opts.Pace.RetryMax) {
		err := call()
		if err == nil || gitea.Final(err) {
			return err
		}
		// That a call was cut off by ctx tells nothing of Gitea.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
		case <-timer.C:
		}
	}
}
