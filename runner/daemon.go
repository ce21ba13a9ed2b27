package runner

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/report"
	"github.com/rs/zerolog"
)

// pace are the times a daemon keeps; tests have their own.
type pace struct {
	// poll is the pause between two questions for a task; after errors it doubles
	// up to pollMax.
	poll, pollMax time.Duration
	// forget is how often Gitea is made to look for a task although it says that
	// there is nothing new.
	forget time.Duration
	// shutdown is how long a drain waits for running jobs.
	shutdown time.Duration
	// start is how long Gitea may be away at the start, startRetry the pause
	// between two tries.
	start, startRetry time.Duration
	// closing is how long the last rows and the result of a job are tried when
	// Gitea is away, closingForced the same once the daemon must end. Gitea itself
	// gives a silent job up after ten minutes.
	closing, closingForced time.Duration
	report                 report.Pace
}

var defaultPace = pace{
	poll:          850 * time.Millisecond,
	pollMax:       30 * time.Second,
	forget:        20 * time.Second,
	shutdown:      time.Hour,
	start:         time.Minute,
	startRetry:    2 * time.Second,
	closing:       15 * time.Minute,
	closingForced: 20 * time.Second,
	report:        report.DefaultPace,
}

// Daemon takes tasks from Gitea and runs them until it is told to stop. The
// fields are read when Run begins and must not change after.
type Daemon struct {
	// IdentityFile is where cc-ci register put the runner's identity.
	IdentityFile string
	// Labels replace those of the identity; empty keeps them.
	Labels Labels
	// Capacity is how many jobs run at once; 0 means one.
	Capacity int
	Version  string
	// CAFile holds certificates to trust for Gitea besides the system's.
	CAFile string
	// Runner runs the jobs. It must return from each after its context ended.
	Runner executor.Runner
	Log    zerolog.Logger

	// ShutdownTimeout is how long a drain waits for running jobs before it
	// cancels them; 0 means an hour.
	ShutdownTimeout time.Duration
	// PollInterval is the pause between two questions for a task; 0 means 850 ms,
	// with which an idle daemon asks less than 1.2 times a second.
	PollInterval time.Duration
	// StartTimeout is how long Gitea may be away at the start before Run gives
	// up; 0 means a minute.
	StartTimeout time.Duration

	// Prepare, if not nil, is called once no other daemon can use the identity
	// and before Gitea hears of this one: the place to remove what an earlier
	// life left. Its error ends Run.
	Prepare func(ctx context.Context, id Identity) error
	// OnReady, if not nil, is called when Gitea knows the runner and its labels.
	OnReady func(id Identity)
	// OnIdle is called when the daemon begins to wait for jobs and after the last
	// running one has ended; nil gives memory that only jobs need back to the
	// system.
	OnIdle func()

	// pace replaces defaultPace in tests.
	pace *pace
}

// Run takes tasks until ctx ends, which drains: no new job is taken, running
// ones may end within ShutdownTimeout. When force ends, or that time is over,
// running jobs are cancelled with executor.ErrShutdown; Run still waits until
// each has cleaned up and its end was reported.
//
// It returns nil after a drain. Other errors wrap ErrNoIdentity,
// ErrIdentityInUse, ErrUnregistered, ErrUnreachable, ErrNotGitea or
// ErrCertificate where one of these is the reason.
func (d *Daemon) Run(ctx, force context.Context) error {
	lock, err := LockIdentity(d.IdentityFile)
	if err != nil {
		return err
	}
	defer lock.Release()
	s, err := d.open()
	if err != nil {
		return err
	}
	defer s.client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(force, cancel)()
	if d.Prepare != nil {
		if err := d.Prepare(ctx, s.identity); err != nil {
			return fmt.Errorf("clearing up what an earlier run left: %w", err)
		}
	}
	if err := s.declare(ctx); err != nil {
		return err
	}
	if ctx.Err() == nil && d.OnReady != nil {
		d.OnReady(s.identity)
	}
	s.onIdle()
	return s.serve(ctx, force)
}

// open reads the identity and makes what a run needs of the fields.
func (d *Daemon) open() (*session, error) {
	identity, err := LoadIdentity(d.IdentityFile)
	if err != nil {
		return nil, err
	}
	labels := d.Labels
	if len(labels) == 0 {
		if labels, err = ParseLabels(identity.Labels...); err != nil {
			return nil, fmt.Errorf("%s: %w", d.IdentityFile, err)
		}
	}
	client, err := gitea.New(gitea.Options{
		Address: identity.Address, CAFile: d.CAFile, Version: d.Version,
		UUID: identity.UUID, Token: identity.Token,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.IdentityFile, err)
	}
	onIdle := d.OnIdle
	if onIdle == nil {
		onIdle = rest
	}
	pace := d.times()
	return &session{
		identity: identity,
		labels:   labels,
		version:  d.Version,
		client:   client,
		runner:   d.Runner,
		log:      d.Log,
		pace:     pace,
		onIdle:   onIdle,
		poller:   newPoller(client, pace, d.Log),
		slots:    make(chan struct{}, max(1, d.Capacity)),
		tasks:    make(map[int64]struct{}),
	}, nil
}

// times are the daemon's, with the defaults for those not set.
func (d *Daemon) times() pace {
	times := defaultPace
	if d.pace != nil {
		times = *d.pace
	}
	times.poll = cmp.Or(d.PollInterval, times.poll)
	times.shutdown = cmp.Or(d.ShutdownTimeout, times.shutdown)
	times.start = cmp.Or(d.StartTimeout, times.start)
	return times
}
