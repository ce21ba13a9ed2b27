package executor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errNoGit is our fault, not the recipe's: the host lacks a program.
var errNoGit = errors.New("git is not installed on the runner's host")

// checkout puts the recipe at the job's commit into dir: the job's folder of
// cc-ci run is copied with its uncommitted changes, a repository is fetched
// one commit deep. ca is a PEM file of the instance's authority, "" for the
// system's.
func checkout(ctx context.Context, job Job, dir, ca string) error {
	if job.Dir != "" {
		return copyTree(ctx, job.Dir, dir)
	}
	return fetchCommit(ctx, job, dir, ca)
}

func fetchCommit(ctx context.Context, job Job, dir, ca string) error {
	url := strings.TrimSuffix(job.Context["server_url"], "/") + "/" + job.Context["repository"]
	git := gitRepository{dir: dir, env: gitEnv(url, job.Token, ca)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the clone's folder: %w", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"remote", "add", "origin", url},
		{"fetch", "--quiet", "--no-tags", "--depth=1", "origin", job.Context["sha"]},
		checkoutArgs(job.Context),
	} {
		if err := git.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// checkoutArgs leaves the clone as actions/checkout does: on the branch that
// was pushed, else detached at the commit (tags, pull requests).
func checkoutArgs(job map[string]string) []string {
	if branch, ok := strings.CutPrefix(job["ref"], "refs/heads/"); ok {
		return []string{"checkout", "--quiet", "-B", branch, "FETCH_HEAD"}
	}
	return []string{"checkout", "--quiet", "--detach", "FETCH_HEAD"}
}

// gitRepository runs git in one folder, apart from any configuration of the
// host's or the user's.
type gitRepository struct {
	dir string
	env []string
}

// gitEnv carries the token as a header in the environment: argv can be read by
// every user of the host, and a URL would end up in the clone's config.
func gitEnv(url, token, ca string) []string {
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
	if ca = cmp.Or(ca, os.Getenv("SSL_CERT_FILE")); ca != "" {
		env = append(env, "GIT_SSL_CAINFO="+ca)
	}
	if token == "" {
		return env
	}
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	return append(env,
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=http."+url+".extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic "+basic,
	)
}

func (g gitRepository) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return errNoGit
	case ctx.Err() != nil:
		return fmt.Errorf("git %s: %w", args[0], context.Cause(ctx))
	}
	return fmt.Errorf("git %s: %s", args[0], oneLine(complaint.String(), err))
}

func oneLine(complaint string, err error) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(complaint, "\n", " · ")), " ")
	if text = strings.Trim(text, "· "); text == "" {
		return err.Error()
	}
	return text
}

// copyTree copies a folder with its symlinks and modes. Other kinds of file
// (sockets, devices) have no place in a recipe and are left out.
func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copying the recipe: %w", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return fmt.Errorf("copying the recipe: %w", err)
		}
		if err := copyEntry(path, filepath.Join(to, rel), entry); err != nil {
			return fmt.Errorf("copying the recipe: %w", err)
		}
		return nil
	})
}

func copyEntry(from, to string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case entry.IsDir():
		return os.MkdirAll(to, info.Mode().Perm()|0o700)
	case entry.Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case entry.Type().IsRegular():
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode().Perm())
	}
	return nil
}
