package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// explain says in the log why the job isn't a success, while everything is
// still there to be looked at.
func (r *run) explain(ctx context.Context, outcome *Outcome) {
	r.log.end()
	if outcome.Result == Success || outcome.Result == Skipped {
		return
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrTimeout) || errors.Is(outcome.Err, ErrTimeout):
		outcome.Err = asFault(r.phase, recipeFault(ErrTimeout,
			"raise timeout-minutes of the job, or see in the timeline below what takes so long",
			"the job ran longer than %s", r.limit))
	case ctx.Err() != nil:
		outcome.Err = cause
		r.log.rowf("::error::%v: everything is taken down", cause)
		return
	}
	if outcome.Err != nil {
		fault := asFault(r.phase, outcome.Err)
		outcome.Err = fault
		r.log.fault(fault)
	}
	r.reportFailure()
}

// reportFailure shows the app's services and the ends of their logs.
func (r *run) reportFailure() {
	if r.deployment == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), r.config.Timeouts.Report)
	defer stop()
	attempts, err := r.deployment.Attempts(ctx)
	if err != nil {
		r.log.rowf("the services' states can't be read: %v", err)
		return
	}
	r.log.group("Services and the ends of their logs")
	r.log.rowf("%s", swarm.Table(attempts))
	r.log.end()
}

// hold keeps the deployment for somebody to look at: as long as CC_CI_KEEP says
// after a failure, until Ctrl-C with cc-ci run --keep. The runner's bound for
// jobs bounds both; timeout-minutes is the steps' affair.
func (r *run) hold(ctx context.Context, result Result) {
	if r.deployment == nil || ctx.Err() != nil {
		return
	}
	limit := r.settings.keep
	deadline, _ := ctx.Deadline()
	left := deadline.Sub(r.now())
	if r.job.Keep {
		limit = left
	} else if result == Success || limit == 0 {
		return
	}
	limit = min(limit, left)
	r.log.rowf("%s stays up for %s, or until the job is cancelled", r.url, limit.Round(time.Second))
	r.log.report.Flush()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// takeDown removes everything of the job on a context of its own, writes the
// timeline and the receipt, and releases the lease if nothing is left.
func (r *run) takeDown(outcome *Outcome) {
	r.log.end()
	if r.lease == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), r.config.Timeouts.Teardown)
	defer stop()
	r.phase = "teardown"
	start := r.now()
	err := r.recovered(func() error { return r.remove(ctx) })
	r.timeline.add("teardown", r.now().Sub(start))
	r.log.rowf("%s", &r.timeline)
	r.log.rowf("%s", r.receipt)
	if err == nil {
		err = r.lease.Release()
	} else if abandoned := r.lease.Abandon(); abandoned != nil {
		err = errors.Join(err, abandoned)
	}
	if err != nil {
		r.logger.Error().Err(err).Msg("a job was not taken down; the reaper will try again")
		fault := asFault("teardown", infraFault(err, "the runner's reaper will try again; `cc-ci reap` does it at once", "%v", err))
		outcome.Result, outcome.Err = Infra, errors.Join(outcome.Err, fault)
		r.log.fault(fault)
	}
	r.log.report.Flush()
}

// remove takes down the stack, the sandbox and the job's folder.
func (r *run) remove(ctx context.Context) error {
	if r.closeRouter != nil {
		_ = r.closeRouter() // removes a socket in the folder that goes next
	}
	if r.config.Router != nil && r.app != nil {
		for _, service := range r.app.Services {
			r.config.Router.Serve(service.Name, nil)
		}
	}
	if r.sandbox != nil && os.Getuid() != 0 {
		// Only the sandbox's root can remove what it made in the job's folder. As
		// root, the teardown below takes the sandbox along, which is faster.
		if err := r.sandbox.Close(ctx); err != nil {
			r.logger.Warn().Err(err).Msg("the sandbox can't be closed in good order")
		}
	}
	receipt, err := r.engine.Teardown(ctx, r.owner)
	r.receipt = receipt
	if err != nil {
		return err
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return fmt.Errorf("removing the job's folder: %w", err)
	}
	return nil
}
