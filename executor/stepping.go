package executor

import (
	"context"
	"maps"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
)

// runSteps runs the workflow's steps in the sandbox.
func (r *run) runSteps(ctx context.Context) error {
	r.log.end()
	r.phase = "steps"
	start := r.now()
	result, outputs, err := steps.Run(ctx, r.stepsJob(), place{r.sandbox}, sink{r.log.report})
	r.timeline.add("steps", r.now().Sub(start))
	r.outputs, r.stepsResult = outputs, Result(result)
	if err != nil && ctx.Err() == nil {
		return asFault("steps", err)
	}
	return context.Cause(ctx)
}

// place is the sandbox as package steps sees it.
type place struct{ *sandbox.Sandbox }

var (
	_ steps.Place    = place{}
	_ steps.ImageEnv = place{}
)

// Environ is the image's environment with the sandbox's own on top.
func (p place) Environ() map[string]string {
	env := maps.Clone(p.ImageEnv())
	maps.Copy(env, p.Env())
	return env
}

// sink passes what the steps say on to the job's reporter.
type sink struct{ report Reporter }

var _ steps.Sink = sink{}

func (s sink) Row(at time.Time, line string)      { s.report.Row(at, line) }
func (s sink) StepStarted(step int, at time.Time) { s.report.StepStarted(step, at) }
func (s sink) Mask(values ...string)              { s.report.Mask(values...) }
func (s sink) StepFinished(step int, at time.Time, result string) {
	s.report.StepFinished(step, at, Result(result))
}
