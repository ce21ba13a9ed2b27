package swarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLeaseTaken is returned when there is a lease of the same slug already,
// held or left behind.
var ErrLeaseTaken = errors.New("there is a lease of this name already")

const (
	leaseSuffix   = ".json"
	leaseUnlinked = ".new" // a lease file that is not under its name yet
)

// held keeps the leases of this process until they are released: a lease that
// nobody refers to any more would be closed, and so unlocked, by the garbage
// collector, with its job still alive.
var held sync.Map

// A Lease is leave for a job to have objects on an engine. It is a file that
// is on disk before the first object exists, and that its holder keeps locked:
// the kernel frees the lock when the holder dies in any way.
type Lease struct {
	path string
	file *os.File
}

// terms is what a lease file says.
type terms struct {
	Runner  string    `json:"runner"`
	Task    string    `json:"task"`
	Slug    string    `json:"slug"`
	Stack   string    `json:"stack,omitempty"`
	Expires time.Time `json:"expires"`
	PID     int       `json:"pid"`
	WorkDir string    `json:"work_dir,omitempty"`
}

// TakeLease writes the owner's lease into the folder dir, which is made if
// need be, and returns once it is locked and safe on disk. The lease names what
// clean-up needs to know when the holder is dead: the stack and the job's work
// folder, which may each be "". The work folder's last element must be the
// slug, so that a damaged lease cannot have another folder removed.
//
// The error wraps ErrLeaseTaken when there is a lease of this slug in dir.
func TakeLease(dir string, o Owner, stack, workDir string) (*Lease, error) {
	if o.Slug == "" || strings.ContainsAny(o.Slug, "/.") {
		return nil, fmt.Errorf("take a lease: %q cannot be a slug", o.Slug)
	}
	if workDir != "" && !isWorkDir(workDir, o.Slug) {
		return nil, fmt.Errorf("take a lease: the work folder %s is not an absolute path that ends in /%s", workDir, o.Slug)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for leases: %w", err)
	}
	text, err := json.MarshalIndent(terms{
		Runner: o.Runner, Task: o.Task, Slug: o.Slug, Stack: stack,
		Expires: o.Expires.UTC(), PID: os.Getpid(), WorkDir: workDir,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode a lease: %w", err)
	}
	// The file gets its name only when it is whole and locked, so whoever
	// finds it under its name can trust both.
	file, err := os.CreateTemp(dir, "."+o.Slug+"-*"+leaseUnlinked)
	if err != nil {
		return nil, fmt.Errorf("write a lease: %w", err)
	}
	l := &Lease{path: filepath.Join(dir, o.Slug+leaseSuffix), file: file}
	err = l.publish(append(text, '\n'))
	os.Remove(file.Name())
	if err != nil {
		file.Close()
		return nil, err
	}
	held.Store(l, nil)
	return l, nil
}

// publish locks and fills the lease's file and gives it its name.
func (l *Lease) publish(text []byte) error {
	if err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the lease %s: %w", l.path, err)
	}
	if _, err := l.file.Write(text); err != nil {
		return fmt.Errorf("write the lease %s: %w", l.path, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("write the lease %s to disk: %w", l.path, err)
	}
	if err := os.Link(l.file.Name(), l.path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %s; if its job is dead, `cc-ci reap` removes it", ErrLeaseTaken, l.path)
		}
		return fmt.Errorf("name the lease %s: %w", l.path, err)
	}
	if err := syncDir(filepath.Dir(l.path)); err != nil {
		os.Remove(l.path)
		return err
	}
	return nil
}

// Path returns the lease's file.
func (l *Lease) Path() string { return l.path }

// Release ends the lease: its file is removed and unlocked. It is called when
// nothing of the job is left; what is left without a lease is anybody's to
// reap.
func (l *Lease) Release() error {
	defer held.Delete(l)
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if closeErr := l.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("release the lease %s: %w", l.path, err)
	}
	return nil
}

// Abandon unlocks the lease but leaves its file, for Reap to find what the
// holder could not remove.
func (l *Lease) Abandon() error {
	defer held.Delete(l)
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("abandon the lease %s: %w", l.path, err)
	}
	return nil
}

// isWorkDir tells whether dir can be the work folder of the job slug.
func isWorkDir(dir, slug string) bool {
	return slug != "" && filepath.IsAbs(dir) && filepath.Base(filepath.Clean(dir)) == slug
}

// syncDir makes a change of dir's entries safe on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the folder of leases: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write the folder %s to disk: %w", dir, err)
	}
	return nil
}
