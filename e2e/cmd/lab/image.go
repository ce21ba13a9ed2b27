package main

import (
	"fmt"
	"os"

	"github.com/docker/docker/client"
	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
)

func stock() (*supply.Supply, error) {
	place, err := lab.Find()
	if err != nil {
		return nil, err
	}
	return &supply.Supply{Repo: place.Repo, Cache: place.Cache(), Progress: supply.NewProgress(os.Stderr)}, nil
}

func imageCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "image job|hello",
		Short:     "Make an image and give it to the engine at DOCKER_HOST",
		Args:      usage(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"job", "hello"},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := stock()
			if err != nil {
				return err
			}
			c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Ping(cmd.Context()); err != nil {
				return fmt.Errorf("reach the container engine at %s (DOCKER_HOST names another): %w", c.DaemonHost(), err)
			}
			images := make([]supply.Image, 1)
			if args[0] == "hello" {
				images, err = s.HelloImages(cmd.Context())
			} else {
				images[0], err = s.JobImage(cmd.Context())
			}
			if err != nil {
				return err
			}
			for _, img := range images {
				if err := lab.Import(cmd.Context(), c, img, s.Progress); err != nil {
					return err
				}
				fmt.Println(img.Ref, "is there.")
			}
			return nil
		},
	}
}

func toolCommand() *cobra.Command {
	tools := map[string]supply.Tool{
		"gitea": supply.Gitea, "traefik": supply.Traefik, "runner": supply.OfficialRunner, "lint": supply.Linter,
	}
	return &cobra.Command{
		Use:       "tool gitea|traefik|runner|lint",
		Short:     "Build a program pinned in e2e/tools, if need be, and print its path",
		Args:      usage(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"gitea", "traefik", "runner", "lint"},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := stock()
			if err != nil {
				return err
			}
			path, err := s.Tool(cmd.Context(), tools[args[0]])
			if err == nil {
				fmt.Println(path)
			}
			return err
		},
	}
}
