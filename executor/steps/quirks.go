package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nektos/act/pkg/common"
	"github.com/nektos/act/pkg/container"
	"github.com/nektos/act/pkg/model"
	"github.com/nektos/act/pkg/runner"
	"github.com/rhysd/actionlint"
	"github.com/sirupsen/logrus"
	"gopkg.in/yaml.v3"
)

// This file holds what rests on the inside of act v0.2.89. Each part says what
// act does and what is done about it; quirks_test.go has a test for each.

// act ends the whole process (log.Fatal) when it decodes a part of a workflow
// that has the wrong type. Parse has checked those parts; what slips through
// reads as empty.
func init() { model.OnDecodeNodeError = nil }

// errPanic is act's panic over a workflow: an expression, a matrix.
var errPanic = errors.New("act stumbled over the workflow")

// guard turns a panic of act into an error: it panics on unclosed strings in
// expressions, on wrong types in a matrix, and when a post step fails after the
// job was forced to stop.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return do()
}

// act evaluates ${{ }} in the value of every variable again at each step, and
// once more inside composite actions: a branch name, a commit message or what a
// step writes to GITHUB_ENV could so read secrets. So that sign is broken up in
// all that comes from outside the workflow file (defang), and put back where it
// leaves act for a process, a file, the log or an output (restore).
const (
	live   = "${{"
	broken = "$\U0010FFFD{{"
)

func defang(text string) string  { return strings.ReplaceAll(text, live, broken) }
func restore(text string) string { return strings.ReplaceAll(text, broken, live) }

func defangAll(values map[string]string) map[string]string {
	for name, value := range values {
		values[name] = defang(value)
	}
	return values
}

// platform is the only label act gets to see; its -self-hosted makes act start
// its host environment, which is swapped before it runs anything.
const platform = "cc-ci"

// act's github context reads the commit from SHA_REF; without commit, ref or
// repository it looks for a git repository on the runner's disk, so that
// something must be there.
const (
	shaVariable    = "SHA_REF"
	unknownSHA     = "0000000000000000000000000000000000000000"
	unknownRef     = "refs/heads/main"
	unknownProject = "local/recipe"
)

// newRunContext builds act's RunContext without its planner, which would also
// run the injected jobs and knows only a file for the event.
func newRunContext(job Job, doc *document, info JobInfo) *runner.RunContext {
	workflow := doc.workflow
	// GitHub gives a workflow without a name its file's; act gives it none.
	workflow.Name = cmp.Or(workflow.Name, defang(job.Context["workflow"]))
	combination := job.Matrix
	if combination == nil && len(info.Matrix) > 0 {
		combination = info.Matrix[0]
	}
	prepared := workflow.Jobs[job.ID]
	injectNeeds(workflow, job.ID, job.Needs)
	adaptContainer(prepared)
	prepared.RawRunsOn = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: platform}
	// A condition that is empty is act's to default, except that it compares the
	// node's text only.
	prepared.If.Value = cmp.Or(prepared.If.Value, "success()")

	env := map[string]string{}
	for _, layer := range []map[string]string{contextEnv(job), job.Env} {
		for name, value := range layer {
			env[name] = defang(value)
		}
	}
	env[shaVariable] = cmp.Or(job.Context["sha"], unknownSHA)
	env["GITHUB_REF"] = cmp.Or(env["GITHUB_REF"], unknownRef)
	env["GITHUB_REPOSITORY"] = cmp.Or(env["GITHUB_REPOSITORY"], unknownProject)

	event := cmp.Or(string(job.Event), "{}")
	return &runner.RunContext{
		Config: &runner.Config{
			Actor:                 cmp.Or(defang(job.Context["actor"]), "cc-ci"),
			EventName:             cmp.Or(job.Context["event_name"], "push"),
			Workdir:               job.Workspace,
			ActionCacheDir:        job.ActionCache,
			LogOutput:             true,
			AutoRemove:            true,
			NoSkipCheckout:        true,
			Env:                   env,
			Secrets:               defangCopy(job.Secrets),
			Vars:                  defangCopy(job.Vars),
			Token:                 job.Token,
			InsecureSecrets:       true, // masking is the Sink's
			ContainerDaemonSocket: "-",
			Platforms:             map[string]string{platform: "-self-hosted"},
			GitHubInstance:        "localhost", // the context's URLs replace what act makes of it
		},
		Run:         &model.Run{Workflow: workflow, JobID: job.ID},
		EventJSON:   defang(event),
		StepResults: map[string]*model.StepResult{},
		Matrix:      combination,
		Name:        cmp.Or(job.Name, "job"),
		JobName:     cmp.Or(job.Name, "job"),
	}
}

func defangCopy(values map[string]string) map[string]string {
	copied := make(map[string]string, len(values))
	for name, value := range values {
		copied[name] = defang(value)
	}
	return copied
}

// adaptContainer takes container: from the job, since act would start it: its
// image is the sandbox's affair, its env joins the job's, and sh is the default
// shell with it.
func adaptContainer(job *model.Job) {
	spec := job.Container()
	job.RawContainer = yaml.Node{}
	if spec == nil {
		return
	}
	if job.Defaults.Run.Shell == "" {
		job.Defaults.Run.Shell = "sh"
	}
	if len(spec.Env) == 0 {
		return
	}
	merged := spec.Env
	maps.Copy(merged, job.Environment())
	_ = job.Env.Encode(merged)
}

