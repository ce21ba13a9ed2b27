package executor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Fault is why a job ended badly, in words for a maintainer.
type Fault struct {
	Phase string
	// Infra tells that the runner or its host is to blame, not the recipe.
	Infra bool
	// What went wrong, and Hint what to do about it ("" when What says it all).
	What string
	Hint string
	Err  error
}

func (f *Fault) Error() string { return f.Phase + ": " + f.What }

func (f *Fault) Unwrap() error { return f.Err }

// recipeFault blames the recipe or its workflow, infraFault the runner's side.
func recipeFault(err error, hint, format string, args ...any) *Fault {
	return &Fault{What: fmt.Sprintf(format, args...), Hint: hint, Err: err}
}

func infraFault(err error, hint, format string, args ...any) *Fault {
	return &Fault{Infra: true, What: fmt.Sprintf(format, args...), Hint: hint, Err: err}
}

// errPhaseTimeout is the cause of a phase's context when its own bound, and not
// the job's, ends it.
type errPhaseTimeout struct {
	phase string
	limit time.Duration
}

func (e *errPhaseTimeout) Error() string {
	return fmt.Sprintf("%s took longer than %s", e.phase, e.limit)
}

// asFault makes a Fault of any error. One that isn't a Fault yet is the
// runner's: a recipe is blamed only where the code has found it guilty.
func asFault(phase string, err error) *Fault {
	var fault *Fault
	if !errors.As(err, &fault) {
		fault = infraFault(err, "", "%v", err)
	}
	if fault.Phase == "" {
		fault.Phase = phase
	}
	return fault
}

// because adds why ctx ended, if it has: libraries say "context deadline
// exceeded" of a deadline that has a name.
func (f *Fault) because(ctx context.Context) *Fault {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(f, cause) {
		f.What = fmt.Sprintf("%v: %s", cause, f.What)
		f.Err = errors.Join(cause, f.Err)
	}
	return f
}
