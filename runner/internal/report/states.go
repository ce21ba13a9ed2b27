package report

import (
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// states are the steps of one job and the rows each has. Gitea shows what comes
// before the first step that ran as "Set up job" and what comes after the sum of
// all steps' rows as "Complete job" (Gitea 1.24 to 1.27,
// modules/actions/task_state.go), so the steps' rows must lie side by side:
// rows between two steps are the earlier one's, which is known only when the
// later one starts. It isn't safe for several goroutines.
type states struct {
	steps []step
	// last is the step that started last, or -1.
	last int
}

type step struct {
	started, stopped time.Time
	result           executor.Result
	// first is the index of the step's first row, end that after its last.
	first, end int64
}

// running reports whether the step has started and not ended.
func (s *step) running() bool { return !s.started.IsZero() && s.result == "" }

func newStates(count int) states {
	return states{steps: make([]step, count), last: -1}
}

// start notes that a step begins; next is the index of the next row. It reports
// whether anything changed: a step that Gitea doesn't know, or that has begun
// already, is left alone.
func (s *states) start(index int, at time.Time, next int64) bool {
	if index < 0 || index >= len(s.steps) || !s.steps[index].started.IsZero() || s.steps[index].result != "" {
		return false
	}
	if s.last >= 0 {
		s.steps[s.last].end = next
	}
	s.steps[index] = step{started: at, first: next, end: next}
	s.last = index
	return true
}

// finish notes how a step ended and reports whether anything changed. A step
// that never started has no rows.
func (s *states) finish(index int, at time.Time, result executor.Result, next int64) bool {
	if index < 0 || index >= len(s.steps) || s.steps[index].result != "" {
		return false
	}
	done := &s.steps[index]
	switch {
	case done.started.IsZero():
		done.first = s.tail(next)
		done.end = done.first
	case index == s.last:
		done.end = next
	}
	done.stopped, done.result = at, result
	if result == executor.Skipped && !s.anyRan() {
		// Gitea counts rows of skipped steps that come first twice, so those stay
		// with "Set up job".
		done.end = done.first
		s.last = -1
	}
	return true
}

// tail is where a step without rows lies: at the end of the steps' rows.
func (s *states) tail(next int64) int64 {
	if s.last >= 0 && !s.steps[s.last].running() {
		return s.steps[s.last].end
	}
	return next
}

// anyRan reports whether a step has started that wasn't skipped.
func (s *states) anyRan() bool {
	for i := range s.steps {
		if !s.steps[i].started.IsZero() && s.steps[i].result != executor.Skipped {
			return true
		}
	}
	return false
}

// anyRunning reports whether a step is running now.
func (s *states) anyRunning() bool { return s.last >= 0 && s.steps[s.last].running() }

// close ends the steps that haven't: what runs ends as the job does, since a
// step left open stays so on the page for ever; what never began is cancelled
// with a cancelled job and skipped with any other.
func (s *states) close(at time.Time, job executor.Result, next int64) {
	open, unborn := executor.Cancelled, executor.Skipped
	switch job {
	case executor.Cancelled:
		unborn = executor.Cancelled
	case executor.Failure, executor.Infra:
		// Gitea 1.24 shows "Complete job" only after a step that failed, or the last.
		open = executor.Failure
	}
	for i := range s.steps {
		switch {
		case s.steps[i].result != "":
		case s.steps[i].started.IsZero():
			s.finish(i, at, unborn, next)
		default:
			s.finish(i, at, open, next)
		}
	}
}

// encode is the steps as Gitea takes them; next is the index of the next row,
// up to which the rows of a running step go.
func (s *states) encode(next int64) []*runnerv1.StepState {
	encoded := make([]*runnerv1.StepState, len(s.steps))
	for i := range s.steps {
		one := &s.steps[i]
		end := one.end
		if one.running() && i == s.last {
			end = next
		}
		encoded[i] = &runnerv1.StepState{
			Id:        int64(i),
			Result:    resultOf(one.result),
			StartedAt: stamp(one.started),
			StoppedAt: stamp(one.stopped),
			LogIndex:  one.first,
			LogLength: end - one.first,
		}
	}
	return encoded
}

// stamp is a time as the protocol has it; a time that isn't known is left out.
func stamp(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}

// resultOf is a result in the protocol's words. Gitea has none for a failure
// that isn't the recipe's.
func resultOf(result executor.Result) runnerv1.Result {
	switch result {
	case executor.Success:
		return runnerv1.Result_RESULT_SUCCESS
	case executor.Failure, executor.Infra:
		return runnerv1.Result_RESULT_FAILURE
	case executor.Cancelled:
		return runnerv1.Result_RESULT_CANCELLED
	case executor.Skipped:
		return runnerv1.Result_RESULT_SKIPPED
	}
	return runnerv1.Result_RESULT_UNSPECIFIED
}
