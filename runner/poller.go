package runner

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
	"github.com/rs/zerolog"
)

// fetcher asks Gitea for a task; see gitea.Client.Fetch.
type fetcher interface {
	Fetch(ctx context.Context, tasksVersion int64) (*runnerv1.Task, int64, error)
}

// poller asks for tasks, one question at a time.
//
// Gitea looks for a task only if the version in the question isn't its latest.
// It answers with the latest even when it gave a task to somebody else in the
// same moment or had none with a fitting label (1.24), so a runner that always
// sends back what it got may never see a job that waits. Hence the version is
// forgotten after each task that came or ended, and now and then.
type poller struct {
	gitea fetcher
	pace  pace
	log   zerolog.Logger
	// hurry cuts the pause before the next question short.
	hurry chan struct{}

	mu        sync.Mutex
	version   int64
	forgotten time.Time
	// era changes whenever the version is forgotten, so that an answer to an
	// earlier question doesn't bring it back.
	era int
}

func newPoller(api fetcher, pace pace, log zerolog.Logger) *poller {
	return &poller{gitea: api, pace: pace, log: log, hurry: make(chan struct{}, 1)}
}

// next returns the next task. It returns none when ctx ends, and an error only
// when Gitea no longer knows the runner. A question under way when ctx ends is
// answered first, and its task returned: nobody else would get it.
func (p *poller) next(ctx context.Context) (*runnerv1.Task, error) {
	failures := 0
	for {
		if !p.pause(ctx, failures) {
			return nil, nil
		}
		task, err := p.ask(context.WithoutCancel(ctx))
		switch {
		case task != nil:
			return task, nil
		case err == nil:
			if failures > 0 {
				p.log.Info().Int("failures", failures).Msg("Gitea answers again")
			}
			failures = 0
			continue
		case gitea.Final(err):
			return nil, err
		}
		if failures == 0 {
			p.log.Warn().Err(err).Msg("Gitea can't be asked for jobs; trying on")
		}
		failures++
	}
}

// pause waits until the next question is due, and reports whether to ask it.
func (p *poller) pause(ctx context.Context, failures int) bool {
	wait := p.pace.poll
	for range min(failures, 10) {
		wait = min(2*wait, p.pace.pollMax)
	}
	// A twentieth either way keeps many runners from asking in step.
	timer := time.NewTimer(wait + time.Duration((rand.Float64()-0.5)/10*float64(wait)))
	defer timer.Stop()
	hurry := p.hurry
	if failures > 0 {
		hurry = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-hurry:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// ask asks once, and keeps what the answer says of the version.
func (p *poller) ask(ctx context.Context) (*runnerv1.Task, error) {
	version, era := p.known()
	task, latest, err := p.gitea.Fetch(ctx, version)
	if err != nil {
		return nil, err
	}
	if task != nil {
		p.forget()
		return task, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if era == p.era {
		p.version = latest
	}
	return nil, nil
}

// known is the version to send.
func (p *poller) known() (version int64, era int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.forgotten) > p.pace.forget {
		p.version, p.forgotten = 0, now
	}
	return p.version, p.era
}

// forget has Gitea look for a task at the next question, and that asked at once.
func (p *poller) forget() {
	p.mu.Lock()
	p.version = 0
	p.era++
	p.mu.Unlock()
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}
