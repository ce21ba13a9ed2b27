package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo [-- FLAG...]",
		Short: "Run the example recipe's job on a plain engine, without Gitea",
		Long: `Run the example recipe's job on a plain engine, without Gitea and Traefik: what
"cc-ci run" does on a maintainer's machine, with bin/cc-ci. The flags are passed
on to it. The exit code is its own.`,
		RunE: func(cmd *cobra.Command, flags []string) error {
			// The app's URL has the port in it, so that is the same inside and outside.
			app := capsule.Forward{Name: "app", Port: 8443}
			return within(cmd.Context(), lab.Options{Plain: true}, []capsule.Forward{app},
				func(_ context.Context, l *lab.Lab, c *capsule.Spec, signals <-chan os.Signal) (int, error) {
					port := strconv.Itoa(c.Port(app.Name))
					way, err := net.Listen("unix", c.Socket(app.Name))
					if err != nil {
						return 0, err
					}
					defer way.Close()
					go capsule.Relay(way, "tcp", net.JoinHostPort("127.0.0.1", port)) // ends when way is closed
					// Not among the user's own jobs.
					home := filepath.Join(l.State, "demo")
					if err := os.RemoveAll(home); err != nil {
						return 0, err
					}
					os.Setenv("XDG_STATE_HOME", home)
					os.Setenv("XDG_CACHE_HOME", home)
					args := []string{filepath.Join(l.Repo, "bin", "cc-ci"), "run", "--port", port,
						filepath.Join(l.Repo, "examples", "recipes", "hello")}
					return run(l, signals, append(args, flags...))
				})
		},
	}
}
