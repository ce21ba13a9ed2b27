package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"golang.org/x/sys/unix"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

const (
	// sendBound is how long the first process may take to take a request.
	sendBound = 10 * time.Second
	// stopBound is how long after its grace a stopped command may take to be
	// reported; then it is left to the first process, or to Close.
	stopBound = 7 * time.Second
	// deathBound is how long the engine may take to know that a container ended
	// whose socket has broken.
	deathBound = 3 * time.Second
)

// Exec runs a command in the sandbox and returns when it has ended. The error is
// nil, a *process.ExitError, a *process.StartError for one that can't run, a
// *DiedError or ErrClosed when the sandbox went away under it, or why the first
// process could not be asked.
//
// What the command leaves in the background when it ends by itself stays until the
// sandbox closes; its output is dropped from then on. Ending ctx stops the command
// and all that it started, as Spec.Grace says; unless it succeeded all the same,
// the error then wraps ctx's cause.
func (s *Sandbox) Exec(ctx context.Context, command process.Command) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return s.broken(ctx, fmt.Errorf("reach the sandbox: %w", err))
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendBound)); err != nil {
		return err
	}
	request := process.Request{Argv: command.Argv, Env: command.Env, Dir: command.Dir}
	if err := process.Send(conn, process.Run, request); err != nil {
		return s.broken(ctx, fmt.Errorf("ask the sandbox to run a command: %w", err))
	}
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Now().Add(s.spec.Grace + stopBound))
		_ = process.Send(conn, process.Halt, process.Stop{Grace: s.spec.Grace})
	})()

	exit, err := follow(conn, command.Stdout)
	if err != nil {
		return s.broken(ctx, fmt.Errorf("follow a command in the sandbox: %w", err))
	}
	if err = exit.Err(); err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

// follow passes the command's output on until it has ended.
func follow(conn io.Reader, output func([]byte)) (process.Exit, error) {
	frames := process.NewReader(conn)
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			return process.Exit{}, err
		}
		switch kind {
		case process.Output:
			if output != nil {
				output(payload)
			}
		case process.Ended:
			return process.Decode[process.Exit](payload)
		default:
			return process.Exit{}, fmt.Errorf("%w: a %q from the first process", process.ErrFrame, byte(kind))
		}
	}
}

// dial connects to the first process. The socket is opened without following a
// link, which a step could have put in its place, and dialled by its descriptor,
// since its path may be longer than a socket's may.
func (s *Sandbox) dial(ctx context.Context) (net.Conn, error) {
	fd, err := unix.Open(s.socket(), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: s.socket(), Err: err}
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return nil, err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("%s isn't a socket: did a step replace it?", s.socket())
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
}

// broken finds the reason of an error on the socket: the sandbox closed or died,
// the command was stopped and didn't end, or the error itself.
func (s *Sandbox) broken(ctx context.Context, err error) error {
	if s.closing.Load() {
		return ErrClosed
	}
	// The engine is asked also when ctx has ended: the answer is worth the wait.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), deathBound)
	defer cancel()
	look := time.NewTicker(readyLook * 10)
	defer look.Stop()
	for asking.Err() == nil {
		if died := s.died(asking); died != nil {
			if s.closing.Load() {
				return ErrClosed
			}
			return died
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break // the socket didn't break
		}
		select {
		case <-look.C:
		case <-asking.Done():
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

// lastWords is the end of the first process' log, "" when it can't be had.
func (s *Sandbox) lastWords(ctx context.Context) string {
	log, err := s.engine.Client().ContainerLogs(ctx, s.container, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Tail: "20",
	})
	if err != nil {
		return ""
	}
	defer log.Close()
	var text bytes.Buffer
	_, _ = stdcopy.StdCopy(&text, &text, io.LimitReader(log, 64<<10))
	return text.String()
}
