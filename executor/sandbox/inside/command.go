package inside

import (
	"context"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

const (
	// settle is how long a command's output is followed after its end while
	// something that it left behind holds it open: enough for a pipe's other half,
	// too short to notice.
	settle = 100 * time.Millisecond
	// killBound is how long killed processes may take to be gone. Only one that
	// hangs in the kernel takes longer.
	killBound = 5 * time.Second
	// recheck is how often a group that should end is looked at besides whenever
	// a child is reaped.
	recheck = 50 * time.Millisecond
)

// run runs one command, sends what it writes to conn, and obeys what conn says.
func (s *server) run(ctx context.Context, request process.Request, conn io.Writer, frames *process.Reader) process.Exit {
	// The bundle is a convenience; a step must not fail over it.
	_ = s.trust.refresh()
	kills := s.memory.kills()
	out, err := newOutput()
	if err != nil {
		return process.Exit{Code: exitFailure, Error: err.Error()}
	}
	pid, exited, refused := s.launch(request, out.writer)
	out.started()
	if refused != nil {
		out.close()
		return process.Exit{Code: refused.Code, Error: refused.Reason}
	}
	pumped := make(chan bool, 1)
	go func() { pumped <- out.pump(conn) }() // ends with the output, or settle after exited
	status := s.follow(ctx, pid, exited, listenTo(frames))

	out.settle()
	if <-pumped {
		out.close()
	} else {
		// A server in the background must not be killed by the pipe's breaking.
		go out.discard() // ends when nobody can write any more
	}
	return exitOf(status, s.memory.kills() > kills)
}

// orders are what the host says while a command runs.
type orders struct {
	stop chan process.Stop // at most one
	gone chan struct{}     // closed with the connection
}

// listenTo reads orders until the connection closes.
func listenTo(frames *process.Reader) orders {
	o := orders{stop: make(chan process.Stop, 1), gone: make(chan struct{})}
	go func() {
		defer close(o.gone)
		for {
			kind, payload, err := frames.Next()
			if err != nil || kind != process.Halt {
				return
			}
			stop, err := process.Decode[process.Stop](payload)
			if err != nil {
				return
			}
			select {
			case o.stop <- stop:
			default:
			}
		}
	}()
	return o
}

// follow waits for the command's end and brings it about when told to. When it
// was told to, all that the command started is gone too on return.
func (s *server) follow(ctx context.Context, pid int, exited <-chan syscall.WaitStatus, host orders) syscall.WaitStatus {
	all := newTree(pid)
	select {
	case status := <-exited:
		return status
	case stop := <-host.stop:
		s.end(ctx, all, stop.Grace, host.gone)
	case <-host.gone:
		s.end(ctx, all, 0, nil)
	case <-ctx.Done():
		s.end(ctx, all, 0, nil)
	}
	return <-exited
}

// end takes down all of a command within grace, or at once when hurry closes or
// ctx ends.
func (s *server) end(ctx context.Context, all *tree, grace time.Duration, hurry <-chan struct{}) {
	if grace > 0 {
		all.signal(syscall.SIGINT)
		// Once the shell is gone, what it left in the background has nobody to wait
		// for it, and such children of a shell ignore SIGINT.
		s.await(ctx, all, all.leads, grace/2, hurry)
		if all.signal(syscall.SIGTERM) == 0 || s.await(ctx, all, populated, grace/2, hurry) {
			return
		}
	}
	// A process can fork between the look and the signal, so each look kills.
	s.await(context.WithoutCancel(ctx), all, func([]stat) bool { return all.signal(syscall.SIGKILL) > 0 }, killBound, nil)
}

func populated(members []stat) bool { return len(members) > 0 }

// await looks at the members until holds is false of them, which it reports, or
// bound has passed, hurry closes or ctx ends.
func (s *server) await(ctx context.Context, all *tree, holds func([]stat) bool, bound time.Duration, hurry <-chan struct{}) bool {
	deadline := time.NewTimer(bound)
	defer deadline.Stop()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		reaped := s.reaper.next()
		if !holds(all.look()) {
			return true
		}
		select {
		case <-reaped:
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-hurry:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// exitOf words a status; killed tells that the kernel has killed something for
// want of memory meanwhile.
func exitOf(status syscall.WaitStatus, killed bool) process.Exit {
	exit := process.Exit{Code: status.ExitStatus()}
	if status.Signaled() {
		exit.Code = 128 + int(status.Signal())
		exit.Signal = unix.SignalName(status.Signal())
	}
	exit.OOM = killed && exit.Code == 128+int(syscall.SIGKILL)
	return exit
}
