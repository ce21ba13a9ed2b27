package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
)

// TaskID is the task of every local job. Slugs come from it and from the time.
const TaskID = "local"

// ErrUsage is wrapped by errors that are the caller's: a folder, workflow, job
// or variable that isn't there.
var ErrUsage = errors.New("nothing was started")

// Options choose what of a folder is run.
type Options struct {
	// Workflow is a file, relative to the folder or to where workflows live.
	// "" is ci.yml, or the only one there is, or one that is built in.
	Workflow string
	// Job is its key; "" is the only one, or the only one for cc-ci.
	Job string
	// Env are variables for the job, KEY=value, over those of the workflow. A KEY
	// alone takes the value this process has.
	Env []string
	// Secrets are what the secrets context gives.
	Secrets map[string]string
	// Keep holds the deployment until the job is cancelled.
	Keep bool
}

// Plan is a job ready to be run, and what to call its parts.
type Plan struct {
	Job   executor.Job
	File  string   // the workflow, relative to the folder
	Steps []string // names of the steps, by index
	Notes []string // what was chosen where the workflow left a choice
}

// NewPlan makes a job of the recipe in dir.
func NewPlan(ctx context.Context, dir string, o Options) (Plan, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Plan{}, fmt.Errorf("finding the recipe: %w", err)
	}
	// A link stands for the folder it leads to; one that leads nowhere is told below.
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return Plan{}, fmt.Errorf("%s is no folder: %w", dir, ErrUsage)
	}
	file, data, err := findWorkflow(dir, o.Workflow)
	if err != nil {
		return Plan{}, err
	}
	env, err := variables(o.Env)
	if err != nil {
		return Plan{}, err
	}
	w, err := narrow(data, o.Job, env)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", file, err)
	}
	repository := describe(ctx, dir)
	job := executor.Job{
		Task:       TaskID,
		ID:         w.job,
		Workflow:   w.yaml,
		Context:    repository.context(file, w.job),
		Event:      repository.event(),
		Secrets:    o.Secrets,
		ActionsURL: "https://github.com",
		Dir:        dir,
		Keep:       o.Keep,
	}
	return Plan{Job: job, File: file, Steps: w.steps, Notes: w.notes}, nil
}

// variables reads KEY=value and KEY.
func variables(list []string) ([][2]string, error) {
	var env [][2]string
	for _, item := range list {
		key, value, given := strings.Cut(item, "=")
		if !given {
			value, given = os.LookupEnv(key)
		}
		if key == "" || !given {
			return nil, fmt.Errorf("--env %s: write KEY=value, or a KEY that is set here: %w", item, ErrUsage)
		}
		env = append(env, [2]string{key, value})
	}
	return env, nil
}

// workflowFolders are where Gitea looks, in its order.
var workflowFolders = []string{".gitea/workflows", ".github/workflows"}

// findWorkflow returns a workflow's name, relative to dir, and its text.
func findWorkflow(dir, wanted string) (string, []byte, error) {
	if wanted != "" {
		return readWorkflow(dir, wanted)
	}
	for _, folder := range workflowFolders {
		names, err := workflowsIn(filepath.Join(dir, folder))
		if err != nil {
			return "", nil, err
		}
		for _, usual := range []string{"ci.yml", "ci.yaml"} {
			if slices.Contains(names, usual) {
				names = []string{usual}
			}
		}
		switch len(names) {
		case 0:
			continue
		case 1:
			return readWorkflow(dir, filepath.Join(folder, names[0]))
		}
		return "", nil, fmt.Errorf("%s has several workflows: choose with --workflow %s: %w",
			folder, strings.Join(names, " or --workflow "), ErrUsage)
	}
	return "(built in)", builtIn, nil
}

func readWorkflow(dir, wanted string) (string, []byte, error) {
	places := []string{filepath.Join(dir, wanted)}
	if filepath.IsAbs(wanted) {
		places = []string{wanted}
	} else {
		for _, folder := range workflowFolders {
			places = append(places, filepath.Join(dir, folder, wanted))
		}
	}
	for _, path := range places {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("reading the workflow: %w", err)
		}
		if rel, err := filepath.Rel(dir, path); err == nil {
			path = rel
		}
		return path, data, nil
	}
	return "", nil, fmt.Errorf("there is no workflow %s in %s: %w", wanted, dir, ErrUsage)
}

func workflowsIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for workflows: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Workflows lists the workflow files of the recipe in dir, for completion.
func Workflows(dir string) []string {
	for _, folder := range workflowFolders {
		if names, err := workflowsIn(filepath.Join(dir, folder)); err == nil && len(names) > 0 {
			return names
		}
	}
	return nil
}

// repository is what the github context says about where a job comes from.
type repository struct {
	server, name, ref, sha, actor string
}

// describe asks git about dir. A folder without git is a repository too, of
// which nothing is known but its name.
func describe(ctx context.Context, dir string) repository {
	r := repository{
		server: "http://localhost",
		name:   "local/" + filepath.Base(dir),
		ref:    "refs/heads/main",
		sha:    strings.Repeat("0", 40),
		actor:  "local",
	}
	if u, err := user.Current(); err == nil {
		r.actor = u.Username
	}
	if sha := git(ctx, dir, "rev-parse", "--verify", "--quiet", "HEAD"); sha != "" {
		r.sha = sha
	}
	if ref := git(ctx, dir, "symbolic-ref", "--quiet", "HEAD"); ref != "" {
		r.ref = ref
	}
	return r
}

// git returns the first line git says, or "" when it has none to say.
func git(ctx context.Context, dir string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (r repository) context(workflow, job string) map[string]string {
	owner, _, _ := strings.Cut(r.name, "/")
	branch := strings.TrimPrefix(r.ref, "refs/heads/")
	return map[string]string{
		"actor": r.actor, "event_name": "push", "job": job, "workflow": filepath.Base(workflow),
		"ref": r.ref, "ref_name": branch, "ref_type": "branch", "sha": r.sha,
		"repository": r.name, "repository_owner": owner, "repositoryUrl": r.server + "/" + r.name,
		"run_id": "1", "run_number": "1", "run_attempt": "1",
		"server_url": r.server, "api_url": r.server + "/api/v1",
	}
}

func (r repository) event() []byte {
	owner, name, _ := strings.Cut(r.name, "/")
	event, _ := json.Marshal(map[string]any{ // strings and maps always encode
		"ref": r.ref, "after": r.sha, "before": strings.Repeat("0", 40),
		"repository": map[string]any{
			"name": name, "full_name": r.name, "html_url": r.server + "/" + r.name,
			"owner": map[string]any{"login": owner},
		},
		"sender": map[string]any{"login": r.actor},
	})
	return event
}
