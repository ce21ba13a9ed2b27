package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

// firstProcess is where a daemon keeps the program that its sandboxes begin
// with.
func firstProcess(settings config.Config) string { return filepath.Join(settings.StateDir, "cc-ci") }

// keepProgram copies the program that runs, or the file named, to path. The
// original may be replaced by an upgrade, or be gone, while this process lives,
// and the two ends of a sandbox must understand each other. A sandbox that has
// an earlier copy keeps it.
func keepProgram(source, path string) error {
	if source == "" {
		source = "/proc/self/exe" // also once its file has been replaced
	}
	if err := copyProgram(source, path); err != nil {
		return fmt.Errorf("keeping a copy of cc-ci for sandboxes: %w", err)
	}
	return nil
}

func copyProgram(source, path string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	// Its name is the same after every start, so that none is left of a copy that
	// was broken off.
	unfinished := path + ".new"
	to, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	// Whatever the umask: a container's root may be an ordinary user here.
	if err := errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close()); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
