package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// reapsAtOnce bounds how many dead jobs are removed together.
	reapsAtOnce = 4
	// reapTimeout bounds the removal of one dead job.
	reapTimeout = time.Minute
	// strayAge is how old a lease file that never got its name must be before
	// it is removed: its writer may be about to name it.
	strayAge = time.Minute
	// clearTimeout bounds the life of what clears a work folder.
	clearTimeout = time.Minute
	// leaseLimit bounds what is read of a lease file, in bytes.
	leaseLimit = 64 << 10
)

// Reaped is what Reap found of one dead job, and what became of it.
type Reaped struct {
	// Slug and Stack name the job; Stack is "" when there was no readable lease.
	Slug, Stack string
	// Found is what it had on the engine.
	Found Census
	// WorkDir is its work folder, "" when it is not known or does not exist.
	WorkDir string
	// Lease is its lease file, "" if it had none.
	Lease string
	// Warning is what was wrong with the lease file, or nil.
	Warning error
	// Receipt is the removal's; it is empty after a dry run.
	Receipt Receipt
	// Removed is true when everything named here is gone.
	Removed bool
	// Err is why not, or nil.
	Err error
}

// String is what was found and done in one line.
func (r Reaped) String() string {
	what := []string{}
	if len(r.Found) > 0 {
		what = append(what, r.Found.tally())
	}
	if r.WorkDir != "" {
		what = append(what, "work folder "+r.WorkDir)
	}
	if r.Lease != "" {
		what = append(what, "lease "+r.Lease)
	}
	text := r.Slug + ": " + strings.Join(what, ", ")
	switch {
	case r.Err != nil:
		text += ": NOT REMOVED: " + r.Err.Error()
	case r.Removed:
		text += ": removed"
	default:
		text += ": would be removed"
	}
	if r.Warning != nil {
		text += " (" + r.Warning.Error() + ")"
	}
	return text
}

// ReapOptions say how Reap goes about it.
type ReapOptions struct {
	// DryRun changes nothing: what would be removed is returned.
	DryRun bool
	// Clear, if not nil, empties a work folder in which this user may not remove
	// everything, since steps are root in their container. What it makes on the
	// engine for that is the owner's, who lives for a minute and has no lease.
	Clear func(ctx context.Context, o Owner, folder string) error
}

