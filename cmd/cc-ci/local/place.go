package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Place is where cc-ci run keeps its files, and whose they are. All runs of one
// user on one host share it.
type Place struct {
	// Runner is the runner id of its leases and labels: never a daemon's.
	Runner string
	// Leases and Work are folders of leases and of running jobs, Actions one of
	// cloned actions that may be thrown away at any time.
	Leases, Work, Actions string

	lock string
}

// FindPlace returns the user's place, in the folders that XDG_STATE_HOME and
// XDG_CACHE_HOME name or their usual ones, which it makes.
func FindPlace() (Place, error) {
	host, err := os.Hostname()
	if err != nil {
		return Place{}, fmt.Errorf("finding this host's name: %w", err)
	}
	state, err := xdg("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return Place{}, err
	}
	cache, err := xdg("XDG_CACHE_HOME", ".cache")
	if err != nil {
		return Place{}, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", host, os.Getuid(), state))
	p := Place{
		Runner:  "local-" + hex.EncodeToString(sum[:6]),
		Leases:  filepath.Join(state, "leases"),
		Work:    filepath.Join(state, "jobs"),
		Actions: filepath.Join(cache, "actions"),
		lock:    filepath.Join(state, "engine.lock"),
	}
	for _, folder := range []string{p.Leases, p.Work, p.Actions} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return Place{}, fmt.Errorf("making a folder for jobs: %w", err)
		}
	}
	return p, nil
}

func xdg(variable, usual string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cc-ci"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for jobs: %w; set %s", err, variable)
	}
	return filepath.Join(home, usual, "cc-ci"), nil
}

// Engine is what Borrow needs of one; swarm.Engine is one.
type Engine interface {
	SetUp(ctx context.Context, proxy string, say func(string)) error
	Undo(ctx context.Context, proxy string, say func(string)) error
}

// lockTick is how often a lock is tried while another run sets the engine up,
// which takes it a second or two.
const lockTick = 100 * time.Millisecond

// Borrow makes the engine ready for jobs. What it made for that is undone by
// giveBack, unless another run uses it: the last one undoes it.
//
// Two locks see to that. Who changes the engine holds the first, briefly; who
// uses it shares the second, and nothing is undone while anybody does.
func (p Place) Borrow(ctx context.Context, e Engine, proxy string, say func(string)) (giveBack func(context.Context) error, err error) {
	change, err := p.changing(ctx)
	if err != nil {
		return nil, err
	}
	defer change.Close()
	use, err := p.use()
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(use.Fd()), unix.LOCK_SH); err != nil {
		use.Close()
		return nil, fmt.Errorf("locking the engine: %w", err)
	}
	if err := e.SetUp(ctx, proxy, say); err != nil {
		return nil, errors.Join(err, undoUnused(context.WithoutCancel(ctx), use, e, proxy, say))
	}
	return func(ctx context.Context) error {
		change, err := p.changing(ctx)
		if err != nil {
			use.Close()
			return err
		}
		defer change.Close()
		return undoUnused(ctx, use, e, proxy, say)
	}, nil
}

// Tidy undoes what a run set up that was killed before it could, unless another
// uses it.
func (p Place) Tidy(ctx context.Context, e Engine, proxy string, say func(string)) error {
	change, err := p.changing(ctx)
	if err != nil {
		return err
	}
	defer change.Close()
	use, err := p.use()
	if err != nil {
		return err
	}
	return undoUnused(ctx, use, e, proxy, say)
}

// use opens the file that is locked while the engine is used.
func (p Place) use() (*os.File, error) {
	file, err := os.OpenFile(p.lock+".use", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the engine: %w", err)
	}
	return file, nil
}

// undoUnused ends this run's use and undoes the set-up if there is no other.
func undoUnused(ctx context.Context, use *os.File, e Engine, proxy string, say func(string)) error {
	defer use.Close()
	err := unix.Flock(int(use.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("locking the engine: %w", err)
	}
	return e.Undo(ctx, proxy, say)
}

// changing waits for the lock of who changes the engine. Closing frees it.
func (p Place) changing(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(p.lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the engine: %w", err)
	}
	tick := time.NewTicker(lockTick)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("locking the engine: %w", err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another run to finish with the engine: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
