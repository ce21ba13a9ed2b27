package executor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/git"
)

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
	url := instanceURL(job) + "/" + job.Context["repository"]
	repo := git.New(dir, git.Access{URL: url, Token: job.Token, CAFile: ca})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the clone's folder: %w", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"remote", "add", "origin", url},
		{"fetch", "--quiet", "--no-tags", "--depth=1", "origin", job.Context["sha"]},
		checkoutArgs(job.Context),
	} {
		if _, err := repo.Run(ctx, nil, args...); err != nil {
			return err
		}
	}
	return nil
}

// checkoutArgs leaves the clone as actions/checkout does: on the branch that
// was pushed, else detached at the commit (tags, pull requests).
func checkoutArgs(job map[string]string) []string {
	// A branch may begin with a hyphen, but git checks none out by such a name.
	if branch, ok := strings.CutPrefix(job["ref"], "refs/heads/"); ok && !strings.HasPrefix(branch, "-") {
		return []string{"checkout", "--quiet", "-B", branch, "FETCH_HEAD"}
	}
	return []string{"checkout", "--quiet", "--detach", "FETCH_HEAD"}
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
