package inside

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// output is one pipe for both of a command's outputs, so that their order is kept.
type output struct {
	reader *os.File
	// writer is the command's end, a descriptor that blocks.
	writer int
	// capacity is what the pipe holds: all that a command that has ended can have
	// left in it.
	capacity int
}

func newOutput() (*output, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe for the output: %w", err)
	}
	// Only our end may be non-blocking, for the sake of deadlines.
	if err := syscall.SetNonblock(ends[0], true); err != nil {
		_ = syscall.Close(ends[0])
		_ = syscall.Close(ends[1])
		return nil, err
	}
	capacity, err := unix.FcntlInt(uintptr(ends[0]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		capacity = 64 << 10
	}
	return &output{reader: os.NewFile(uintptr(ends[0]), "output"), writer: ends[1], capacity: capacity}, nil
}

// started gives up the command's end, which the command has by now.
func (o *output) started() { _ = syscall.Close(o.writer) }

// settle makes pump end soon.
func (o *output) settle() { _ = o.reader.SetReadDeadline(time.Now().Add(settle)) }

func (o *output) close() { o.reader.Close() }

// discard reads on for nobody until the last writer is gone.
func (o *output) discard() {
	_, _ = io.Copy(io.Discard, o.reader)
	o.reader.Close()
}

// pump sends output frames to a connection until nobody can write any more, which
// it reports, or until settle's time is over and all that was in the pipe by then
// is sent. It goes on reading when the connection is gone, so that the command
// never blocks on it.
func (o *output) pump(to io.Writer) (ended bool) {
	frame := make([]byte, process.HeaderSize+o.capacity)
	body := frame[process.HeaderSize:]
	send := func(n int) {
		process.Seal(process.Output, frame[:process.HeaderSize+n])
		if _, err := to.Write(frame[:process.HeaderSize+n]); err != nil {
			to = io.Discard
		}
	}
	for {
		n, err := o.reader.Read(body)
		if n > 0 {
			send(n)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return o.rest(body, send)
		}
		if err != nil {
			return true
		}
	}
}

// rest sends what is in the pipe now, without waiting for more. It stops after a
// pipe's worth, since something in the background may write for ever.
func (o *output) rest(body []byte, send func(int)) (ended bool) {
	_ = o.reader.SetReadDeadline(time.Time{})
	raw, err := o.reader.SyscallConn()
	if err != nil {
		return true
	}
	left := o.capacity
	err = raw.Read(func(fd uintptr) bool {
		for left > 0 {
			n, err := unix.Read(int(fd), body[:min(left, len(body))])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				ended = n == 0 && err == nil
				return true
			}
			send(n)
			left -= n
		}
		return true
	})
	return ended || err != nil
}
