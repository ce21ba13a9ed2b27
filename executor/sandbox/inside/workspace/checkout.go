package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// UsageError is a call that can't be right.
type UsageError string

func (e UsageError) Error() string { return string(e) }

// Checkout puts the job's clone, at from, where actions/checkout would put the
// repository: to path in GITHUB_WORKSPACE, "" for the workspace itself. What was
// there before is removed, as its clean does. It tells log so.
func Checkout(from, path string, log io.Writer) error {
	workspace := os.Getenv("GITHUB_WORKSPACE")
	if !filepath.IsAbs(workspace) {
		return errors.New("GITHUB_WORKSPACE isn't set to a folder: checkout runs as a step of a job")
	}
	begun := time.Now()
	clone, err := os.OpenRoot(from)
	if err != nil {
		return fmt.Errorf("this sandbox has no clone of the repository: %w", err)
	}
	defer clone.Close()
	commit, err := head(clone)
	if err != nil {
		return fmt.Errorf("read which commit the job's clone is at: %w", err)
	}
	folder, err := place(clone, workspace, path)
	if err != nil {
		return err
	}
	if err := trustFolder(folder); err != nil {
		return fmt.Errorf("let git trust the workspace: %w", err)
	}
	refreshIndex(folder)
	fmt.Fprintf(log, "Served %s at %s from the job's own clone, without network, in %d ms\n",
		orElse(os.Getenv("GITHUB_REPOSITORY"), "the repository"), orElse(short(commit), "no commit"), time.Since(begun).Milliseconds())
	return writeOutputs(commit)
}

// place copies the clone to path in the workspace, "" for the workspace itself,
// and returns the folder.
func place(clone *os.Root, workspace, path string) (string, error) {
	path = filepath.Clean(orElse(path, "."))
	if !filepath.IsLocal(path) {
		return "", UsageError(fmt.Sprintf("the path %q isn't within the workspace", path))
	}
	if err := os.MkdirAll(workspace, 0o755); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := root.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make the folder %s in the workspace: %w", path, err)
	}
	target, err := root.OpenRoot(path)
	if err != nil {
		return "", fmt.Errorf("open the folder %s in the workspace: %w", path, err)
	}
	defer target.Close()
	if err := empty(target); err != nil {
		return "", fmt.Errorf("remove what was in the workspace: %w", err)
	}
	if err := copyFolder(clone, target); err != nil {
		return "", fmt.Errorf("copy the job's clone: %w", err)
	}
	return filepath.Join(workspace, path), nil
}

// head is the commit that the clone is at, without the need of git; "" for a
// folder that isn't a repository.
func head(clone *os.Root) (string, error) {
	text, err := clone.ReadFile(".git/HEAD")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name, symbolic := strings.CutPrefix(strings.TrimSpace(string(text)), "ref: ")
	if !symbolic {
		return name, nil
	}
	if text, err = clone.ReadFile(filepath.Join(".git", name)); err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	packed, err := clone.ReadFile(".git/packed-refs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(packed)) {
		if commit, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && ref == name {
			return commit, nil
		}
	}
	return "", nil // a branch without a commit
}

// trustFolder tells git that the folder may belong to another user than the one
// who asks: it is the host's.
func trustFolder(folder string) error {
	path := filepath.Join(orElse(os.Getenv("HOME"), "/root"), ".gitconfig")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entry := "\tdirectory = \"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(folder) + "\"\n"
	if strings.Contains(string(text), entry) {
		return nil
	}
	return appendTo(path, "[safe]\n"+entry)
}

// refreshIndex makes the clone's index agree with the copies: until then git's
// plumbing takes every file for changed. It is left to the next git status when
// git isn't in the image.
func refreshIndex(folder string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = exec.CommandContext(ctx, "git", "-C", folder, "update-index", "-q", "--refresh").Run()
}

// writeOutputs tells the job what actions/checkout does: commit and ref.
func writeOutputs(commit string) error {
	path := os.Getenv("GITHUB_OUTPUT")
	if path == "" {
		return nil
	}
	return appendTo(path, fmt.Sprintf("commit=%s\nref=%s\n", commit, os.Getenv("GITHUB_REF")))
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// short is a commit as people write it.
func short(commit string) string { return commit[:min(len(commit), 10)] }

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
