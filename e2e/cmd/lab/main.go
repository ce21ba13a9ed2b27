// Command lab brings up and takes down the lab in which cc-ci is tested and
// shown; see package e2e/lab. It needs root and, for what it has to make first,
// the network.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage, otherwise those of the
// command that was run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

func main() {
	capsule.First()
	err := command().ExecuteContext(context.Background())
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// exitCode ends the program with that code and without a message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "The lab: a container engine, Traefik and Gitea of its own on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var parts string
	root.PersistentFlags().StringVar(&parts, "parts", os.Getenv("CC_CI_LAB_PARTS"),
		"what to bring up, of engine, traefik and gitea, with commas between, or plain for an untouched engine; empty means all")
	options := func() (lab.Options, error) { return lab.ParseParts(parts) }
	root.AddCommand(execCommand(options), upCommand(options), downCommand(), imageCommand(), toolCommand(),
		demoCommand(), showCommand())
	return root
}

// usage makes an argument check that ends with exit code 2.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		fmt.Fprintf(os.Stderr, "lab: %v\n%s\n", err, strings.TrimSpace(cmd.UsageString()))
		return exitCode(2)
	}
}
