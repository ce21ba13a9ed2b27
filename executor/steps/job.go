package steps

import (
	"context"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// Place is where steps run: the sandbox, seen from here. Paths are the
// container's.
type Place interface {
	// Exec runs argv with exactly env and dir, streaming both outputs to the
	// writers as they come. The error is nil, an *ExitError, or why it could not run.
	// Cancelling ctx kills the step's whole process group.
	Exec(ctx context.Context, cmd Command) error
	// HostPath maps a container path to the bind-mounted file on this host, ok
	// false when it isn't in a bind mount.
	HostPath(container string) (host string, ok bool)
	// DefaultPath is the image's PATH.
	DefaultPath() string
}

// Command is one process to run in the sandbox.
type Command = process.Command

// ExitError is a command that ran and did not succeed.
type ExitError = process.ExitError

// StartError is a command that never ran: with Code 127 its program isn't in
// the place.
type StartError = process.StartError

// ImageEnv is what a Place can do besides: tell the variables that its image
// sets (PATH, HOME, LANG …). They are the lowest layer of every step's environment.
type ImageEnv interface {
	Environ() map[string]string
}

// Job is what the steps need to know.
type Job struct {
	Name        string // unique: container names and temp folders hang on it
	ID          string
	Workflow    []byte
	Context     map[string]string
	Event       []byte
	Env         map[string]string // CC_CI_*, ACTIONS_*, CI …: set for every step
	Secrets     map[string]string
	Vars        map[string]string
	Needs       map[string]Need
	Token       string
	ActionsURL  string
	InstanceURL string // own instance, without trailing slash
	// InstanceCAFile (PEM, of the host) is the authority behind the instance's
	// certificate; "" is the system's.
	InstanceCAFile string
	ActionCache    string // host folder for cloned actions, shared between jobs
	Scratch        string // host folder of this job, bind-mounted as /var/run/act
	Workspace      string // container path of the workspace
	// CheckoutArgv serves actions/checkout of the own repository; empty: the real
	// action runs.
	CheckoutArgv []string
	// ActPath is where Scratch is in the container; empty: /var/run/act.
	ActPath string
	// Matrix is the combination to run; nil: the workflow's first.
	Matrix map[string]any
	// CancelBudget is how long always() and cancelled() steps and post steps may
	// take after the context was cancelled; 0: five minutes.
	CancelBudget time.Duration
}

// Need is a finished job that this one needs.
type Need struct {
	Result  string
	Outputs map[string]string
}

// Sink takes what act reports. Setup and post output comes as Row too.
type Sink interface {
	Row(at time.Time, line string)
	StepStarted(step int, at time.Time)
	StepFinished(step int, at time.Time, result string) // success, failure, skipped, cancelled
	Mask(values ...string)
}
