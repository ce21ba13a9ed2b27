package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// copyFolder copies what is in a folder into an empty one: files, folders and
// links as they are, with modes and times. Neither side is left through a link.
func copyFolder(from, to *os.Root) error {
	names, err := namesIn(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := from.Lstat(name)
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			err = copySubfolder(from, to, name, info)
		case info.Mode().IsRegular():
			err = copyFile(from, to, name, info)
		case info.Mode()&fs.ModeSymlink != 0:
			err = copyLink(from, to, name)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder nor a link", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copySubfolder(from, to *os.Root, name string, info fs.FileInfo) error {
	// Its own mode may forbid what is still to be written.
	if err := to.Mkdir(name, 0o700); err != nil {
		return err
	}
	source, err := from.OpenRoot(name)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.OpenRoot(name)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := copyFolder(source, target); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return likeness(to, name, info)
}

func copyFile(from, to *os.Root, name string, info fs.FileInfo) (err error) {
	source, err := from.Open(name)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return err
	}
	return likeness(to, name, info)
}

func copyLink(from, to *os.Root, name string) error {
	target, err := from.Readlink(name)
	if err != nil {
		return err
	}
	return to.Symlink(target, name)
}

// likeness gives a copy its original's mode and time.
func likeness(to *os.Root, name string, info fs.FileInfo) error {
	if err := to.Chmod(name, info.Mode().Perm()); err != nil {
		return err
	}
	return to.Chtimes(name, info.ModTime(), info.ModTime())
}
