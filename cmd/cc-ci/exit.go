package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
)

// The exit codes of every verb.
const (
	ExitSuccess = 0
	// ExitFailure: the job failed, or what was asked for could not be done.
	ExitFailure = 1
	// ExitUsage: a wrong flag, argument or configuration; nothing was started.
	ExitUsage = 2
	// ExitInfra: the engine, the network or this host is at fault, not the recipe.
	ExitInfra = 3
	// ExitUnregistered: Gitea no longer knows the runner; starting it again won't
	// help.
	ExitUnregistered = 4
	// ExitCancelled: Ctrl-C or SIGTERM ended a run, as shells number it.
	ExitCancelled = 130
)

const exitCodes = `  0    success
  1    the job failed, or what was asked for could not be done
  2    a wrong flag, argument or configuration; nothing was started
  3    the engine, the network or this host is at fault, not the recipe
  4    Gitea no longer knows this runner
  130  cancelled by Ctrl-C or SIGTERM`

// usageTemplate is cobra's, with the root's examples under their own name: they
// are the exit codes, which every verb has in common.
func usageTemplate(root *cobra.Command) string {
	return strings.Replace(root.UsageTemplate(), "Examples:", "{{if .HasParent}}Examples:{{else}}Exit codes:{{end}}", 1)
}

// exit is an error with the exit code it leads to.
type exit struct {
	error
	code int
}

func (e exit) Unwrap() error { return e.error }

func usage(err error) error { return exit{err, ExitUsage} }

func infra(err error) error { return exit{err, ExitInfra} }

// silent is an exit code whose reason is on the screen already.
type silent int

func (silent) Error() string { return "see above" }

// codeOf finds the exit code of an error.
func codeOf(err error) int {
	var coded exit
	var quiet silent
	var problems config.Problems
	switch {
	case err == nil:
		return ExitSuccess
	case errors.As(err, &quiet):
		return int(quiet)
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, runner.ErrUnregistered):
		return ExitUnregistered
	case errors.As(err, &problems), errors.Is(err, local.ErrUsage), errors.Is(err, runner.ErrNoIdentity),
		strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		// Cobra has no types for the last two.
		return ExitUsage
	case errors.Is(err, runner.ErrUnreachable), errors.Is(err, runner.ErrCertificate), errors.Is(err, runner.ErrNotGitea):
		return ExitInfra
	}
	return ExitFailure
}

// codeOfResult is the exit code of a job that ended with result.
func codeOfResult(result executor.Result) int {
	switch result {
	case executor.Success, executor.Skipped:
		return ExitSuccess
	case executor.Cancelled:
		return ExitCancelled
	case executor.Infra:
		return ExitInfra
	}
	return ExitFailure
}
