package supply

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Tool is a program that is built from the Go module proxy, by a module of its
// own in e2e/tools that pins it.
type Tool struct {
	Name    string   // the program's name, and its module's folder in e2e/tools
	Module  string   // the module whose version is the program's version
	Package string   // the main package
	Flags   []string // for go build; %s in them stands for the version without its v
	Env     []string // for go build
}

// The programs that the lab and the checks of the code use.
var (
	Gitea = Tool{
		Name: "gitea", Module: "code.gitea.io/gitea", Package: "code.gitea.io/gitea",
		Flags: []string{"-tags=sqlite sqlite_unlock_notify", "-ldflags=-X main.Version=%s"},
		Env:   []string{"CGO_ENABLED=1"},
	}
	Traefik = Tool{
		Name: "traefik", Module: "github.com/traefik/traefik/v3", Package: "github.com/traefik/traefik/v3/cmd/traefik",
		Flags: []string{"-ldflags=-s -w -X github.com/traefik/traefik/v3/pkg/version.Version=%s"},
		Env:   []string{"CGO_ENABLED=0"},
	}
	OfficialRunner = Tool{
		Name: "runner", Module: "gitea.com/gitea/runner", Package: "gitea.com/gitea/runner",
		Env: []string{"CGO_ENABLED=0"},
	}
	Linter = Tool{
		Name: "lint", Module: "github.com/golangci/golangci-lint/v2", Package: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint",
		Env: []string{"CGO_ENABLED=0"},
	}
)

// Tool returns the path of the program, which it builds if need be.
func (s *Supply) Tool(ctx context.Context, t Tool) (string, error) {
	dir := filepath.Join(s.Repo, "e2e", "tools", t.Name)
	pins, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	version, ok := required(string(pins), t.Module)
	if !ok {
		return "", fmt.Errorf("%s: no requirement of %s", filepath.Join(dir, "go.mod"), t.Module)
	}
	compiler, err := run(ctx, dir, nil, "go", "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	compiler = strings.TrimSpace(compiler)
	args := []string{"build", "-buildvcs=false"}
	for _, f := range t.Flags {
		args = append(args, strings.ReplaceAll(f, "%s", strings.TrimPrefix(version, "v")))
	}
	name := fmt.Sprintf("%s-%s-%s-%s", t.Name, version, compiler, fingerprint(append(args, string(pins))...))
	return s.keep("tools", name, fmt.Sprintf("building %s %s", t.Name, version), func(path string) error {
		_, err := run(ctx, dir, append(t.Env, "GOWORK=off"), "go", append(args, "-o", path, t.Package)...)
		return err
	})
}

// required finds the version that a go.mod requires of a module.
func required(gomod, module string) (version string, ok bool) {
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1], true
		}
	}
	return "", false
}

// moduleDir is the folder of the module's source, which is fetched if need be.
func (s *Supply) moduleDir(ctx context.Context, t Tool) (string, error) {
	dir := filepath.Join(s.Repo, "e2e", "tools", t.Name)
	out, err := run(ctx, dir, []string{"GOWORK=off"}, "go", "list", "-m", "-f", "{{.Dir}}", t.Module)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(out) == "" {
		if _, err := run(ctx, dir, []string{"GOWORK=off"}, "go", "mod", "download", t.Module); err != nil {
			return "", err
		}
		out, err = run(ctx, dir, []string{"GOWORK=off"}, "go", "list", "-m", "-f", "{{.Dir}}", t.Module)
	}
	return strings.TrimSpace(out), err
}
