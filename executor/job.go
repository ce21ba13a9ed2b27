package executor

import (
	"context"
	"errors"
	"time"
)

// Job is one job as the executor takes it: what Gitea hands over, without its
// protocol, or what cc-ci run made of a workflow file.
type Job struct {
	// Task is the task's id, "local" for cc-ci run. Unique per runner.
	Task string
	// ID is the job's key in the workflow ("test").
	ID string
	// Workflow is YAML with exactly one job and one matrix combination.
	Workflow []byte
	// Context is the github context (actor, ref, sha, repository, event_name,
	// server_url, run_id, …) as Gitea sends it; values are strings.
	Context map[string]string
	// Event is the event's payload as JSON.
	Event   []byte
	Secrets map[string]string
	Vars    map[string]string
	// Needs are the results and outputs of the jobs this one needs.
	Needs map[string]Need
	// Token is the job's token for the instance's API and clones; "" for none.
	Token string
	// RuntimeToken and ActionsURL serve artifacts; "" for none.
	RuntimeToken string
	// ActionsURL is where uses: without a host is cloned from.
	ActionsURL string
	// Image is the sandbox's as the runner's label for this job has it; "" for the
	// runner's default.
	Image string
	// Dir is the recipe's folder for cc-ci run; "" clones
	// Context["repository"] at Context["sha"].
	Dir string
	// Keep holds the deployment until the job's context ends (cc-ci run --keep).
	Keep bool
}

// Need is a finished job that this one needs.
type Need struct {
	Result  string // success, failure, cancelled, skipped
	Outputs map[string]string
}

// Result is how a step or a job ended, in the words of the Actions page.
type Result string

// The results. Infra is a failure that isn't the recipe's; Gitea shows it as a
// failure, cc-ci run has an exit code for it.
const (
	Success   Result = "success"
	Failure   Result = "failure"
	Cancelled Result = "cancelled"
	Skipped   Result = "skipped"
	Infra     Result = "infra"
)

// Outcome is the end of a job.
type Outcome struct {
	Result  Result
	Outputs map[string]string
	// Err is why it isn't a success; nil for a failing step.
	Err error
}

// Reporter takes a job's log and states. runner sends them to Gitea, cc-ci run
// prints them. Its methods may be called from several goroutines; they never
// block on the network.
type Reporter interface {
	// Row appends one line (no newline in it) to the log. Rows between the first
	// step's start and the last step's end belong to the step last started.
	Row(at time.Time, line string)
	// StepStarted and StepFinished tell a step's state by its index in the job.
	StepStarted(step int, at time.Time)
	StepFinished(step int, at time.Time, result Result)
	// Mask keeps values out of all later rows.
	Mask(values ...string)
	// Flush sends what there is without waiting for the batch; it returns at once.
	Flush()
}

// Causes with which a job's context is cancelled: they decide the outcome and
// the last words in the log. Read them with context.Cause.
var (
	// ErrCancelled: somebody cancelled the job in Gitea, or Ctrl-C.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrShutdown: the runner is being stopped and can't wait any longer.
	ErrShutdown = errors.New("the runner was stopped")
	// ErrTimeout: timeout-minutes of the job, or the runner's own bound.
	ErrTimeout = errors.New("the job ran out of time")
)

// Runner runs jobs: implemented by Executor, used by package runner.
type Runner interface {
	// Run takes a job from announcement to receipt and returns its outcome; it
	// returns only when everything it made is gone or handed to the reaper.
	// Cancelling ctx ends the steps (always() steps still run within a budget),
	// then tears down on a context of its own.
	Run(ctx context.Context, job Job, report Reporter) Outcome
}
