package steps

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxFile bounds a file that steps hand to the runner.
const maxFile = 16 << 20

// folder is a bind-mounted folder, seen from the host. Steps can put links,
// pipes and devices into it, so that nothing in it is trusted: no path leaves
// it, only regular files are read, and what is in a new file's way is removed.
type folder struct {
	container string // its path in the container
	host      string
}

// rel gives the path below the folder; ok is false when it isn't in it.
func (f folder) rel(container string) (rel string, ok bool) {
	container = path.Clean(container)
	if container == f.container {
		return ".", true
	}
	rel, ok = strings.CutPrefix(container, f.container+"/")
	return rel, ok
}

// write puts a file in, with exactly this mode, making its folders.
func (f folder) write(name string, mode fs.FileMode, content io.Reader) error {
	root, err := os.OpenRoot(f.host)
	if err != nil {
		return err
	}
	defer root.Close()
	return writeIn(root, name, mode, content)
}

func writeIn(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	// The umask would take from the mode what a step under another user needs.
	return errors.Join(err, file.Chmod(mode), file.Close())
}

// read gives a regular file's content.
func (f folder) read(name string) ([]byte, error) {
	root, err := os.OpenRoot(f.host)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Looked at before opening: opening a pipe waits, opening a device acts.
	if info, err := root.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d MB", name, maxFile>>20)
	}
	return content, err
}

// unpack replaces a folder by a tar's regular files, folders and links.
func (f folder) unpack(name string, archive io.Reader) error {
	root, err := os.OpenRoot(f.host)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	if err := root.MkdirAll(name, 0o777); err != nil {
		return err
	}
	inner, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer inner.Close()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(inner, header, reader); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := path.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o777)
	case tar.TypeSymlink:
		if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
		return writeIn(root, name, header.FileInfo().Mode().Perm()|0o444, content)
	}
	return nil
}

// archive is one file as act wants it: a tar. A file that isn't there is an
// empty one.
func archive(name string, content []byte) (io.ReadCloser, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Base(name), Mode: 0o644, Size: int64(len(content))}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	return io.NopCloser(&buffer), errors.Join(writer.Close())
}

// parseVariables reads a command file (GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE):
// NAME=value lines, and NAME<<DELIMITER blocks.
func parseVariables(content []byte) (map[string]string, error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	variables := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\r")
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case line == "":
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			variables[line[:equals]] = line[equals+1:]
		case heredoc >= 0:
			name, delimiter := line[:heredoc], line[heredoc+2:]
			from := i + 1
			for i++; i < len(lines) && strings.TrimSuffix(lines[i], "\r") != delimiter; i++ {
			}
			if i == len(lines) {
				return nil, fmt.Errorf("the value of %s doesn't end: no line %q follows", name, delimiter)
			}
			variables[name] = strings.Join(lines[from:i], "\n")
		default:
			return nil, fmt.Errorf("line %q: neither NAME=value nor NAME<<DELIMITER", line)
		}
	}
	return variables, nil
}
