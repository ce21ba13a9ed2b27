package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

func execCommand(options func() (lab.Options, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Bring the lab up, run a command in it, take it down",
		Long: `Bring the lab up, run a command in it, take it down.

The command runs in the lab's namespaces with CC_CI_LAB and DOCKER_HOST set.
The exit code is the command's.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := options()
			if err != nil {
				return err
			}
			return within(cmd.Context(), o, nil, func(_ context.Context, l *lab.Lab, _ *capsule.Spec, signals <-chan os.Signal) (int, error) {
				return run(l, signals, args)
			})
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// run runs a command in the lab and returns its exit code; 128 plus the
// signal's number if a signal ended it. The signals go to the command's process
// group, as those of a terminal do.
func run(l *lab.Lab, signals <-chan os.Signal, args []string) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = l.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run in the lab: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with the command
	for {
		select {
		case s := <-signals:
			_ = syscall.Kill(-cmd.Process.Pid, s.(syscall.Signal)) // it may have ended just now
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return 0, err
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return exit.ExitCode(), nil
		}
	}
}
