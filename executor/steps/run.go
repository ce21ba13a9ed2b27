package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nektos/act/pkg/common"
	"github.com/nektos/act/pkg/exprparser"
	"github.com/nektos/act/pkg/runner"
)

const defaultCancelBudget = 5 * time.Minute

// Run runs a job's steps in the place and reports them to the sink. The result
// is success, failure, skipped (the job's if:) or cancelled (ctx ended; the step
// that ran was killed, always() and post steps had Job.CancelBudget). The error
// is set when the workflow could not be run at all or the place itself failed,
// not when a step fails.
func Run(ctx context.Context, job Job, place Place, sink Sink) (result string, outputs map[string]string, err error) {
	j, err := prepare(ctx, job, place, sink)
	if err != nil {
		return "failure", nil, err
	}
	defer j.record.end()
	forced, force := context.WithCancelCause(context.WithoutCancel(ctx))
	defer force(nil)
	j.env.cancelled, j.env.forced = ctx, forced
	stop := context.AfterFunc(ctx, func() {
		budget := time.NewTimer(cmp.Or(job.CancelBudget, defaultCancelBudget))
		defer budget.Stop()
		select {
		case <-budget.C:
			force(errBudget)
		case <-forced.Done():
		}
	})
	defer stop()
	err = guard(func() error { return j.run(ctx, forced) })
	return j.conclude(ctx, err)
}

// errBudget ends what still runs after a cancelled job's budget.
var errBudget = errors.New("the job was cancelled, and its last steps took too long")

// run is a job on its way through act.
type run struct {
	job    Job
	rc     *runner.RunContext
	env    *environment
	record *recorder
	// timeouts are the steps' timeout-minutes, expressions not evaluated.
	timeouts []string
}

// prepare reads the workflow and builds all that act needs.
func prepare(ctx context.Context, job Job, place Place, sink Sink) (*run, error) {
	doc, err := readDocument(job.Workflow)
	if err != nil {
		return nil, err
	}
	info, ok := describeJob(doc, job.ID)
	if !ok {
		return nil, fmt.Errorf("the workflow has no job %q", job.ID)
	}
	model := doc.workflow.Jobs[job.ID]
	actions := &actions{job: job, cancelled: ctx, hosts: map[string]host{}}
	names := actions.prepareSteps(model.Steps)
	rc := newRunContext(job, doc, info)
	rc.Config.ActionCache = actions
	record := &recorder{sink: sink, steps: model.Steps, names: names, ids: map[string]int{}, step: -1}
	for i, step := range model.Steps {
		step.ID = cmp.Or(step.ID, strconv.Itoa(i))
		record.ids[step.ID] = i
	}
	env := newEnvironment(job, place, record)
	env.actions = actions
	j := &run{job: job, rc: rc, env: env, record: record}
	record.ask = j
	j.takeTimeouts()
	return j, nil
}

// takeTimeouts takes timeout-minutes away from act, which knows whole minutes
// only and doesn't say that it stopped a step.
func (j *run) takeTimeouts() {
	j.timeouts = make([]string, len(j.record.steps))
	for i, step := range j.record.steps {
		j.timeouts[i], step.TimeoutMinutes = step.TimeoutMinutes, ""
	}
}

// limit implements questions.
func (j *run) limit(step int) time.Duration {
	if j.timeouts[step] == "" {
		return 0
	}
	minutes, err := strconv.ParseFloat(strings.TrimSpace(j.interpolate(j.timeouts[step])), 64)
	if err != nil || minutes <= 0 {
		return 0
	}
	return time.Duration(minutes * float64(time.Minute))
}

// outlives implements questions.
func (j *run) outlives(step int) bool {
	return outlives(j.record.steps[step].If.Value, func(condition string) (bool, error) {
		quiet, _ := collectErrors(context.Background())
		return runner.EvalBool(quiet, j.rc.NewExpressionEvaluator(quiet), condition, exprparser.DefaultStatusCheckNone)
	})
}

// inputs implements questions.
func (j *run) inputs(step int) []string {
	var lines []string
	for name, value := range j.record.steps[step].With {
		value = strings.TrimSpace(j.interpolate(value))
		lines = append(lines, name+": "+strings.ReplaceAll(value, "\n", "\n  "))
	}
	slices.Sort(lines)
	return lines
}

// interpolate evaluates a string with what is known in the job, a step's own
// env: apart. What can't be evaluated is empty; act complains when it gets there.
func (j *run) interpolate(text string) string {
	quiet, _ := collectErrors(context.Background())
	return restore(j.rc.NewExpressionEvaluator(quiet).Interpolate(quiet, text))
}

// run drives act. cancel ends steps gracefully, forced all at once.
func (j *run) run(cancel, forced context.Context) error {
	var failed error
	ctx := context.Context(&swapContext{Context: forced, cancel: cancel, swap: func() {
		if j.rc.JobContainer != nil && j.rc.JobContainer != j.env {
			swapEnvironment(j.rc, j.env)
			failed = j.writeEvent()
		}
	}})
	ctx = runner.WithJobLoggerFactory(ctx, loggers{hook: j.record})
	ctx = runner.WithJobLogger(ctx, j.job.ID, j.rc.String(), j.rc.Config, &j.rc.Masks, j.rc.Matrix)
	ctx = common.WithJobErrorContainer(ctx)
	j.rc.ExprEval = j.rc.NewExpressionEvaluator(ctx)
	execute, err := j.rc.Executor()
	if err != nil {
		return err
	}
	err = execute(ctx)
	return errors.Join(failed, err)
}

func (j *run) writeEvent() error {
	event := cmp.Or(string(j.job.Event), "{}")
	return j.env.act.write(path.Join("workflow", "event.json"), fs.FileMode(0o644), strings.NewReader(event))
}

// conclude makes a result of what act left. Its error only repeats what the
// log has, unless it stumbled.
func (j *run) conclude(ctx context.Context, err error) (string, map[string]string, error) {
	outputs := map[string]string{}
	for name, value := range j.rc.Run.Job().Outputs {
		outputs[name] = restore(value)
	}
	result := cmp.Or(j.rc.Run.Job().Result, "failure")
	if errors.Is(err, errPanic) {
		j.record.row(time.Now(), "::error::The workflow can't be run: "+firstLine(err.Error()))
		result = "failure"
	}
	switch {
	case ctx.Err() != nil:
		result = "cancelled"
	case j.env.broken != nil:
		return "failure", outputs, fmt.Errorf("running a step: %w", j.env.broken)
	case result == "skipped":
		return result, nil, nil
	}
	return result, outputs, nil
}
