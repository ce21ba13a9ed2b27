package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is what Exec returns when the sandbox was closed under it.
var ErrClosed = errors.New("the sandbox was taken down")

// ErrRemoved is a sandbox whose container is gone though nobody closed it.
var ErrRemoved = errors.New("somebody removed the sandbox's container")

// MissingImageError is a job's image that the engine doesn't have.
type MissingImageError struct{ Image string }

func (e *MissingImageError) Error() string {
	return fmt.Sprintf("the engine has no image %s", e.Image)
}

// DiedError is a sandbox whose first process ended by itself.
type DiedError struct {
	// Code is the first process' exit code.
	Code int
	// OOM tells that the kernel killed it for want of memory.
	OOM bool
	// Reason is the engine's, for a container that didn't start; often "".
	Reason string
	// Log is the end of what the first process wrote, without a newline at its end.
	Log string
}

// Error says how it died and shows the log's end.
func (e *DiedError) Error() string {
	text := fmt.Sprintf("the sandbox died with exit code %d", e.Code)
	if e.OOM {
		text = fmt.Sprintf("the sandbox died with exit code %d: it ran out of memory", e.Code)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Log != "" {
		text += "; its last words:\n  " + strings.ReplaceAll(e.Log, "\n", "\n  ")
	}
	return text
}
