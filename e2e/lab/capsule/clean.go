package capsule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Clean removes what a capsule leaves outside when it was killed: its folder
// under /run and its control groups. The capsule must not be running.
func Clean(spec Spec) error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup/" + spec.Cgroup, "/sys/fs/cgroup/*/" + spec.Cgroup} {
		groups, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, g := range groups {
			errs = append(errs, removeGroup(g))
		}
	}
	if err := os.RemoveAll(spec.Run); err != nil {
		errs = append(errs, fmt.Errorf("remove the capsule's folder: %w", err))
	}
	return errors.Join(errs...)
}

// removeGroup removes a control group and those in it, the innermost first.
// The kernel refuses while the last of the killed processes are still going,
// so it tries for up to 5 s.
func removeGroup(root string) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var groups []string
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, g := range slices.Backward(groups) {
			if e := unix.Rmdir(g); e != nil && e != unix.ENOENT {
				err = e
			}
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove the control group %s: %w", root, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// janitor starts a process outside the capsule that waits for this one's death
// and then cleans. Dismiss lets it go, once this process has cleaned itself.
func janitor(spec Spec, held []*os.File) (dismiss func(), err error) {
	described, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	alive, us, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Stdin = alive
	cmd.ExtraFiles = held
	cmd.Env = append(Environ(), stageEnv+"="+stageJanitor, specEnv+"="+string(described))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), alive.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the janitor: %w", err), us.Close())
	}
	return func() {
		_ = us.Close()
		_ = cmd.Wait() // what it could not clean, neither could this process
	}, nil
}

// sweep is the janitor's work. Its standard input ends when the process that
// has started it does.
func sweep() error {
	spec, err := specFromEnv()
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return Clean(*spec)
}
