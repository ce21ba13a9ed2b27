package supply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// GiteaProgram builds Gitea and returns the program and the folder of its
// module, which has its templates and all of its static files but the pages'
// scripts and styles.
func (s *Supply) GiteaProgram(ctx context.Context) (program, root string, err error) {
	if program, err = s.Tool(ctx, Gitea); err != nil {
		return "", "", err
	}
	root, err = s.moduleDir(ctx, Gitea)
	return program, root, err
}

// nodeVersion is what Gitea's pages want; Debian's is older.
const nodeVersion = "22"

// GiteaPages builds the scripts and styles of Gitea's pages, which are not in
// its Go module, with node and pnpm from npm. It returns a folder that serves
// as Gitea's custom folder.
func (s *Supply) GiteaPages(ctx context.Context) (string, error) {
	root, err := s.moduleDir(ctx, Gitea)
	if err != nil {
		return "", err
	}
	name := "gitea-pages-" + strings.TrimPrefix(filepath.Base(root), "gitea@")
	return s.keep("tools", name, "building Gitea's pages", func(path string) error {
		return buildPages(ctx, root, path, filepath.Dir(path))
	})
}

// buildPages builds in scratch what path is to hold.
func buildPages(ctx context.Context, root, path, scratch string) error {
	source := filepath.Join(scratch, "source")
	if err := os.CopyFS(source, os.DirFS(root)); err != nil {
		return fmt.Errorf("copy Gitea's source: %w", err)
	}
	// Files of the module cache are read-only, and so are their copies.
	if _, err := run(ctx, scratch, nil, "chmod", "-R", "u+w", source); err != nil {
		return err
	}
	node, pnpm, env, err := installPnpm(ctx, source, filepath.Join(scratch, "node"))
	if err != nil {
		return err
	}
	if _, err := run(ctx, source, env, node, pnpm, "install", "--frozen-lockfile", "--prod"); err != nil {
		return err
	}
	if _, err := run(ctx, source, env, node, pnpm, "exec", "vite", "build"); err != nil {
		return err
	}
	assets := filepath.Join(path, "public", "assets")
	if err := os.MkdirAll(assets, 0o755); err != nil {
		return err
	}
	for _, made := range []string{"js", "css", ".vite", "licenses.txt"} {
		if err := os.Rename(filepath.Join(source, "public", "assets", made), filepath.Join(assets, made)); err != nil {
			return err
		}
	}
	return nil
}

// installPnpm installs node and the pnpm that the source asks for into dir, and
// returns both programs and the environment they need.
func installPnpm(ctx context.Context, source, dir string) (node, pnpm string, env []string, err error) {
	version, err := pnpmVersion(source)
	if err != nil {
		return "", "", nil, err
	}
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		return "", "", nil, fmt.Errorf("there is no node on npm for %s", runtime.GOARCH)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", nil, err
	}
	npmNode := "node-linux-" + arch
	if _, err := run(ctx, dir, nil, "npm", "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund",
		npmNode+"@"+nodeVersion, "pnpm@"+version); err != nil {
		return "", "", nil, err
	}
	modules := filepath.Join(dir, "node_modules")
	bin := filepath.Join(modules, npmNode, "bin")
	env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"),
		"npm_config_store_dir=" + filepath.Join(dir, "store"),
		"CI=true", // pnpm asks nothing
	}
	return filepath.Join(bin, "node"), filepath.Join(modules, "pnpm", "bin", "pnpm.cjs"), env, nil
}

// pnpmVersion is the version that package.json names: any other pnpm would
// fetch that one.
func pnpmVersion(source string) (string, error) {
	b, err := os.ReadFile(filepath.Join(source, "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ PackageManager string }
	if err := json.Unmarshal(b, &p); err != nil {
		return "", err
	}
	version, ok := strings.CutPrefix(p.PackageManager, "pnpm@")
	if !ok {
		return "", errors.New("no version of pnpm in the package.json of Gitea")
	}
	version, _, _ = strings.Cut(version, "+")
	return version, nil
}
