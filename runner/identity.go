package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Errors of the identity file.
var (
	// ErrNoIdentity: the file doesn't exist, so the runner isn't registered.
	ErrNoIdentity = errors.New("this runner is not registered yet: run cc-ci register")
	// ErrIdentityInUse: another daemon runs with this identity. Two would take
	// each other's jobs for cancelled.
	ErrIdentityInUse = errors.New("another cc-ci daemon runs with this identity: stop it, or register a second runner with its own state folder")
)

// Identity is what Gitea knows a runner by. Token is the runner's password.
type Identity struct {
	ID      int64    `json:"id"`
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Token   string   `json:"token"`
	Address string   `json:"address"`
	Labels  []string `json:"labels"`
	Version string   `json:"version"`
}

// LoadIdentity reads an identity file. It returns ErrNoIdentity when there is
// none, and an error that names the fault when the file isn't one.
func LoadIdentity(path string) (Identity, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("%s does not exist: %w", path, ErrNoIdentity)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("reading the runner's identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("%s is no identity file (%w): move it away and run cc-ci register", path, err)
	}
	if missing := id.missing(); missing != "" {
		return Identity{}, fmt.Errorf("%s has no %s: move it away and run cc-ci register", path, missing)
	}
	return id, nil
}

// missing names the first field without which the identity is of no use.
func (id Identity) missing() string {
	switch {
	case id.UUID == "":
		return "uuid"
	case id.Token == "":
		return "token"
	case id.Address == "":
		return "address"
	}
	return ""
}

// Save writes the identity with mode 0600 so that the file is either the old
// one or the whole new one, whenever the machine stops.
func (id Identity) Save(path string) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the runner's identity: %w", err)
	}
	if err := replaceFile(path, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the runner's identity: %w", err)
	}
	return nil
}

// replaceFile writes data beside path, syncs it and renames it into place, then
// syncs the folder so that the new name outlives a power cut.
func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	// CreateTemp makes files with mode 0600.
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// IdentityLock is held by the one daemon that may use an identity.
type IdentityLock struct{ file *os.File }

// LockIdentity takes the lock of an identity file, or returns ErrIdentityInUse
// at once. The lock is a file of its own, since Save replaces the identity's;
// the kernel frees it when the process dies, however it dies.
func LockIdentity(path string) (*IdentityLock, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the identity's lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := lockHolder(file)
		file.Close()
		return nil, fmt.Errorf("%s%s: %w", path, holder, ErrIdentityInUse)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking the runner's identity: %w", err)
	}
	// The process id is only for the message above; without it that is shorter.
	if file.Truncate(0) == nil {
		fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	return &IdentityLock{file}, nil
}

// lockHolder says which process holds the lock, or nothing if that isn't told.
func lockHolder(file *os.File) string {
	data := make([]byte, 20)
	n, _ := file.ReadAt(data, 0)
	if pid := strings.TrimSpace(string(data[:n])); pid != "" {
		return " is held by process " + pid
	}
	return ""
}

// Release frees the lock. The file stays: removing it would let a third process
// lock a new file while a second waits for the old one.
func (l *IdentityLock) Release() { l.file.Close() }
