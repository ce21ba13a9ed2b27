package inside

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper starts processes and waits for every child of this process: those it
// started, whose status it passes on, and orphans that came to it. Nothing else in
// the process may wait for children.
type reaper struct {
	// mu is held while a child is started, so that its end can't be read before
	// anybody waits for it.
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
	// reaped is closed and replaced whenever a child has gone.
	reaped chan struct{}
}

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan<- syscall.WaitStatus{}, reaped: make(chan struct{})}
}

// start runs a program; exited gets its status once.
func (r *reaper) start(program string, argv []string, attr *syscall.ProcAttr) (pid int, exited <-chan syscall.WaitStatus, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pid, err = syscall.ForkExec(program, argv, attr); err != nil {
		return 0, nil, err
	}
	status := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = status
	return pid, status, nil
}

// next returns a channel that is closed when another child has gone.
func (r *reaper) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaped
}

// run reaps until ctx ends.
func (r *reaper) run(ctx context.Context) {
	// One pending signal is enough: each reads all that have ended.
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		r.reap()
		select {
		case <-died:
		case <-ctx.Done():
			return
		}
	}
}

// reap takes the status of every child that has ended.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := false
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		gone = true
		if waiting, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			waiting <- status
		}
	}
	if gone {
		close(r.reaped)
		r.reaped = make(chan struct{})
	}
}
