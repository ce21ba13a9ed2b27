package gitea

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"
)

// Files makes a file system of texts by path, for Push.
func Files(texts map[string]string) fs.FS {
	m := fstest.MapFS{}
	for path, text := range texts {
		m[path] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return m
}

// Push replaces all files on a branch of the repository, in one commit by git,
// and returns the commit. An unborn branch is made.
func (c *Client) Push(ctx context.Context, repo, branch, message string, files ...fs.FS) (commit string, err error) {
	dir, err := os.MkdirTemp("", "cc-ci-lab-push-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if _, err := c.git(ctx, dir, "init", "--quiet", "--initial-branch="+branch); err != nil {
		return "", err
	}
	remote := c.URL + "/" + repoPath(repo) + ".git"
	// Fails when the branch is unborn.
	if _, err := c.git(ctx, dir, "fetch", "--quiet", "--depth=1", remote, branch); err == nil {
		if _, err := c.git(ctx, dir, "reset", "--quiet", "--soft", "FETCH_HEAD"); err != nil {
			return "", err
		}
	}
	for _, f := range files {
		if err := lay(dir, f); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"add", "--all"},
		{"commit", "--quiet", "--allow-empty", "--message", message},
		{"push", "--quiet", remote, "HEAD:refs/heads/" + branch},
	} {
		if _, err := c.git(ctx, dir, args...); err != nil {
			return "", err
		}
	}
	return c.git(ctx, dir, "rev-parse", "HEAD")
}

// AwaitFilled waits, up to the limit, until Gitea has noted that a repository is
// no longer empty. It does so some time after the first push; its workflows
// can't be dispatched before.
func (c *Client) AwaitFilled(ctx context.Context, repo string, limit time.Duration) error {
	return await(ctx, limit, "the first push to "+repo, func() (bool, error) {
		var out struct{ Empty bool }
		err := c.do(ctx, http.MethodGet, "/api/v1/repos/"+repoPath(repo), nil, &out)
		return !out.Empty, err
	})
}

// lay writes the files of f into dir, over what is there.
func lay(dir string, f fs.FS) error {
	return fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(f, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, b, info.Mode().Perm()|0o600)
	})
}

// git runs git as the client's user. The token goes by the environment, which
// other users can't read.
func (c *Client) git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	basic := base64.StdEncoding.EncodeToString([]byte("token:" + c.token))
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic,
		"GIT_AUTHOR_NAME=Lab", "GIT_AUTHOR_EMAIL=lab@lab.invalid", "GIT_COMMITTER_NAME=Lab", "GIT_COMMITTER_EMAIL=lab@lab.invalid")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
