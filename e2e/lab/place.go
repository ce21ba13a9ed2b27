package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

// Place says where a lab is.
type Place struct {
	// Repo is the folder of the repository.
	Repo string

	// State is the folder of the lab's state.
	State string

	// Run is the lab's folder of sockets, below /run since the path of a
	// socket has at most 107 bytes.
	Run string
}

// Find finds the place of the lab that belongs to the repository around the
// working folder.
func Find() (Place, error) {
	repo, err := repository()
	if err != nil {
		return Place{}, err
	}
	state := os.Getenv("CC_CI_LAB_STATE")
	if state == "" {
		state = filepath.Join(repo, ".cache", "lab")
	}
	if state, err = filepath.Abs(state); err != nil {
		return Place{}, err
	}
	sum := sha256.Sum256([]byte(state))
	return Place{Repo: repo, State: state, Run: "/run/cc-ci-" + hex.EncodeToString(sum[:4])}, nil
}

// repository is the nearest folder upwards with cc-ci's own go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(gomod), "module git.autonomic.zone/recipe-maintainers/cc-ci\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not in a clone of cc-ci's repository")
		}
		dir = filepath.Dir(dir)
	}
}

// Cache is the folder of what is made once for all labs: .cache in the
// repository, or the one named by CC_CI_LAB_CACHE, which clones may share.
func (p Place) Cache() string {
	if dir := os.Getenv("CC_CI_LAB_CACHE"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(p.Repo, ".cache")
}

// Capsule describes the capsule that the lab runs in.
func (p Place) Capsule() capsule.Spec {
	return capsule.Spec{Run: p.Run, Cgroup: filepath.Base(p.Run)}
}

func (p Place) lockFile() string { return filepath.Join(p.State, "lock") }

// Lock takes the place for this process. While another holds it, it waits, for
// up to half an hour, after telling say whom it waits for.
// The lock is released when the returned file is closed, everywhere it is open.
func (p Place) Lock(ctx context.Context, say func(format string, args ...any)) (*os.File, error) {
	if err := os.MkdirAll(p.State, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.lockFile(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return nil, errors.Join(fmt.Errorf("lock the lab: %w", err), f.Close())
		}
		if !told {
			told = true
			say("another lab (process %d) has %s: waiting for it to end; `go run ./e2e/cmd/lab down` ends it", p.holder(), p.State)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lab of process %d: %w", p.holder(), ctx.Err()), f.Close())
		case <-time.After(250 * time.Millisecond):
		}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// holder is the process that has the lock, or had it last.
func (p Place) holder() int {
	b, err := os.ReadFile(p.lockFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		return 0
	}
	return pid
}

// Stop ends the lab that is up at the place, if one is, and removes what one
// that was killed has left. It reports whether one was up.
func (p Place) Stop(ctx context.Context) (bool, error) {
	wasUp, err := p.interrupt()
	if err != nil {
		return wasUp, err
	}
	lock, err := p.Lock(ctx, func(string, ...any) {})
	if err != nil {
		return wasUp, err
	}
	defer lock.Close()
	return wasUp, capsule.Clean(p.Capsule())
}

// interrupt asks the process that holds the lock to end. Its number is only
// trusted while somebody holds the lock.
func (p Place) interrupt() (bool, error) {
	f, err := os.Open(p.lockFile())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return false, nil
	}
	if pid := p.holder(); pid > 1 {
		return true, unix.Kill(pid, unix.SIGTERM)
	}
	return true, nil
}
