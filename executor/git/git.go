// Package git runs the host's git, apart from any configuration of the host's
// or the user's. No token appears in an argument, which every user of the host
// can read, nor in what a repository keeps.
package git

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// killBound is how long outputs may stay open after git was killed.
const killBound = 5 * time.Second

// ErrMissing says that the host lacks git.
var ErrMissing = errors.New("git is not installed on the runner's host")

// Access is how git reaches a server.
type Access struct {
	// URL begins the addresses that are sent Token, which may be empty.
	URL, Token string
	// CAFile (PEM) is the authority behind the server's certificate; "" is
	// SSL_CERT_FILE's, or the system's.
	CAFile string
}

// Repository is a folder that git runs in, and the server it asks.
type Repository struct {
	// Dir is the folder, which Run wants to exist.
	Dir string
	env []string
}

// New returns the repository in dir. Of this process's environment git gets to
// see PATH, SSL_CERT_FILE and the proxies.
func New(dir string, access Access) Repository {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_LFS_SKIP_SMUDGE=1",
		"LC_ALL=C",
	}
	for _, name := range []string{"SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	if ca := cmp.Or(access.CAFile, os.Getenv("SSL_CERT_FILE")); ca != "" {
		env = append(env, "GIT_SSL_CAINFO="+ca)
	}
	if access.Token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + access.Token))
		env = append(env, "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=http."+access.URL+".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic)
	}
	return Repository{Dir: dir, env: env}
}

// Run runs git and returns what it prints. The error is ErrMissing, the cause of
// ctx's end, or git's own words in one line.
func (r Repository) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, r.env, stdin
	// git talks to servers through children, which would outlive it and keep its
	// outputs open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killBound
	output, complaint := bounded{left: maxOutput}, bounded{left: maxComplaint}
	cmd.Stdout, cmd.Stderr = &output, &complaint
	err := cmd.Run()
	switch {
	case output.left < 0:
		return nil, fmt.Errorf("git %s: it prints more than %d MiB", args[0], maxOutput>>20)
	case err == nil:
		return output.held.Bytes(), nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, ErrMissing
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], context.Cause(ctx))
	}
	return nil, fmt.Errorf("git %s: %s", args[0], cmp.Or(oneLine(complaint.held.String()), err.Error()))
}

// maxOutput and maxComplaint bound what is held of git's outputs, in bytes: a
// small repository can unpack to a file of any size.
const (
	maxOutput    = 128 << 20
	maxComplaint = 64 << 10
)

// bounded is a buffer that takes no more once left would be below zero.
type bounded struct {
	held bytes.Buffer // not embedded: its ReadFrom would go round Write
	left int
}

// Write implements io.Writer.
func (b *bounded) Write(data []byte) (int, error) {
	if b.left -= len(data); b.left < 0 {
		return 0, errors.New("too much output")
	}
	return b.held.Write(data)
}

// oneLine joins lines with dots between them.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " · ")
}
