package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/router"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// The parts fit together as they are declared apart.
var (
	_ local.Engine    = (*swarm.Engine)(nil)
	_ router.Resolver = (*swarm.Engine)(nil)
)

// leaseDir is where a daemon's leases are.
func leaseDir(settings config.Config) string { return filepath.Join(settings.StateDir, "leases") }

// executorConfig is what the settings say to an executor, for a daemon and for
// a local run alike.
func (m *Main) executorConfig(s config.Config) executor.Config {
	return executor.Config{
		Version:        readBuild().Version,
		Binary:         m.Binary,
		BaseDomain:     s.BaseDomain,
		HTTPSPort:      s.HTTPSPort,
		ProxyNetwork:   s.ProxyNetwork,
		EndpointMode:   s.EndpointMode,
		CAFile:         s.CAFile,
		InstanceCAFile: s.InstanceCAFile,
		Certificate:    s.Certificate,
		JobImage:       s.JobImage,
		Memory:         int64(s.Sandbox.Memory),
		CPUs:           s.Sandbox.CPUs,
		PIDs:           int64(s.Sandbox.PIDs),
		Timeouts: executor.Timeouts{
			Checkout:  s.Timeouts.Checkout,
			Preflight: s.Timeouts.Preflight,
			Pull:      s.Timeouts.Pull,
			Converge:  s.Timeouts.Converge,
			Route:     s.Timeouts.Route,
			Job:       s.Timeouts.Job,
			Report:    s.Timeouts.Report,
			Teardown:  s.Timeouts.Teardown,
		},
	}
}

// daemonExecutor is the executor of a registered runner's jobs.
func (m *Main) daemonExecutor(s config.Config, id runner.Identity, engine *swarm.Engine, log zerolog.Logger) (*executor.Executor, error) {
	c := m.executorConfig(s)
	c.Runner, c.RunnerName = id.UUID, id.Name
	c.LeaseDir, c.WorkDir = leaseDir(s), s.WorkDir
	c.ActionCache = filepath.Join(s.StateDir, "actions")
	c.Binary = firstProcess(s)
	for _, folder := range []string{c.LeaseDir, c.WorkDir, c.ActionCache} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("making a folder for jobs: %w", err)
		}
	}
	return executor.New(c, engine, log), nil
}

// localExecutor is the executor of a job of this machine. Stand-in is nil where
// Traefik serves.
func (m *Main) localExecutor(s config.Config, place local.Place, standIn *router.Router, engine *swarm.Engine, log zerolog.Logger) *executor.Executor {
	c := m.executorConfig(s)
	c.Runner, c.RunnerName = place.Runner, "cc-ci run"
	c.LeaseDir, c.WorkDir, c.ActionCache = place.Leases, place.Work, place.Actions
	if standIn != nil {
		c.Router, c.BaseDomain, c.HTTPSPort = standIn, router.Domain, standIn.Port()
		c.CAFile, c.Certificate = "", ""
	}
	return executor.New(c, engine, log)
}

// clear empties the work folders of dead jobs of what root made in them.
func (m *Main) clear(engine *swarm.Engine) func(context.Context, swarm.Owner, string) error {
	return func(ctx context.Context, o swarm.Owner, folder string) error {
		return sandbox.Clear(ctx, engine, o, m.Binary, folder)
	}
}

// reapLogged removes what dead jobs of a runner left, and logs each.
func (m *Main) reapLogged(ctx context.Context, engine *swarm.Engine, dir, id string, log zerolog.Logger) error {
	reaped, err := swarm.Reap(ctx, engine, dir, id, swarm.ReapOptions{Clear: m.clear(engine)})
	if err != nil {
		return infra(err)
	}
	for _, one := range reaped {
		event := log.Info()
		if !one.Removed {
			event = log.Warn().Err(one.Err)
		}
		event.Str("slug", one.Slug).Msg("a dead job: " + one.String())
	}
	return nil
}
