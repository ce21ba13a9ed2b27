package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// The exit codes that a shell has for a command it can't run.
const (
	codeCannotRun = 126
	codeNotFound  = 127
)

// launch starts a command in a session of its own, both outputs going to the
// descriptor out.
func (s *server) launch(request process.Request, out int) (int, <-chan syscall.WaitStatus, *process.StartError) {
	dir := request.Dir
	if dir == "" {
		dir = "/"
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return 0, nil, &process.StartError{Code: codeCannotRun, Reason: fmt.Sprintf("the working folder %s doesn't exist in the sandbox", dir)}
	}
	if len(request.Argv) == 0 || request.Argv[0] == "" {
		return 0, nil, &process.StartError{Code: codeNotFound, Reason: "the command is empty"}
	}
	program, refused := find(request.Argv[0], dir, request.Env)
	if refused != nil {
		return 0, nil, refused
	}
	pid, exited, err := s.reaper.start(program, request.Argv, &syscall.ProcAttr{
		Dir:   dir,
		Env:   request.Env,
		Files: []uintptr{s.null.Fd(), uintptr(out), uintptr(out)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, &process.StartError{Code: codeCannotRun, Reason: fmt.Sprintf("%s can't be run: %s", program, why(err))}
	}
	return pid, exited, nil
}

// why says what a failed start means where the kernel's word for it misleads.
func why(err error) string {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return "the interpreter that its first line or its ELF header names isn't in the image"
	case errors.Is(err, syscall.E2BIG):
		return "its arguments and environment are longer than the kernel takes"
	case errors.Is(err, syscall.ENOEXEC):
		return "it is neither a program for this machine nor a script that begins with #!"
	case errors.Is(err, syscall.EAGAIN):
		return "the sandbox has as many processes as it may"
	default:
		return err.Error()
	}
}

// find looks a program up as a shell in dir would, with the PATH of env.
func find(name, dir string, env []string) (string, *process.StartError) {
	if strings.Contains(name, "/") {
		return name, runnable(name, inDir(dir, name))
	}
	var path string
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	refused := &process.StartError{Code: codeNotFound, Reason: fmt.Sprintf("%s isn't in the image: it is in no folder of PATH (%s)", name, path)}
	for _, folder := range filepath.SplitList(path) {
		candidate := inDir(dir, filepath.Join(folder, name))
		found := runnable(name, candidate)
		if found == nil {
			return candidate, nil
		}
		if found.Code == codeCannotRun {
			refused = found
		}
	}
	return "", refused
}

// inDir is path as seen from dir.
func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// runnable says why the file at path can't be executed; nil if it may be.
func runnable(name, path string) *process.StartError {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return &process.StartError{Code: codeNotFound, Reason: name + " doesn't exist in the sandbox"}
	case err != nil:
		return &process.StartError{Code: codeCannotRun, Reason: fmt.Sprintf("%s can't be run: %v", name, err)}
	case info.IsDir():
		return &process.StartError{Code: codeCannotRun, Reason: name + " is a folder"}
	case info.Mode().Perm()&0o111 == 0:
		return &process.StartError{Code: codeCannotRun, Reason: name + " is not executable"}
	}
	return nil
}
