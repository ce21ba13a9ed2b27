package main

import (
	"context"
	"os"
)

// stages turns signals into two contexts: the first signal ends gentle with
// cause, the second ends force as well. Release ends the goroutine that waits
// for them, and both contexts.
func (m *Main) stages(parent context.Context, cause error, said func(os.Signal, int)) (gentle, force context.Context, release func()) {
	gentle, endGentle := context.WithCancelCause(parent)
	force, endForce := context.WithCancelCause(context.WithoutCancel(parent))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for count := 1; ; count++ {
			select {
			case s := <-m.Signals:
				said(s, count)
			case <-done:
				return
			}
			endGentle(cause)
			if count > 1 {
				endForce(cause)
				return
			}
		}
	}()
	return gentle, force, func() {
		close(done)
		<-ended
		endGentle(context.Canceled)
		endForce(context.Canceled)
	}
}
