package executor

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/router"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// Config is what an Executor needs to know of its host. Fields are required
// unless they say otherwise.
type Config struct {
	// Runner is the id that goes onto every object's labels; RunnerName and
	// Version are for the announcement.
	Runner     string
	RunnerName string
	Version    string

	// LeaseDir outlives a restart; WorkDir holds a folder per running job, which
	// the engine must see under the same path.
	LeaseDir string
	WorkDir  string
	// ActionCache keeps cloned actions between jobs.
	ActionCache string
	// Binary is the static cc-ci that becomes the sandbox's first process; "" is
	// the program that runs.
	Binary string

	// BaseDomain is what jobs' names are below; HTTPSPort is Traefik's, on this
	// host.
	BaseDomain string
	HTTPSPort  int
	// ProxyNetwork is the network Traefik serves.
	ProxyNetwork string
	// EndpointMode is auto, vip or dnsrr: see swarm.Engine.EndpointMode.
	EndpointMode string
	// CAFile and Certificate (PEM files, may be empty) are what Traefik's answers
	// are checked against; sandboxes trust CAFile.
	CAFile      string
	Certificate string
	// InstanceCAFile (PEM, may be empty) is the authority behind Gitea's
	// certificate, for clones.
	InstanceCAFile string
	// JobImage is the sandbox's image where the job names none.
	JobImage string
	// Memory (bytes), CPUs and PIDs bound a sandbox; 0 is no bound.
	Memory int64
	CPUs   float64
	PIDs   int64

	Timeouts Timeouts
	// Router stands in for Traefik in cc-ci run; nil where Traefik serves.
	Router *router.Router
}

// Timeouts bound the phases of a job; all are positive. Job bounds the whole
// but for its teardown.
type Timeouts struct {
	Checkout, Preflight, Pull, Converge, Route, Job, Report, Teardown time.Duration
}

// Executor runs jobs, several at once if it is asked to.
type Executor struct {
	config Config
	engine *swarm.Engine
	log    zerolog.Logger
	now    func() time.Time
}

var _ Runner = (*Executor)(nil)

// New returns an Executor for an engine that has passed its Check.
func New(config Config, engine *swarm.Engine, log zerolog.Logger) *Executor {
	return &Executor{config: config, engine: engine, log: log, now: time.Now}
}

// Run implements Runner.
func (e *Executor) Run(ctx context.Context, job Job, report Reporter) Outcome {
	r := e.newRun(job, report)
	ctx, stop := context.WithTimeoutCause(ctx, r.limit, ErrTimeout)
	defer stop()

	err := r.recovered(func() error { return r.work(ctx) })
	outcome := Outcome{Result: r.result(ctx, err), Outputs: r.outputs, Err: err}
	_ = r.recovered(func() error { r.explain(ctx, &outcome); r.hold(ctx, outcome.Result); return nil })
	r.takeDown(&outcome)
	return outcome
}