// swapContext gets act to run steps in an environment of ours. act has no place
// to hand one in: it makes its host environment, then asks the context for the
// job's cancel context before it probes for node, the first thing it runs. At
// that question the environment is exchanged.
type swapContext struct {
	context.Context
	cancel context.Context
	swap   func()
}

// Value answers as the wrapped context does, but for the job's cancel context.
func (c *swapContext) Value(key any) any {
	if key == common.JobCancelCtxVal {
		c.swap()
		return polled{c.cancel}
	}
	return c.Context.Value(key)
}

// polled is a cancel context that act can ask but not wait for. When it could,
// it would evaluate the step's if: in a goroutine of its own at the cancellation
// and write to maps which the job's goroutine uses, and that ends the whole
// process (concurrent map writes). So the environment kills a cancelled job's
// step, and act learns of it with the next step, when it asks for Err.
type polled struct{ context.Context }

// Done never comes.
func (polled) Done() <-chan struct{} { return nil }

// outlives tells whether a step whose if: is condition goes on when the job is
// cancelled: whether it holds with cancelled() true and success() and failure()
// false. act can only evaluate that from the inside.
func outlives(condition string, evaluate func(condition string) (bool, error)) bool {
	condition = strings.TrimSpace(condition)
	if inner, ok := strings.CutPrefix(condition, live); ok && strings.Count(condition, live) == 1 {
		if inner, ok = strings.CutSuffix(inner, "}}"); ok {
			condition = inner
		}
	}
	tokens, _, lexErr := actionlint.LexExpression(condition + "}}")
	if lexErr != nil {
		return false
	}
	asked := false
	for i, token := range slices.Backward(tokens) {
		value, status := map[string]string{"always": "true", "cancelled": "true", "success": "false", "failure": "false"}[strings.ToLower(token.Value)]
		if !status || i+2 >= len(tokens) || tokens[i+1].Kind != actionlint.TokenKindLeftParen || tokens[i+2].Kind != actionlint.TokenKindRightParen {
			continue
		}
		asked = true
		condition = condition[:token.Offset] + value + condition[tokens[i+2].Offset+1:]
	}
	if !asked {
		return false
	}
	holds, err := evaluate(condition)
	return err == nil && holds
}

// swapEnvironment exchanges act's host environment once it is there, removes
// the folders it made, and throws away what it took into rc.Env: every variable
// of the runner's own process.
func swapEnvironment(rc *runner.RunContext, env *environment) {
	host, ok := rc.JobContainer.(*container.HostEnvironment)
	if !ok {
		return
	}
	env.ReplaceLogWriter(host.StdOut, host.StdOut)
	host.CleanUp()
	_ = os.RemoveAll(host.Path)
	rc.JobContainer = env
	rc.Env = nil
	own := rc.GetEnv()
	for name, value := range env.baseEnv() {
		if _, set := own[name]; !set {
			own[name] = value
		}
	}
}

// act probes for node with this command before the first step, in each job.
// The probe is answered with a stand-in and made when an action needs it.
var nodeProbe = []string{"node", "--no-warnings", "-e", "console.log(process.execPath)"}

const nodeStandIn = "/.cc-ci-node"

// hidden are variables act adds for itself: the commit, an image name made from
// the label, and the address of an interface that Gitea hasn't.
var hidden = []string{shaVariable, "ImageOS", "GITHUB_GRAPHQL_URL"}

// defaultShell tells the command that act makes for a step without shell:. It
// always takes bash there; like GitHub, sh stands in when the image has none.
func defaultShell(argv []string) (fallback []string, ok bool) {
	if len(argv) == 3 && argv[0] == "bash" && argv[1] == "-e" {
		return []string{"sh", "-e", argv[2]}, true
	}
	return nil, false
}

// loggers gives act's job a logger that writes nowhere and tells the hook all.
// Debug is needed since act says only there that it skips a step.
type loggers struct{ hook logrus.Hook }

// WithJobLogger implements runner.JobLoggerFactory.
func (l loggers) WithJobLogger() *logrus.Logger {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.SetFormatter(silent{})
	logger.SetLevel(logrus.DebugLevel)
	logger.AddHook(l.hook)
	return logger
}

// silent formats nothing: logrus formats even what it discards.
type silent struct{}

// Format implements logrus.Formatter.
func (silent) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

// errorHook collects errors which act logs where it should return them.
type errorHook struct{ texts *[]string }

// Levels implements logrus.Hook.
func (errorHook) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

// Fire implements logrus.Hook.
func (h errorHook) Fire(entry *logrus.Entry) error {
	*h.texts = append(*h.texts, restore(entry.Message))
	return nil
}

func collectErrors(ctx context.Context) (context.Context, *[]string) {
	texts := new([]string)
	logger := loggers{hook: errorHook{texts}}.WithJobLogger()
	return common.WithLogger(ctx, logger), texts
}
