package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// leaseMargin is what a lease allows beyond the job's own bound: for the report,
// the teardown and a clock that was set.
const leaseMargin = 15 * time.Minute

// A run is one job on its way through the phases. It belongs to one goroutine;
// what phases do side by side is joined before the next begins.
type run struct {
	*Executor
	job    Job
	logger zerolog.Logger
	log    *joblog
	began  time.Time
	limit  time.Duration

	recipe string
	slug   string
	domain string
	url    string // without a path
	dir    string // of the job: clone, workspace, act, run
	owner  swarm.Owner

	info     steps.JobInfo
	settings settings
	app      *abra.App // nil: no deployment

	lease       *swarm.Lease
	sandbox     *sandbox.Sandbox
	deployment  *swarm.Deployment
	closeRouter func() error // nil: no socket of the router's is open
	receipt     swarm.Receipt
	image       string // the sandbox's
	// imageIsWorkflows tells that the workflow's container: names the image.
	imageIsWorkflows bool

	phase       string // the one under way
	timeline    timeline
	skipped     bool
	stepsResult Result
	outputs     map[string]string
}

func (e *Executor) newRun(job Job, report Reporter) *run {
	r := &run{Executor: e, job: job, began: e.now(), limit: e.config.Timeouts.Job}
	r.log = &joblog{report: report, now: e.now}
	r.recipe = path.Base(job.Context["repository"])
	salt := ""
	if job.Dir != "" {
		salt = strconv.FormatInt(r.began.UnixNano(), 36)
	}
	r.slug = Slug(r.recipe, e.config.Runner, job.Task, salt)
	r.domain = r.slug + "." + e.config.BaseDomain
	r.url = "https://" + r.domain
	if e.config.HTTPSPort != 443 {
		r.url += ":" + strconv.Itoa(e.config.HTTPSPort)
	}
	r.dir = filepath.Join(e.config.WorkDir, r.slug)
	r.logger = e.log.With().Str("task", job.Task).Str("slug", r.slug).Logger()
	r.owner = swarm.Owner{Runner: e.config.Runner, Task: job.Task, Slug: r.slug, Expires: r.began.Add(r.limit + leaseMargin)}
	return r
}

// recovered turns a panic, most likely one of a library, into a failed job: the
// daemon and the teardown must live on.
func (r *run) recovered(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.logger.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a job panicked")
			err = infraFault(fmt.Errorf("panic: %v", p), "this is a bug of cc-ci: the runner's own log has the stack", "cc-ci stumbled: %v", p)
		}
	}()
	return do()
}

// work takes a job from its announcement to the end of its steps.
func (r *run) work(ctx context.Context) error {
	if err := r.announce(ctx); err != nil || r.skipped {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, r.limit-r.now().Sub(r.began), ErrTimeout)
	defer stop()
	for _, phase := range []func(context.Context) error{
		r.takeLease, r.checkout, r.preflight, r.pull, r.prepare, r.runSteps,
	} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

// timed runs one phase under its own deadline and notes how long it took. The
// error is a *Fault that carries the phase's name.
func (r *run) timed(ctx context.Context, name string, limit time.Duration, do func(context.Context) error) error {
	r.phase = name
	start := r.now()
	phaseCtx, stop := context.WithTimeoutCause(ctx, limit, &errPhaseTimeout{name, limit})
	defer stop()
	err := do(phaseCtx)
	r.timeline.add(name, r.now().Sub(start))
	if err == nil {
		return nil
	}
	return asFault(name, err).because(phaseCtx)
}

// result decides how the job ends: why its context was cancelled goes before
// what that did to the phase it was in.
func (r *run) result(ctx context.Context, err error) Result {
	var fault *Fault
	switch {
	case errors.Is(err, ErrTimeout), errors.Is(context.Cause(ctx), ErrTimeout):
		return Failure
	case ctx.Err() != nil:
		return Cancelled
	case errors.As(err, &fault) && fault.Infra:
		return Infra
	case err != nil:
		return Failure
	case r.skipped:
		return Skipped
	default:
		return cmp.Or(r.stepsResult, Success)
	}
}

// stepsJob is the job as package steps wants it.
func (r *run) stepsJob() steps.Job {
	needs := make(map[string]steps.Need, len(r.job.Needs))
	for id, need := range r.job.Needs {
		needs[id] = steps.Need{Result: need.Result, Outputs: need.Outputs}
	}
	return steps.Job{
		Name:           r.slug,
		ID:             r.job.ID,
		Workflow:       r.job.Workflow,
		Context:        r.job.Context,
		Event:          r.job.Event,
		Env:            r.stepEnv(),
		Secrets:        r.job.Secrets,
		Vars:           r.job.Vars,
		Needs:          needs,
		Token:          r.job.Token,
		ActionsURL:     r.job.ActionsURL,
		InstanceURL:    instanceURL(r.job),
		InstanceCAFile: r.config.InstanceCAFile,
		ActionCache:    r.config.ActionCache,
		Scratch:        r.folder("act"),
		ActPath:        sandbox.ActPath,
		Workspace:      r.workspacePath(),
		CheckoutArgv:   []string{inside.Binary, "sandbox", "checkout"},
	}
}

// stepEnv is what cc-ci sets for every step.
func (r *run) stepEnv() map[string]string {
	env := map[string]string{
		"CI": "true", "CC_CI": "true",
		"CC_CI_RECIPE": r.recipe, "CC_CI_SLUG": r.slug,
		"GITEA_ACTIONS": "true", "GITEA_ACTIONS_RUNNER_VERSION": r.config.Version,
	}
	if r.app != nil {
		env["CC_CI_URL"], env["CC_CI_DOMAIN"], env["CC_CI_STACK"] = r.url, r.domain, r.app.StackName
	}
	if r.job.RuntimeToken != "" {
		instance := instanceURL(r.job)
		env["ACTIONS_RUNTIME_URL"] = instance + "/api/actions_pipeline/"
		env["ACTIONS_RESULTS_URL"] = instance
		env["ACTIONS_RUNTIME_TOKEN"] = r.job.RuntimeToken
	}
	return env
}

// instanceURL is the job's Gitea; Gitea itself puts a slash at the end.
func instanceURL(job Job) string { return strings.TrimSuffix(job.Context["server_url"], "/") }

// folder is one of the job's folders on the host.
func (r *run) folder(name string) string { return filepath.Join(r.dir, name) }

// cloneFolder is the recipe at the job's commit. It bears the recipe's name,
// which abra takes from the folder where .env.sample has no TYPE.
func (r *run) cloneFolder() string { return filepath.Join(r.dir, "clone", r.recipe) }

// workspacePath is GITHUB_WORKSPACE, in the sandbox.
func (r *run) workspacePath() string { return "/workspace/" + r.job.Context["repository"] }
