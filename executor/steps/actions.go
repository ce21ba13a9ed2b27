package steps

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

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

// fetching keeps jobs from fetching into one repository at once.
var fetching sync.Map

// Fetch brings one commit in and gives its id. act's own idea of URL and token
// doesn't count: it would send the token anywhere.
func (a *actions) Fetch(ctx context.Context, repository, _, ref, _ string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, errFetchTimeout)
	defer cancel()
	defer context.AfterFunc(a.cancelled, cancel)()
	url := a.url(repository)
	git := a.git(url)
	lock, _ := fetching.LoadOrStore(git.dir, new(sync.Mutex))
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	if err := git.prepare(ctx); err != nil {
		return "", err
	}
	// What came with a token isn't given to a job whose own may not read it.
	if fullSHA.MatchString(ref) && !git.private {
		if _, err := git.run(ctx, nil, "cat-file", "-e", ref+"^{commit}"); err == nil {
			return ref, nil
		}
	}
	kept := "refs/cc-ci/" + hex.EncodeToString([]byte(ref))
	if _, err := git.run(ctx, nil, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, "+"+ref+":"+kept); err != nil {
		return "", fmt.Errorf("fetching %s: %w", url, err)
	}
	sha, err := git.run(ctx, nil, "rev-parse", "--verify", kept+"^{commit}")
	return strings.TrimSpace(string(sha)), err
}

// GetTarArchive gives a whole repository, or one file of it.
func (a *actions) GetTarArchive(ctx context.Context, repository, sha, name string) (io.ReadCloser, error) {
	git := a.git(a.url(repository))
	if name == "" {
		content, err := git.run(ctx, nil, "archive", "--format=tar", sha)
		return io.NopCloser(bytes.NewReader(content)), err
	}
	content, err := a.metadata(path.Base(name), func(file string) ([]byte, error) {
		return git.file(ctx, sha, path.Join(path.Dir(name), file))
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
	dir     string
	env     []string
	private bool // fetched with the job's token
}

func (a *actions) git(url string) repository {
	sum := sha256.Sum256([]byte(url))
	name := strings.NewReplacer("/", "-", ":", "-").Replace(path.Base(url)) + "-" + hex.EncodeToString(sum[:8]) + ".git"
	git := repository{dir: filepath.Join(a.job.ActionCache, name), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}}
	for _, name := range []string{"SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			git.env = append(git.env, name+"="+value)
		}
	}
	if ca := os.Getenv("SSL_CERT_FILE"); ca != "" {
		git.env = append(git.env, "GIT_SSL_CAINFO="+ca)
	}
	if own := strings.TrimSuffix(a.job.InstanceURL, "/") + "/"; own != "/" && strings.HasPrefix(url, own) && a.job.Token != "" {
		git.private = true
		basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + a.job.Token))
		git.env = append(git.env, "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=http."+own+".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic)
	}
	return git
}

// prepare makes the bare repository when there is none. Its attributes undo
// those by which a repository keeps files out of archives.
func (r repository) prepare(ctx context.Context) error {
	attributes := filepath.Join(r.dir, "info", "attributes")
	if _, err := os.Stat(attributes); err == nil {
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("making the action cache: %w", err)
	}
	if _, err := r.run(ctx, nil, "init", "--quiet", "--bare", "."); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(attributes), 0o700); err != nil {
		return fmt.Errorf("making the action cache: %w", err)
	}
	return os.WriteFile(attributes, []byte("* -export-ignore -export-subst\n"), 0o600)
}

// file reads a file of a commit, through links inside it.
func (r repository) file(ctx context.Context, sha, name string) ([]byte, error) {
	content, err := r.run(ctx, strings.NewReader(sha+":"+name+"\n"), "cat-file", "--batch", "--follow-symlinks")
	if err != nil {
		return nil, err
	}
	header, content, _ := bytes.Cut(content, []byte("\n"))
	if parts := bytes.Fields(header); len(parts) != 3 || string(parts[1]) != "blob" {
		return nil, fs.ErrNotExist
	}
	return bytes.TrimSuffix(content, []byte("\n")), nil
}

func (r repository) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = r.dir, r.env, stdin
	var output, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaint
	err := cmd.Run()
	switch {
	case err == nil:
		return output.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed on the runner's host")
	}
	text := strings.Join(strings.Fields(complaint.String()), " ")
	return nil, fmt.Errorf("git %s: %s", args[0], cmp.Or(text, err.Error()))
}
