package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/router"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// giveBackTimeout bounds undoing what was set up on the engine.
const giveBackTimeout = time.Minute

// runFlags are the flags of cc-ci run.
type runFlags struct {
	settingsFlag
	local.Options
	jobImage, secretFile string
	port                 int
}

func (m *Main) run() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Run the job of the recipe in DIR on this machine",
		Long: `Deploys the recipe in DIR, with its uncommitted changes, runs the steps of its
workflow against it, prints the log and takes all down again, as the runner of
a Gitea instance would.

It needs a Docker engine and nothing else: DOCKER_HOST, or the one on this
machine. Swarm mode and the proxy network are set up if they are missing, and
undone at the end. Without a configured Traefik, a router inside cc-ci serves
https://<slug>.` + router.Domain + `:<port>, for as long as the job runs.

Ctrl-C cancels the job and takes all down; a second one leaves at once, and
"cc-ci reap" or the next run removes what is left.`,
		Example: `  cc-ci run .
  cc-ci run . --job test --env CC_CI_HEALTH_PATH=/health
  cc-ci run . --keep          # look at the app until Ctrl-C
  cc-ci run . --secret-file secrets.env`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return m.runJob(c.Context(), args[0], flags) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	flags.register(c)
	f := c.Flags()
	f.StringVar(&flags.Workflow, "workflow", "", "workflow file (default ci.yml, or the only one)")
	f.StringVar(&flags.Job, "job", "", "job of the workflow (default the only one, or the only one for cc-ci)")
	f.BoolVar(&flags.Keep, "keep", false, "when the steps have ended, hold the deployment until Ctrl-C")
	f.StringArrayVar(&flags.Env, "env", nil, "variable of the job, KEY=value, or KEY to pass on its value here")
	f.StringVar(&flags.secretFile, "secret-file", "", "file of KEY=value lines for the secrets context")
	f.IntVar(&flags.port, "port", 0, "port of 127.0.0.1 that the router serves the app on (default a free one)")
	f.StringVar(&flags.jobImage, "job-image", "", "image that steps run in (default from the configuration)")
	complete(c, &flags)
	return c
}

// complete offers the workflows and jobs of the recipe on the command line.
func complete(c *cobra.Command, flags *runFlags) {
	offer := func(list func(dir string) []string) cobra.CompletionFunc {
		return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return list(dir), cobra.ShellCompDirectiveNoFileComp
		}
	}
	// These fail only for flags that aren't there.
	_ = c.RegisterFlagCompletionFunc("workflow", offer(local.Workflows))
	_ = c.RegisterFlagCompletionFunc("job", offer(func(dir string) []string { return local.Jobs(dir, flags.Workflow) }))
}

// runJob runs one job from a folder to an exit code.
func (m *Main) runJob(ctx context.Context, dir string, flags runFlags) error {
	settings, path, err := flags.load()
	if err != nil {
		return err
	}
	if flags.secretFile != "" {
		if flags.Secrets, err = godotenv.Read(flags.secretFile); err != nil {
			return usage(fmt.Errorf("--secret-file: %w", err))
		}
	}
	plan, err := local.NewPlan(ctx, dir, flags.Options)
	if err != nil {
		return err
	}
	plan.Job.Image = flags.jobImage
	ctx, force, release := m.stages(ctx, executor.ErrCancelled, func(_ os.Signal, count int) {
		if count == 1 {
			m.say("Cancelling and taking everything down. Once more leaves at once.")
		}
	})
	defer release()
	ended := make(chan error, 1)
	go func() { ended <- m.onEngine(ctx, settings, path != "", flags, plan) }()
	select {
	case err := <-ended:
		return err
	case <-force.Done():
		m.say("Leaving at once. \"cc-ci reap\" removes what is left.")
		return silent(ExitCancelled)
	}
}

// onEngine runs the plan on an engine that is made ready for it.
func (m *Main) onEngine(ctx context.Context, settings config.Config, configured bool, flags runFlags, plan local.Plan) (err error) {
	place, err := local.FindPlace()
	if err != nil {
		return infra(err)
	}
	log, err := newLog(m.Stderr, config.Log{Level: "warn", Format: settings.Log.Format})
	if err != nil {
		return err
	}
	engine, err := swarm.Open(ctx, engineAddress(settings, flags.path))
	if err != nil {
		return broken(ctx, err)
	}
	defer engine.Close()
	giveBack, err := place.Borrow(ctx, engine, settings.ProxyNetwork, m.say)
	if err != nil {
		return broken(ctx, err)
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
		defer stop()
		if undoing := giveBack(ctx); undoing != nil {
			err = errors.Join(err, infra(undoing))
		}
	}()
	if err := m.reapLogged(ctx, engine, place.Leases, place.Runner, log); err != nil {
		return broken(ctx, err)
	}
	standIn, err := m.standIn(ctx, engine, settings.ProxyNetwork, configured, flags.port)
	if err != nil {
		return broken(ctx, err)
	}
	if standIn != nil {
		defer closeRouter(standIn)
	}
	return m.printJob(ctx, m.localExecutor(settings, place, standIn, engine, log), plan)
}

// engineAddress is the configured engine's, unless the user's own choice is only
// in DOCKER_HOST, which swarm.Open reads for "".
func engineAddress(settings config.Config, named string) string {
	if named == "" && os.Getenv("DOCKER_HOST") != "" {
		return ""
	}
	return settings.DockerHost
}

// broken says whose fault an end before the job is: the user's, who cancelled,
// or the engine's.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit{err, ExitCancelled}
	}
	return infra(err)
}

// standIn starts the router that stands in for Traefik, or returns nil where
// Traefik serves and the settings say for which domain.
func (m *Main) standIn(ctx context.Context, engine *swarm.Engine, proxy string, configured bool, port int) (*router.Router, error) {
	traefik, err := engine.HasTraefik(ctx, proxy)
	if err != nil {
		return nil, err
	}
	if traefik && configured {
		return nil, nil
	}
	if traefik {
		m.say("A Traefik serves this engine, but no configuration says for which domain: a router of cc-ci's own is used.")
	}
	if err := engine.CheckGateway(ctx); err != nil {
		return nil, err
	}
	return router.Start(engine, port)
}

// closeTimeout bounds the wait for pages that are being answered at the end.
const closeTimeout = 2 * time.Second

func closeRouter(r *router.Router) {
	ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
	defer stop()
	_ = r.Close(ctx) // connections of an app that is gone may be cut
}

// printJob runs the job with the terminal for a log.
func (m *Main) printJob(ctx context.Context, jobs executor.Runner, plan local.Plan) error {
	terminal := local.NewTerminal(m.Stdout, colourful(m.Stdout), plan.Steps)
	for _, value := range plan.Job.Secrets {
		terminal.Mask(value)
	}
	for _, note := range plan.Notes {
		m.say("Note: " + note + ".")
	}
	began := time.Now()
	outcome := jobs.Run(ctx, plan.Job, terminal)
	terminal.Finish(outcome, time.Since(began))
	if code := codeOfResult(outcome.Result); code != ExitSuccess {
		return silent(code)
	}
	return nil
}

// say tells the user what isn't part of the job's log.
func (m *Main) say(sentence string) { fmt.Fprintln(m.Stderr, sentence) }
