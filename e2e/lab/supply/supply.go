package supply

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Supply makes things and keeps them below a folder.
type Supply struct {
	// Repo is the folder of the repository.
	Repo string

	// Cache is the folder below which everything is kept.
	Cache string

	// Progress is told of long work.
	Progress *Progress
}

// fingerprint is a short hash of everything that goes into a thing.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}

// keep returns the path dir/name below the cache. When there is nothing there
// it has produce make it at another path first and renames that, so that what is
// found there is always whole.
func (s *Supply) keep(dir, name, telling string, produce func(path string) error) (string, error) {
	path := filepath.Join(s.Cache, dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(path), ".making-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, name)
	if err := s.Progress.Do(telling, func() error { return produce(made) }); err != nil {
		return "", fmt.Errorf("%s: %w", telling, err)
	}
	if err := os.Rename(made, path); err != nil {
		if _, other := os.Stat(path); other != nil {
			return "", err
		} // else another process has made it meanwhile
	}
	return path, nil
}

// run runs a program to its end and returns what it wrote on its standard
// output. The error carries the end of what it wrote at all.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", fmt.Errorf("%s is missing: `make` installs it on Debian; elsewhere install it by hand", name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	// Whole builds end with their parents: in a group of its own, which is
	// killed as one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, all bytes.Buffer
	cmd.Stdout = &tee{&out, &all}
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", errors.Join(ctx.Err(), err)
		}
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(all.String(), 30))
	}
	return out.String(), nil
}

type tee struct{ a, b *bytes.Buffer }

func (t *tee) Write(p []byte) (int, error) {
	t.a.Write(p)
	return t.b.Write(p)
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
