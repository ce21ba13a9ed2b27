package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
	"github.com/rs/zerolog"
)

// Defaults of a Daemon's durations, and bounds that aren't settings.
const (
	defaultPollInterval    = 850 * time.Millisecond
	defaultShutdownTimeout = time.Hour
	defaultStartTimeout    = time.Minute
	// closeTimeout is how long the last rows and the result of a job are tried
	// when Gitea is away. Gitea itself gives a silent job up after ten minutes.
	closeTimeout = 15 * time.Minute
	// forcedCloseTimeout is closeTimeout once the daemon was told to end at once.
	forcedCloseTimeout = 20 * time.Second
)

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
	// OnIdle is called after the last running job has ended; nil gives the memory
	// it needed back to the system.
	OnIdle func()

	// pace is for tests.
	pace pace
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
	if d.Prepare != nil {
		if err := d.Prepare(ctx, s.identity); err != nil {
			return fmt.Errorf("clearing up what an earlier run left: %w", err)
		}
	}
	if err := s.declare(ctx, force); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if d.OnReady != nil {
		d.OnReady(s.identity)
	}
	return s.serve(ctx, force)
}

var errTODO = errors.New("x")
var _ sync.Mutex
var _ = gitea.Final
var _ = debug.FreeOSMemory
var _ executor.Runner
