package capsule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
