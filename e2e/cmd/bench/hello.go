package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

const (
	helloRepo     = "hello"
	helloWorkflow = "ci.yml"
)

// hello is what cc-ci adds to the example recipe's own time: to that which the
// engine needs until the app is healthy, and to that of the steps.
func (b *bench) hello(ctx context.Context, p plan, r *report) error {
	if err := b.pushHello(ctx); err != nil {
		return err
	}
	added := figure{
		Name: "the example recipe: dispatched → completed, less first create → last healthy, less the steps",
		Unit: seconds, Target: 3.0,
	}
	teardown := figure{Name: "the example recipe: teardown", Unit: seconds, Target: 1.5, Note: "nothing left"}
	for range p.Hello {
		if err := linger(ctx, fetchMax); err != nil {
			return err
		}
		before, err := b.engine.CensusAll(ctx)
		if err != nil {
			return err
		}
		j, err := b.helloJob(ctx)
		if err != nil {
			return err
		}
		after, err := b.engine.CensusAll(ctx)
		if err != nil {
			return err
		}
		if left := after.Without(before); len(left) > 0 {
			teardown.Failed = fmt.Sprintf("left on the engine: %v", left)
		}
		added.add(b.ours.name, (j.whole - j.deploy - j.steps).Seconds())
		teardown.add(b.ours.name, j.teardown.Seconds())
	}
	r.add(added)
	r.add(teardown)
	return nil
}

// pushHello makes a repository of the example recipe whose workflow can be
// dispatched.
func (b *bench) pushHello(ctx context.Context) error {
	recipe := filepath.Join(b.lab.Repo, "examples", "recipes", "hello")
	path := filepath.Join(".gitea", "workflows", helloWorkflow)
	workflow, err := os.ReadFile(filepath.Join(recipe, path))
	if err != nil {
		return err
	}
	dispatched := bytes.Replace(workflow, []byte("\non:\n"), []byte("\non:\n  workflow_dispatch:\n"), 1)
	if bytes.Equal(dispatched, workflow) {
		return fmt.Errorf("%s has no list of events", path)
	}
	// The push starts no job that would be measured with the others.
	dispatched = bytes.Replace(dispatched, []byte("\n  push:\n"), []byte("\n"), 1)
	return b.ours.push(ctx, helloRepo, os.DirFS(recipe), gitea.Files(map[string]string{path: string(dispatched)}))
}

// helloTimes are a job's, each measured by whom it concerns.
type helloTimes struct {
	whole    time.Duration // dispatched → completed, as seen on the page
	deploy   time.Duration // by the engine's events
	steps    time.Duration // by the job's own timeline, to a tenth of a second
	teardown time.Duration // the same
}

func (b *bench) helloJob(ctx context.Context) (helloTimes, error) {
	events := b.listen(ctx)
	s, err := b.ours.watch(ctx, helloRepo, helloWorkflow)
	seen, lost := events.end()
	if err := errors.Join(err, lost); err != nil {
		return helloTimes{}, err
	}
	j := helloTimes{whole: s.completed.Sub(s.dispatched)}
	if j.deploy, err = deployTime(seen, s.slug()); err != nil {
		return j, err
	}
	for name, to := range map[string]*time.Duration{"steps": &j.steps, "teardown": &j.teardown} {
		if *to, err = s.span(name); err != nil {
			return j, err
		}
	}
	return j, nil
}

var addressRow = regexp.MustCompile(`^address +https://([a-z0-9-]+)\.`)

// slug is the first label of the app's address.
func (s *sighting) slug() string {
	for _, row := range s.log {
		if found := addressRow.FindStringSubmatch(row.text); found != nil {
			return found[1]
		}
	}
	return ""
}

// span is what the timeline, the log's last row but one, says of a phase.
func (s *sighting) span(name string) (time.Duration, error) {
	if len(s.log) < 2 {
		return 0, errors.New("the log has no timeline")
	}
	timeline := s.log[len(s.log)-2].text
	for part := range strings.SplitSeq(timeline, " · ") {
		fields := strings.Fields(part)
		if len(fields) < 2 || fields[0] != name {
			continue
		}
		seconds, err := strconv.ParseFloat(fields[1], 64)
		return time.Duration(seconds * float64(time.Second)), err
	}
	return 0, fmt.Errorf("the timeline tells nothing of %s: %s", name, timeline)
}
