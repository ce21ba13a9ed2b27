package abra

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrNoCompose says that a folder has no compose.yml: its job runs without a
// deployment.
var ErrNoCompose = errors.New("no compose.yml: this folder isn't a recipe")

// maxFile bounds every file read from a recipe, in bytes: more than any compose
// file, and just over Swarm's limit for a config.
const maxFile = 1 << 20

// Recipe is a folder that holds a recipe. Its methods only read, so they can
// run at the same time.
type Recipe struct {
	dir  string
	name string
}

// Open finds the recipe in dir. The error is ErrNoCompose when dir has no
// compose.yml.
func Open(dir string) (*Recipe, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open recipe: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(abs, composeFile)); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(abs); err != nil {
			return nil, fmt.Errorf("open recipe: %w", err)
		}
		return nil, ErrNoCompose
	} else if err != nil {
		return nil, fmt.Errorf("open recipe: %w", err)
	}
	return &Recipe{dir: abs, name: filepath.Base(abs)}, nil
}

// outsideError says that a path leaves the recipe's folder.
type outsideError struct{ name string }

func (e *outsideError) Error() string {
	return fmt.Sprintf("%s is outside of the recipe's folder, and a recipe can't reach out of its place", e.name)
}

// read returns a file of the recipe. The name may be absolute if it is within
// the folder, which is what docker/cli's loader makes of a relative one. The
// errors are *outsideError (also for a symlink that leads out),
// fs.ErrNotExist, and one for a file too large or not regular.
func (r *Recipe) read(name string) ([]byte, error) {
	rel := name
	if filepath.IsAbs(name) {
		var err error
		if rel, err = filepath.Rel(r.dir, name); err != nil {
			return nil, &outsideError{name}
		}
	}
	rel = path.Clean(filepath.ToSlash(rel))
	if !filepath.IsLocal(rel) {
		return nil, &outsideError{name}
	}
	return r.readLocal(rel)
}

func (r *Recipe) readLocal(rel string) ([]byte, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, fmt.Errorf("open recipe: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", rel, fs.ErrNotExist)
	case err != nil && strings.Contains(err.Error(), "escapes"):
		// os.Root has no error value for it.
		return nil, &outsideError{rel}
	case err != nil:
		return nil, fmt.Errorf("%s can't be read: %w", rel, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s isn't a regular file", rel)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than %d KiB", rel, maxFile>>10)
	}
	data, err := root.ReadFile(rel)
	if err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", rel, err)
	}
	return data, nil
}
