package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

func (m *Main) reap() *cobra.Command {
	var file settingsFlag
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "reap",
		Short: "Remove what dead jobs have left on the engine",
		Long: `Removes what jobs left behind whose program was killed: Docker objects, work
folders and leases, of this user's "cc-ci run" and, where the user may read its
identity, of this host's runner. Jobs that live, and everything of other
runners, stay untouched, so it may be called at any time. The daemon does the
same when it starts, and every few minutes.`,
		Example: "  cc-ci reap --dry-run\n  cc-ci reap --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, _, err := file.load()
			if err != nil {
				return err
			}
			return m.reapAll(c.Context(), settings, file.path, dryRun, asJSON)
		},
	}
	file.register(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object per dead job")
	return c
}

// owner is a runner id with the folder of its leases.
type owner struct{ id, leases string }

// owners are the runner ids whose dead jobs are this user's to remove. On a
// daemon's host that is an ordinary user's own only.
func (m *Main) owners(settings config.Config, place local.Place) ([]owner, error) {
	list := []owner{{place.Runner, place.Leases}}
	identity, err := runner.LoadIdentity(settings.Identity)
	if errors.Is(err, runner.ErrNoIdentity) {
		return list, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		m.say("Only what your own \"cc-ci run\" left is looked for: the identity of this host's runner is another user's (" + settings.Identity + ").")
		return list, nil
	}
	if err != nil {
		return nil, err
	}
	return append(list, owner{identity.UUID, leaseDir(settings)}), nil
}

func (m *Main) reapAll(ctx context.Context, settings config.Config, named string, dryRun, asJSON bool) error {
	place, err := local.FindPlace()
	if err != nil {
		return infra(err)
	}
	list, err := m.owners(settings, place)
	if err != nil {
		return err
	}
	engine, err := swarm.Open(ctx, engineAddress(settings, named))
	if err != nil {
		return infra(err)
	}
	defer engine.Close()
	var all []swarm.Reaped
	for _, o := range list {
		reaped, err := swarm.Reap(ctx, engine, o.leases, o.id, swarm.ReapOptions{DryRun: dryRun, Clear: m.clear(engine)})
		if err != nil {
			return infra(err)
		}
		all = append(all, reaped...)
	}
	failed, err := m.printReaped(all, asJSON)
	if err != nil {
		return err
	}
	if !dryRun {
		if err := place.Tidy(ctx, engine, settings.ProxyNetwork, m.say); err != nil {
			return infra(err)
		}
	}
	if failed {
		return silent(ExitInfra)
	}
	return nil
}

// reapedJob is one dead job as --json prints it.
type reapedJob struct {
	Slug    string   `json:"slug"`
	Stack   string   `json:"stack,omitempty"`
	Found   []string `json:"found"`
	WorkDir string   `json:"work_dir,omitempty"`
	Lease   string   `json:"lease,omitempty"`
	Removed bool     `json:"removed"`
	Error   string   `json:"error,omitempty"`
}

func (m *Main) printReaped(all []swarm.Reaped, asJSON bool) (failed bool, err error) {
	for _, one := range all {
		failed = failed || one.Err != nil
		if asJSON {
			err = json.NewEncoder(m.Stdout).Encode(newReapedJob(one))
		} else {
			_, err = fmt.Fprintln(m.Stdout, one)
		}
		if err != nil {
			return failed, fmt.Errorf("printing what was found: %w", err)
		}
	}
	if len(all) == 0 && !asJSON {
		_, err = fmt.Fprintln(m.Stdout, "No dead job has left anything.")
	}
	return failed, err
}

func newReapedJob(r swarm.Reaped) reapedJob {
	j := reapedJob{Slug: r.Slug, Stack: r.Stack, Found: []string{}, WorkDir: r.WorkDir, Lease: r.Lease, Removed: r.Removed}
	for _, o := range r.Found {
		j.Found = append(j.Found, o.String())
	}
	if r.Err != nil {
		j.Error = r.Err.Error()
	}
	return j
}
