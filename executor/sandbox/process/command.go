package process

import "fmt"

// Command is one process to run in the sandbox.
type Command struct {
	// Argv is the program and its arguments. A program without a slash is looked
	// up in the PATH of Env.
	Argv []string
	// Env is the whole environment, each entry KEY=value: nothing is added to it.
	Env []string
	// Dir is the working folder, a path in the sandbox; "" is "/".
	Dir string
	// Stdout takes both outputs in the order they were written. It is called from
	// one goroutine; the bytes are valid only during the call. Nil discards them.
	Stdout func([]byte)
}

// ExitError is a command that ran and did not succeed.
type ExitError struct {
	// Code is the exit code, or 128 and the signal's number, as a shell has it.
	Code int
	// Signal is the name of the signal that ended the process, as in "SIGKILL"; ""
	// when it exited by itself.
	Signal string
	// OOM tells that the kernel killed a process of the sandbox for want of memory
	// while this command ran, and that the command ended as if it was hit.
	OOM bool
}

// Error says how the command ended.
func (e *ExitError) Error() string {
	switch {
	case e.OOM:
		return fmt.Sprintf("exit code %d: the kernel killed it, out of memory", e.Code)
	case e.Signal != "":
		return fmt.Sprintf("exit code %d: killed by %s", e.Code, e.Signal)
	default:
		return fmt.Sprintf("exit code %d", e.Code)
	}
}

// StartError is a command that never ran.
type StartError struct {
	// Code is what a shell would have returned: 127 for a program that isn't
	// there, 126 for one that can't be executed or a folder that can't be entered.
	Code int
	// Reason is a whole sentence without its full stop.
	Reason string
}

// Error returns the reason.
func (e *StartError) Error() string { return e.Reason }
