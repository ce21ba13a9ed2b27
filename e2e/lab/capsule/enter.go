package capsule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long what runs inside has to end after the first signal.
const grace = 90 * time.Second

// Enter runs this program again, with the same arguments, inside a capsule and
// waits for its end. It returns the program's exit code; 128 plus the signal's
// number if a signal ended it. SIGINT, SIGTERM and SIGHUP are passed on; what
// hasn't ended 90 s after the first of them is killed, and so it is when ctx
// ends. The program must call First before anything else.
//
// Enter needs root. When it returns, no process, mount, interface, control
// group or file under /run of the capsule is left; when it is killed, that is
// so a moment later. The files in held, such as one with a lock, are kept open
// until then.
func Enter(ctx context.Context, spec Spec, held ...*os.File) (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("the lab needs root, for namespaces and a container engine of its own")
	}
	if err := Clean(spec); err != nil {
		return 0, err
	}
	dismiss, err := janitor(spec, held)
	if err != nil {
		return 0, err
	}
	defer dismiss()
	if err := os.MkdirAll(spec.Run, 0o755); err != nil {
		return 0, fmt.Errorf("make the capsule's folder: %w", err)
	}
	stop, err := listen(&spec)
	if err != nil {
		return 0, err
	}
	defer stop()
	code, err := enter(ctx, spec)
	return code, errors.Join(err, Clean(spec))
}

// enter starts the first process and waits for it. The thread is locked since
// the parent-death signal is tied to the thread that started the child.
func enter(ctx context.Context, spec Spec) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	described, err := json.Marshal(spec)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(Environ(), stageEnv+"="+stageFirst, specEnv+"="+string(described))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		// A session of its own, so that Ctrl-C reaches the capsule once,
		// through the loop below, and not every server in it.
		Setsid: true,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	// `go run` does not pass SIGTERM on, and dies of it: its death is our signal.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return 0, fmt.Errorf("ask to be told of the parent's death: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("make the lab's namespaces: %w", err)
	}
	done := make(chan struct{})
	defer close(done)
	go passOn(signals, cmd.Process, cancel, done)
	return exitCode(cmd.Wait())
}

// passOn hands signals to the first process until done is closed, and kills it
// when it has not ended a while after the first signal.
func passOn(signals <-chan os.Signal, first *os.Process, kill func(), done <-chan struct{}) {
	var late <-chan time.Time
	for {
		select {
		case s := <-signals:
			_ = first.Signal(s) // it may have ended just now
			if late == nil {
				late = time.After(grace)
			}
		case <-late:
			kill()
		case <-done:
			return
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if err == nil {
		return 0, nil
	}
	if !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
