package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// A bench is the two runners, side by side on the lab.
type bench struct {
	lab      *lab.Lab
	engine   *swarm.Engine
	progress *supply.Progress
	logs     string
	dir      string // of both runners; short, since sockets are made below it

	ours, official *runner
}

// newBench starts both runners. Their jobs' logs are written to the folder logs
// unless it is empty.
func newBench(ctx context.Context, l *lab.Lab, logs string) (_ *bench, err error) {
	b := &bench{lab: l, logs: logs, progress: supply.NewProgress(os.Stderr)}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	if b.engine, err = swarm.Open(ctx, l.DockerHost); err != nil {
		return nil, err
	}
	if b.ours, err = b.furnish(ctx, "cc-ci", startOurs); err != nil {
		return nil, err
	}
	if b.official, err = b.furnish(ctx, "official", startOfficial); err != nil {
		return nil, err
	}
	return b, nil
}

// furnish makes a runner's organisation and repositories, and starts it.
func (b *bench) furnish(ctx context.Context, name string, start startFunc) (*runner, error) {
	admin, err := b.lab.Gitea()
	if err != nil {
		return nil, err
	}
	// A lab that stays up may be measured more than once.
	org := fmt.Sprintf("bench-%s-%x", name, time.Now().UnixNano()&0xffffff)
	user, err := admin.CreateUser(ctx, "user-"+org)
	if err != nil {
		return nil, err
	}
	if err := admin.CreateOrg(ctx, org, user.Name); err != nil {
		return nil, err
	}
	r := &runner{name: name, label: name, org: org, logs: b.logs}
	if r.client, err = admin.As(ctx, user); err != nil {
		return nil, err
	}
	if err := r.push(ctx, lightRepo, gitea.Files(lightWorkflows(r.label))); err != nil {
		return nil, err
	}
	token, err := admin.RegistrationToken(ctx, org)
	if err != nil {
		return nil, err
	}
	if r.gate, err = openGate(b.lab.Facts.Gitea.URL, b.lab.Facts.Address); err != nil {
		return nil, err
	}
	if err := start(ctx, b, r, token); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), r.gate.Close())
	}
	return r, nil
}

// measure takes all figures. Memory comes first, since it is to be that of a
// runner that has run one job.
func (b *bench) measure(ctx context.Context, p plan) (*report, error) {
	r := &report{Machine: describe(ctx, b), Official: b.officialVersion(), Command: command(p), LoadBefore: load()}
	first := func() error {
		for _, runner := range b.runners() {
			if _, err := runner.watch(ctx, lightRepo, tenSteps); err != nil {
				return err
			}
		}
		return nil
	}
	if err := b.progress.Do("one job each, before anything is measured", first); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		take func(context.Context, plan, *report) error
	}{
		{"both runners idle for " + p.Idle.String(), b.idle},
		{fmt.Sprintf("first row on the page, %d jobs each", p.FirstRow), b.firstRow},
		{fmt.Sprintf("ten steps in a container, %d jobs each", p.TenSteps), b.tenSteps},
		{fmt.Sprintf("the example recipe, %d jobs", p.Hello), b.hello},
	} {
		if err := b.progress.Do(part.name, func() error { return part.take(ctx, p, r) }); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.LoadAfter = load()
	return r, nil
}

func (b *bench) runners() []*runner { return []*runner{b.ours, b.official} }

// explain is the runners' own logs, as an error that explains one of theirs.
func (b *bench) explain() error {
	var errs []error
	for _, r := range b.runners() {
		errs = append(errs, fmt.Errorf("the log of %s ends:\n%s", r.name, r.tail()))
	}
	return errors.Join(errs...)
}

func (b *bench) close() {
	for _, r := range b.runners() {
		if r != nil {
			r.stop()
		}
	}
	if b.engine != nil {
		_ = b.engine.Close()
	}
	_ = os.RemoveAll(b.dir)
}
