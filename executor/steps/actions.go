package steps

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/git"
	"github.com/nektos/act/pkg/model"
	"github.com/nektos/act/pkg/runner"
	"gopkg.in/yaml.v3"
)

// actions fetches what uses: names, with the host's git, into bare repositories
// shared between jobs, and adapts their metadata to act.
type actions struct {
	job       Job
	cancelled context.Context // act doesn't tell Fetch of a cancellation
	// hosts are the actions named by URL: act takes only owner/repository@ref, so
	// that the URL is kept here under a made-up owner.
	hosts map[string]host
}

type host struct{ base, owner string }

var _ runner.ActionCache = (*actions)(nil)

var (
	usesURL   = regexp.MustCompile(`^(https?://[^/@\s]+)/([^/@\s]+)/([^/@\s]+)(/[^@\s]*)?@(\S+)$`)
	usesPlain = regexp.MustCompile(`^[^/@:\s]+/[^/@\s]+(/[^@\s]*)?@\S+$`)
)

// unsupportedUses says why an action can't run here; "" when it can.
func unsupportedUses(uses string) string {
	workflow := strings.Contains(uses, ".yml@") || strings.Contains(uses, ".yaml@") || strings.HasSuffix(uses, ".yml") || strings.HasSuffix(uses, ".yaml")
	switch {
	case strings.HasPrefix(uses, "docker://"):
		return noDocker
	case workflow && strings.Contains(uses, "/workflows/"):
		return "a reusable workflow isn't a step; copy its steps into this job"
	case strings.HasPrefix(uses, "./"), usesURL.MatchString(uses), usesPlain.MatchString(uses):
		return ""
	}
	return "write owner/repository@ref, https://host/owner/repository@ref or ./folder"
}

const noDocker = "Docker actions are not supported by cc-ci yet: the sandbox has no Docker socket; run the program in a run: step, with a job image that has it"

// adapt turns uses: with a URL into what act takes.
func (a *actions) adapt(uses string) string {
	match := usesURL.FindStringSubmatch(uses)
	if match == nil {
		return uses
	}
	base, owner := match[1], match[2]
	sum := sha256.Sum256([]byte(base + "/" + owner))
	alias := owner + "." + hex.EncodeToString(sum[:4])
	a.hosts[alias] = host{base: base, owner: owner}
	return alias + strings.TrimPrefix(uses, base+"/"+owner)
}

// original puts the real owner back into a variable that names an action.
func (a *actions) original(value string) string {
	alias, rest, ok := strings.Cut(value, "/")
	if known, found := a.hosts[alias]; ok && found {
		return known.owner + "/" + rest
	}
	return value
}

// url is where a repository is, as act names it.
func (a *actions) url(repository string) string {
	owner, name, _ := strings.Cut(repository, "/")
	if known, ok := a.hosts[owner]; ok {
		return known.base + "/" + known.owner + "/" + name
	}
	return strings.TrimSuffix(cmp.Or(a.job.ActionsURL, a.job.InstanceURL), "/") + "/" + repository
}

const fetchTimeout = 5 * time.Minute

var errFetchTimeout = fmt.Errorf("no answer within %v", fetchTimeout)

var fullSHA = regexp.MustCompile(`^[0-9a-f]{40}$`)

// fetching keeps jobs from fetching into one repository at once: a channel of
// one place for each folder.
var fetching sync.Map

// Fetch brings one commit in and gives its id. act's own idea of URL and token
// doesn't count: it would send the token anywhere.
func (a *actions) Fetch(ctx context.Context, repository, _, ref, _ string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, errFetchTimeout)
	defer cancel()
	defer context.AfterFunc(a.cancelled, cancel)()
	url := a.url(repository)
	repo := a.git(url)
	lock, _ := fetching.LoadOrStore(repo.Dir, make(chan struct{}, 1))
	turn := lock.(chan struct{})
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for another job's fetch of %s: %w", url, context.Cause(ctx))
	}
	if err := repo.prepare(ctx); err != nil {
		return "", err
	}
	// What came with a token isn't given to a job whose own may not read it.
	if fullSHA.MatchString(ref) && !repo.private {
		if _, err := repo.Run(ctx, nil, "cat-file", "-e", ref+"^{commit}"); err == nil {
			return ref, nil
		}
	}
	kept := "refs/cc-ci/" + hex.EncodeToString([]byte(ref))
	if _, err := repo.Run(ctx, nil, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, "+"+ref+":"+kept); err != nil {
		return "", fmt.Errorf("fetching %s: %w", url, err)
	}
	sha, err := repo.Run(ctx, nil, "rev-parse", "--verify", kept+"^{commit}")
	return strings.TrimSpace(string(sha)), err
}

// GetTarArchive gives a whole repository, or one file of it.
func (a *actions) GetTarArchive(ctx context.Context, repository, sha, name string) (io.ReadCloser, error) {
	repo := a.git(a.url(repository))
	if name == "" {
		content, err := repo.Run(ctx, nil, "archive", "--format=tar", sha)
		return io.NopCloser(bytes.NewReader(content)), err
	}
	content, err := a.metadata(path.Base(name), func(file string) ([]byte, error) {
		return repo.file(ctx, sha, path.Join(path.Dir(name), file))
	})
	if err != nil {
		return nil, err
	}
	return archive(name, content)
}

