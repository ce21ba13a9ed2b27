package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// requestBound is how long a connection may take to say what it wants.
const requestBound = 10 * time.Second

// server runs commands for the host.
type server struct {
	reaper *reaper
	trust  *authorities
	memory memory
	// null is every command's standard input.
	null     *os.File
	handlers sync.WaitGroup
}

func newServer(trust *authorities) (*server, error) {
	if err := trust.refresh(); err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	return &server{
		reaper: newReaper(), trust: trust, memory: ownMemory(),
		null: null,
	}, nil
}

func (s *server) close() { s.null.Close() }

// serve listens at path until ctx ends, then kills all commands and returns.
func (s *server) serve(ctx context.Context, path string) error {
	listener, err := listen(path)
	if err != nil {
		return err
	}
	// The reaper outlives ctx: it is what the last commands' handlers wait for.
	reaping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var reaper sync.WaitGroup
	reaper.Go(func() { s.reaper.run(reaping) })
	defer reaper.Wait()
	defer stop()

	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case err == nil:
			s.handlers.Go(func() { s.handle(ctx, conn) })
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			// Commands that end give descriptors back.
			select {
			case <-s.reaper.next():
			case <-ctx.Done():
			}
		default:
			s.handlers.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept a command: %w", err)
		}
	}
}

// listen makes the socket at path anew, open to the host's user whoever that is:
// the folder around it decides who gets there.
func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	mask := syscall.Umask(0)
	defer syscall.Umask(mask)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	return listener, nil
}

// handle runs the command that conn asks for; the end of ctx kills it.
func (s *server) handle(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	frames := process.NewReader(conn)
	request, err := receive(ctx, conn, frames)
	if err != nil {
		// A host that only looks whether somebody listens asks for nothing.
		if !errors.Is(err, io.EOF) {
			_ = process.Send(conn, process.Ended, process.Exit{Code: exitFailure, Error: err.Error()})
		}
		return
	}
	_ = process.Send(conn, process.Ended, s.run(ctx, request, conn, frames))
}

// receive reads the request that opens a connection.
func receive(ctx context.Context, conn *net.UnixConn, frames *process.Reader) (process.Request, error) {
	if err := conn.SetReadDeadline(time.Now().Add(requestBound)); err != nil {
		return process.Request{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	kind, payload, err := frames.Next()
	if err != nil {
		return process.Request{}, err
	}
	if kind != process.Run {
		return process.Request{}, fmt.Errorf("%w: a %q before any request", process.ErrFrame, byte(kind))
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return process.Request{}, err
	}
	return process.Decode[process.Request](payload)
}
