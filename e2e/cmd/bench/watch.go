package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

const (
	// pageInterval is how often a job's page is asked for what is new.
	pageInterval = 15 * time.Millisecond
	// jobLimit is how long a job may take before the measuring is given up.
	jobLimit = 2 * time.Minute
)

// A sighting is one job as somebody saw it who dispatched it and looked at its
// page all the time.
type sighting struct {
	dispatched time.Time // just before Gitea was asked to
	firstRow   time.Time // any line was on the page
	completed  time.Time // the page said that the run is done
	log        []row
}

// A row is a line of the log for download, with the runner's own time.
type row struct {
	at   time.Time
	text string
}

// watch dispatches a workflow and looks at its job until the end. A job that
// doesn't succeed is an error: its times say nothing.
func (r *runner) watch(ctx context.Context, repo, workflow string) (sighting, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, jobLimit, fmt.Errorf("%s did not finish %s within %s", r.name, workflow, jobLimit))
	defer cancel()
	repo = r.org + "/" + repo
	s := sighting{dispatched: time.Now()}
	run, err := r.client.Dispatch(ctx, repo, workflow, "main", nil)
	if err != nil {
		return s, err
	}
	jobs, err := r.client.Jobs(ctx, repo, run)
	if err != nil {
		return s, err
	}
	if len(jobs) != 1 {
		return s, fmt.Errorf("run %d of %s has %d jobs, not one", run, repo, len(jobs))
	}
	if err := s.look(ctx, r.client, jobs[0]); err != nil {
		return s, err
	}
	job, err := r.client.AwaitEnd(ctx, repo, jobs[0].ID, 10*time.Second)
	if err != nil {
		return s, err
	}
	text, err := r.client.Log(ctx, repo, job.ID)
	if err == nil && job.Conclusion != "success" {
		err = fmt.Errorf("%s ended %s with %q:\n%s", r.name, workflow, job.Conclusion, text)
	}
	if err != nil {
		return s, err
	}
	if r.logs != "" {
		name := fmt.Sprintf("%s-%s-%d.log", r.name, strings.TrimSuffix(workflow, ".yml"), job.ID)
		head := fmt.Sprintf("%s dispatched\n%s first row\n%s completed\n",
			s.dispatched.UTC().Format(time.RFC3339Nano), s.firstRow.UTC().Format(time.RFC3339Nano), s.completed.UTC().Format(time.RFC3339Nano))
		if err := os.WriteFile(filepath.Join(r.logs, name), []byte(head+text), 0o600); err != nil {
			return s, err
		}
	}
	s.log, err = rows(text)
	return s, err
}

// look reads the job's page until the run is done.
func (s *sighting) look(ctx context.Context, client *gitea.Client, job gitea.Job) error {
	page, err := client.Visit().Read(job.HTMLURL)
	if err != nil {
		return err
	}
	tick := time.NewTicker(pageInterval)
	defer tick.Stop()
	for {
		seen, err := page.Next(ctx)
		if err != nil {
			return fmt.Errorf("read the page of job %d: %w", job.ID, err)
		}
		for _, lines := range seen.Lines {
			if len(lines) > 0 && s.firstRow.IsZero() {
				s.firstRow = time.Now()
				// From here on it is seconds that count.
				tick.Reset(2 * pageInterval)
			}
		}
		if seen.Done {
			s.completed = time.Now()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// rows reads a log for download.
func rows(text string) ([]row, error) {
	var all []row
	for line := range strings.Lines(text) {
		stamp, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return nil, fmt.Errorf("a log's line: %w", err)
		}
		all = append(all, row{at, rest})
	}
	return all, nil
}

// linger waits for a random time up to the limit, so that jobs come at any
// moment of a runner's rhythm.
func linger(ctx context.Context, limit time.Duration) error {
	return sleep(ctx, rand.N(limit))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