// Reap removes what dead jobs of the runner have left: their objects on the
// engine, known by label or by the stack named in their lease, their work
// folders and their lease files in dir. A job is dead when its lease's lock is
// free; that it has no lease means that it is over. Live jobs of the same
// runner, in this process or another, and everything of other runners stay
// untouched, so Reap may run at any time.
//
// The error is about what concerns all jobs, such as an engine that does not
// answer; what concerns one is in its Reaped.Err.
func Reap(ctx context.Context, e *Engine, dir, runner string, options ReapOptions) ([]Reaped, error) {
	if runner == "" {
		return nil, errors.New("reap: no runner is named")
	}
	// The engine is asked before the folder: a lease is written before its
	// objects are made, so the lease of every object seen now is there by the
	// time the folder is read, unless the job is over.
	look, err := e.look(ctx)
	if err != nil {
		return nil, err
	}
	candidates, err := deadOrAlive(dir, look, runner)
	if err != nil {
		return nil, err
	}
	r := &reaper{engine: e, dir: dir, runner: runner, look: look, options: options}
	var group errgroup.Group
	group.SetLimit(reapsAtOnce)
	for _, slug := range candidates {
		group.Go(func() error {
			r.reap(ctx, slug)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in r.reaped
	if !options.DryRun {
		removeStrays(dir)
	}
	slices.SortFunc(r.reaped, func(a, b Reaped) int { return strings.Compare(a.Slug, b.Slug) })
	return r.reaped, ctx.Err()
}

// deadOrAlive returns the slugs of all jobs that have objects of the runner's
// or a lease file in dir.
func deadOrAlive(dir string, look look, runner string) ([]string, error) {
	var slugs []string
	for _, s := range look {
		if s.labels[LabelRunner] == runner && s.labels[LabelSlug] != "" {
			slugs = append(slugs, s.labels[LabelSlug])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the folder of leases: %w", err)
	}
	for _, entry := range entries {
		if slug, ok := strings.CutSuffix(entry.Name(), leaseSuffix); ok && slug != "" && !strings.Contains(slug, ".") {
			slugs = append(slugs, slug)
		}
	}
	slices.Sort(slugs)
	return slices.Compact(slugs), nil
}

// A reaper is one run of Reap.
type reaper struct {
	engine      *Engine
	dir, runner string
	look        look
	options     ReapOptions

	mu     sync.Mutex
	reaped []Reaped
}

// reap removes the job slug if it is dead. While it does, it holds the job's
// lease, so that no other reaper and no new job of that name comes between.
func (r *reaper) reap(ctx context.Context, slug string) {
	if strings.ContainsAny(slug, "/.") {
		return // a label that no lease of ours could have
	}
	found := Reaped{Slug: slug}
	path := filepath.Join(r.dir, slug+leaseSuffix)
	lease, said, err := seize(path)
	switch {
	case errors.Is(err, errHeld):
		return
	case err == nil:
		defer lease.Close()
		found.Lease = path
		if said.warning != nil {
			found.Warning = said.warning
		} else if said.Runner != r.runner {
			return
		}
	case !errors.Is(err, fs.ErrNotExist):
		found.Err = err
		r.add(found)
		return
	}
	found.Stack = said.Stack
	owner := Owner{Runner: r.runner, Task: said.Task, Slug: slug, Expires: said.Expires}
	found.Found = r.found(owner, said.Stack)
	if said.WorkDir != "" && isWorkDir(said.WorkDir, slug) {
		if _, err := os.Lstat(said.WorkDir); err == nil {
			found.WorkDir = said.WorkDir
		}
	}
	if found.Lease == "" && len(found.Found) == 0 {
		return
	}
	if !r.options.DryRun {
		r.remove(ctx, owner, &found)
	}
	r.add(found)
}

func (r *reaper) add(found Reaped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reaped = append(r.reaped, found)
}

// found returns what the job had when the engine was looked at.
func (r *reaper) found(o Owner, stack string) Census {
	stacks := map[string]bool{}
	if stack != "" {
		stacks[stack] = true
	}
	var found Census
	for _, s := range r.look {
		if o.owns(s.labels, stacks) {
			found = append(found, s.Object)
		}
	}
	return found.sort()
}

// remove removes the dead job's objects, then its work folder, and its lease
// last, so that a reaper that dies in between is followed by one that knows.
func (r *reaper) remove(ctx context.Context, o Owner, found *Reaped) {
	if found.Lease == "" {
		// No file to hold: make one, as a new job would.
		lease, err := TakeLease(r.dir, o, "", "")
		if err != nil {
			found.Err = err
			return
		}
		defer func() { found.Err = errors.Join(found.Err, lease.Release()) }()
	}
	ctx, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	found.Receipt, found.Err = r.engine.Teardown(ctx, o, found.Stack)
	if found.Err != nil {
		return
	}
	if found.WorkDir != "" {
		if found.Err = r.removeWorkDir(ctx, o, found.WorkDir); found.Err != nil {
			return
		}
	}
	if found.Lease != "" {
		if err := os.Remove(found.Lease); err != nil && !errors.Is(err, fs.ErrNotExist) {
			found.Err = fmt.Errorf("remove the lease: %w", err)
			return
		}
	}
	found.Removed = true
}

// removeWorkDir removes a job's work folder, with what root made in it.
func (r *reaper) removeWorkDir(ctx context.Context, o Owner, folder string) error {
	err := os.RemoveAll(folder)
	if errors.Is(err, fs.ErrPermission) && r.options.Clear != nil {
		// The job's own owner is gone, and makes nothing any more.
		o.Slug, o.Expires = o.Slug+"-clear", time.Now().Add(clearTimeout)
		if err = r.options.Clear(ctx, o, folder); err == nil {
			err = os.RemoveAll(folder)
		}
	}
	if err != nil && os.Geteuid() != 0 {
		return fmt.Errorf("remove the work folder: %w; steps are root, and so are the files they left: sudo rm -rf %s", err, folder)
	}
	if err != nil {
		return fmt.Errorf("remove the work folder: %w", err)
	}
	return nil
}

// errHeld means that a lease's holder lives.
var errHeld = errors.New("the lease is held")

// testimony is what a lease file says, or what is wrong with it.
type testimony struct {
	terms
	warning error
}

// seize locks the lease file at path and reads it. It returns errHeld if its
// holder lives, and fs.ErrNotExist if there is no such file, or none any more
// by the time it is locked.
func seize(path string) (*os.File, testimony, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, testimony{}, fmt.Errorf("open the lease: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, testimony{}, errHeld
		}
		return nil, testimony{}, fmt.Errorf("lock the lease %s: %w", path, err)
	}
	mine, err := file.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Lstat(path); err == nil && !os.SameFile(mine, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		file.Close()
		return nil, testimony{}, fmt.Errorf("look at the lease %s: %w", path, err)
	}
	return file, read(file, path), nil
}

// read reads a lease file. One that cannot be understood says nothing, which is
// a warning: its slug and the labels are enough to remove the objects.
func read(file io.Reader, path string) testimony {
	text, err := io.ReadAll(io.LimitReader(file, leaseLimit))
	var said terms
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err == nil && said.Slug+leaseSuffix != filepath.Base(path) {
		err = fmt.Errorf("it is a lease of %q", said.Slug)
	}
	if err != nil {
		return testimony{warning: fmt.Errorf("the lease %s is damaged, so the job's work folder is not known: %w", path, err)}
	}
	return testimony{terms: said}
}

// removeStrays removes lease files that their writer died before naming.
func removeStrays(dir string) {
	strays, err := filepath.Glob(filepath.Join(dir, ".*"+leaseUnlinked))
	if err != nil {
		return
	}
	for _, path := range strays {
		info, err := os.Lstat(path)
		if err != nil || time.Since(info.ModTime()) < strayAge {
			continue
		}
		if file, _, err := seize(path); err == nil {
			os.Remove(path)
			file.Close()
		}
	}
}
