package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// The jobs without a deployment: a repository without compose.yml, so that both
// runners do the same.
const (
	lightRepo = "light"
	oneStep   = "one.yml"
	tenSteps  = "ten.yml"
)

// fetchMax is the longest time that the official runner leaves between two
// questions for a job by default; ours leaves less.
const fetchMax = 5 * time.Second

func lightWorkflows(label string) map[string]string {
	workflow := func(steps int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "on: workflow_dispatch\njobs:\n  test:\n    runs-on: %s\n    steps:\n", label)
		for i := range steps {
			fmt.Fprintf(&b, "      - run: echo %s\n", tick(i))
		}
		return b.String()
	}
	return map[string]string{
		".gitea/workflows/" + oneStep:  workflow(1),
		".gitea/workflows/" + tenSteps: workflow(10),
	}
}

func tick(step int) string { return fmt.Sprintf("tick-%d", step) }

// firstRow is how long the page of a job that was just dispatched stays empty.
func (b *bench) firstRow(ctx context.Context, p plan, r *report) error {
	f := figure{
		Name: "dispatched → first row on the run's page", Unit: seconds, Target: 0.7,
	}
	for range p.FirstRow {
		for _, runner := range b.runners() {
			if err := linger(ctx, fetchMax); err != nil {
				return err
			}
			s, err := runner.watch(ctx, lightRepo, oneStep)
			if err != nil {
				return err
			}
			f.add(runner.name, s.firstRow.Sub(s.dispatched).Seconds())
		}
	}
	r.add(f)
	return nil
}

// tenSteps is how long a job of ten one-line steps takes in a container, and
// how much of that each step costs.
func (b *bench) tenSteps(ctx context.Context, p plan, r *report) error {
	job := figure{
		Name: "ten one-line steps in a container, dispatched → completed", Unit: seconds,
		TargetRatio: 0.2,
	}
	step := figure{
		Name: "one such step: from its row to the next one's, with the shell's start", Unit: milliseconds, Target: 30,
	}
	for range p.TenSteps {
		for _, runner := range b.runners() {
			if err := linger(ctx, fetchMax); err != nil {
				return err
			}
			s, err := runner.watch(ctx, lightRepo, tenSteps)
			if err != nil {
				return err
			}
			job.add(runner.name, s.completed.Sub(s.dispatched).Seconds())
			gaps, err := s.gaps()
			if err != nil {
				return err
			}
			step.add(runner.name, gaps...)
		}
	}
	r.add(job)
	r.add(step)
	return nil
}

// gaps are the milliseconds from each step's row to the next step's.
func (s *sighting) gaps() ([]float64, error) {
	var gaps []float64
	var last time.Time
	for _, row := range s.log {
		if row.text != tick(len(gaps)) && (last.IsZero() || row.text != tick(len(gaps)+1)) {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, row.at.Sub(last).Seconds()*1000)
		}
		last = row.at
	}
	if len(gaps) != 9 {
		return nil, fmt.Errorf("the log has %d of the ten steps' rows, in order", len(gaps)+1)
	}
	return gaps, nil
}
