package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

func upCommand(options func() (lab.Options, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Bring the lab up and keep it up until Ctrl-C",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := options()
			if err != nil {
				return err
			}
			return within(cmd.Context(), o, nil, func(_ context.Context, l *lab.Lab, _ *capsule.Spec, signals <-chan os.Signal) (int, error) {
				fmt.Printf("The lab is up; Ctrl-C takes it down.\n  DOCKER_HOST=%s\n", l.DockerHost)
				<-signals
				return 0, nil
			})
		},
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take down the lab that another process has brought up",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			place, err := lab.Find()
			if err != nil {
				return err
			}
			wasUp, err := place.Stop(cmd.Context())
			if err == nil && !wasUp {
				fmt.Println("No lab was up.")
			}
			return err
		},
	}
}