// metadata reads an action's action.yml or action.yaml and adapts it. There is
// always an action.yaml: act would build a Dockerfile on the host's engine where
// there is none, and write a file to the host for an action without either.
func (a *actions) metadata(name string, read func(file string) ([]byte, error)) ([]byte, error) {
	content, err := read(name)
	if err == nil {
		return a.adaptMetadata(content), nil
	}
	if name != "action.yaml" {
		return nil, fs.ErrNotExist
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return refuse(fmt.Sprintf("The action can't be read: %v.", err)), nil
	}
	if _, err := read("Dockerfile"); err == nil {
		return refuse(noDocker), nil
	}
	return refuse("There is no action.yml or action.yaml there; for an action of this repository, is there a checkout step before?"), nil
}

// adaptMetadata rewrites what act doesn't know and refuses what can't run. What
// it can't read is left for act to complain about.
func (a *actions) adaptMetadata(content []byte) []byte {
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil || len(root.Content) == 0 {
		return content
	}
	if tooLong(root.Content[0]) {
		return refuse(fmt.Sprintf("A value in the action's metadata is longer than %d kB.", maxScalar>>10))
	}
	rewriteGitea(root.Content[0])
	runs := child(root.Content[0], "runs")
	if using := child(runs, "using"); using != nil {
		if strings.EqualFold(using.Value, "docker") {
			return refuse(noDocker)
		}
		// act knows some versions only; what runs is the image's node anyway.
		if nodeVersion.MatchString(using.Value) {
			using.Value = "node20"
		}
	}
	if list := child(runs, "steps"); list != nil {
		for _, step := range list.Content {
			uses := child(step, "uses")
			if uses == nil {
				continue
			}
			if why := unsupportedUses(uses.Value); why != "" {
				return refuse("uses: " + uses.Value + ": " + why)
			}
			uses.Value = a.adapt(uses.Value)
		}
	}
	if adapted, err := yaml.Marshal(root.Content[0]); err == nil {
		return adapted
	}
	return content
}

func tooLong(node *yaml.Node) (long bool) {
	eachScalar(node, func(scalar *yaml.Node, _ bool) { long = long || len(scalar.Value) > maxScalar })
	return long
}

var nodeVersion = regexp.MustCompile(`^node[0-9]+$`)

// refusal is a shell that only the environment knows: it logs its script as an
// error.
const refusal = "/.cc-ci-refuse"

// refuse is the metadata of an action that does nothing but fail with a reason.
func refuse(why string) []byte {
	content, err := yaml.Marshal(map[string]any{
		"name": "refused",
		"runs": map[string]any{
			"using": "composite",
			"steps": []map[string]any{{"shell": refusal + " {0}", "run": why}},
		},
	})
	if err != nil {
		return []byte("name: " + refusal)
	}
	return content
}

// prepareSteps adapts a job's steps to act and to what cc-ci serves itself; it
// gives the headings of those that aren't scripts.
func (a *actions) prepareSteps(steps []*model.Step) []string {
	names := make([]string, len(steps))
	for i, step := range steps {
		if step.Uses == "" {
			continue
		}
		names[i] = "Run " + step.Uses
		if !a.serveCheckout(step) {
			step.Uses = a.adapt(step.Uses)
		}
	}
	return names
}

// repository is a bare clone on the host.
type repository struct {
	git.Repository
	private bool // fetched with the job's token
}

func (a *actions) git(url string) repository {
	sum := sha256.Sum256([]byte(url))
	name := strings.NewReplacer("/", "-", ":", "-").Replace(path.Base(url)) + "-" + hex.EncodeToString(sum[:8]) + ".git"
	var access git.Access
	if own := strings.TrimSuffix(a.job.InstanceURL, "/") + "/"; own != "/" && strings.HasPrefix(url, own) {
		access = git.Access{URL: own, Token: a.job.Token, CAFile: a.job.InstanceCAFile}
	}
	return repository{git.New(filepath.Join(a.job.ActionCache, name), access), access.Token != ""}
}

// prepare makes the bare repository when there is none. Its attributes undo
// those by which a repository keeps files out of archives.
func (r repository) prepare(ctx context.Context) error {
	attributes := filepath.Join(r.Dir, "info", "attributes")
	if _, err := os.Stat(attributes); err == nil {
		return nil
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return fmt.Errorf("making the action cache: %w", err)
	}
	if _, err := r.Run(ctx, nil, "init", "--quiet", "--bare", "."); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(attributes), 0o700); err != nil {
		return fmt.Errorf("making the action cache: %w", err)
	}
	return os.WriteFile(attributes, []byte("* -export-ignore -export-subst\n"), 0o600)
}

// file reads a file of a commit, through links inside it.
func (r repository) file(ctx context.Context, sha, name string) ([]byte, error) {
	content, err := r.Run(ctx, strings.NewReader(sha+":"+name+"\n"), "cat-file", "--batch", "--follow-symlinks")
	if err != nil {
		return nil, err
	}
	header, content, _ := bytes.Cut(content, []byte("\n"))
	if parts := bytes.Fields(header); len(parts) != 3 || string(parts[1]) != "blob" {
		return nil, fs.ErrNotExist
	}
	return bytes.TrimSuffix(content, []byte("\n")), nil
}
