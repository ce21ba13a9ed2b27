package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

func (m *Main) daemon() *cobra.Command {
	var file settingsFlag
	c := &cobra.Command{
		Use:   "daemon",
		Short: "Take jobs from Gitea and run them until told to stop",
		Long: `Runs the jobs that Gitea has for this runner. At the start, what an earlier
daemon left on the engine is removed.

The first SIGTERM or Ctrl-C drains: no new job is taken, and running ones may
end within timeouts.shutdown. The second cancels them; their deployments are
still taken down.`,
		Example: "  cc-ci daemon\n  cc-ci daemon --config ./config.yml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, _, err := file.load()
			if err != nil {
				return err
			}
			log, err := newLog(m.Stderr, settings.Log)
			if err != nil {
				return err
			}
			return m.serve(c.Context(), settings, log)
		},
	}
	file.register(c)
	return c
}

// serve joins the parts of a daemon and runs it.
func (m *Main) serve(ctx context.Context, settings config.Config, log zerolog.Logger) error {
	ctx, force, release := m.stages(ctx, executor.ErrShutdown, func(s os.Signal, count int) {
		if count == 1 {
			log.Info().Stringer("signal", s).Msg("draining: running jobs may end, no new one is taken; once more cancels them")
			return
		}
		log.Warn().Stringer("signal", s).Msg("cancelling running jobs and taking their deployments down")
	})
	defer release()
	identity, err := runner.LoadIdentity(settings.Identity)
	if err != nil {
		return err
	}
	engine, err := swarm.Open(ctx, settings.DockerHost)
	if err != nil {
		return infra(err)
	}
	defer engine.Close()
	if err := engine.Check(ctx, settings.ProxyNetwork); err != nil {
		return infra(err)
	}
	jobs, err := m.daemonExecutor(settings, identity, engine, log)
	if err != nil {
		return err
	}
	d := runner.Daemon{
		IdentityFile:    settings.Identity,
		Capacity:        settings.Capacity,
		Version:         readBuild().Version,
		CAFile:          settings.InstanceCAFile,
		Runner:          jobs,
		Log:             log,
		ShutdownTimeout: settings.Timeouts.Shutdown,
		PollInterval:    settings.Poll.Interval,
		Prepare: func(ctx context.Context, id runner.Identity) error {
			// An engine that has answered and then stalls must not hold the start.
			ctx, stop := context.WithTimeout(ctx, prepareLimit)
			defer stop()
			if err := keepProgram(m.Binary, firstProcess(settings)); err != nil {
				return err
			}
			warnWithoutTraefik(ctx, engine, settings.ProxyNetwork, log)
			return m.reapLogged(ctx, engine, leaseDir(settings), id.UUID, log)
		},
		OnReady: func(id runner.Identity) {
			log.Info().Str("runner", id.Name).Str("instance", id.Address).Strs("labels", id.Labels).
				Int("capacity", settings.Capacity).Msg("ready for jobs")
		},
	}
	stop := reapNowAndThen(ctx, func(ctx context.Context) error {
		return m.reapLogged(ctx, engine, leaseDir(settings), identity.UUID, log)
	}, log)
	defer stop()
	return d.Run(ctx, force)
}

// prepareLimit bounds the clearing up at the start: many times what a few dead
// jobs take.
const prepareLimit = 5 * time.Minute

// reapEvery is how often a running daemon looks for what jobs could not take
// down themselves.
const reapEvery = 5 * time.Minute

// reapNowAndThen calls reap on a ticker in a goroutine, which ends when ctx does
// or stop is called; stop waits for it.
func reapNowAndThen(ctx context.Context, reap func(context.Context) error, log zerolog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(reapEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := reap(ctx); err != nil && ctx.Err() == nil {
				log.Warn().Err(err).Msg("looking for what dead jobs left")
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// warnWithoutTraefik says at the start what every job would say at its route. It
// is no error: Traefik may be started later, or run as something else.
func warnWithoutTraefik(ctx context.Context, engine *swarm.Engine, proxy string, log zerolog.Logger) {
	found, err := engine.HasTraefik(ctx, proxy)
	if err == nil && !found {
		log.Warn().Str("network", proxy).Msg("no Traefik service is on the proxy network: jobs will have no route until one is deployed")
	}
}
