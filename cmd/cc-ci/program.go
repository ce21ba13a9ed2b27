package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Main is the program, from arguments to exit code. Tests use it as main does.
type Main struct {
	// Args are the arguments after the program's name.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Signals asks the program to end: once gently, twice at once.
	Signals <-chan os.Signal
	// Binary is the static cc-ci that becomes a sandbox's first process; "" is the
	// program that runs.
	Binary string
}

// Run does what the arguments say and returns the exit code. Ending ctx is as
// good as a first signal.
func (m *Main) Run(ctx context.Context) int {
	muteLibraries()
	root := m.root()
	root.SetArgs(m.Args)
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	command, err := root.ExecuteContextC(ctx)
	code := codeOf(err)
	var quiet silent
	if err != nil && !errors.As(err, &quiet) {
		fmt.Fprintf(m.Stderr, "cc-ci: %v\n", err)
	}
	if code == ExitUsage {
		fmt.Fprintf(m.Stderr, "See %s --help.\n", command.CommandPath())
	}
	return code
}

func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cc-ci",
		Short: "Test Co-op Cloud recipes, each job on a deployment of its own",
		Long: `cc-ci tests Co-op Cloud recipes. Each job gets its own deployment of the recipe
on Docker Swarm at its own HTTPS address; the workflow's steps run against it,
and everything is taken down again.

On a maintainer's machine, with nothing but a Docker engine:
  cc-ci run path/to/recipe

On a host that takes the jobs of a Gitea instance:
  cc-ci register --instance https://git.example.org --token-file token
  cc-ci daemon`,
		Example: exitCodes,
		Args:    cobra.NoArgs,
		// Errors are printed once, by Run.
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.SetUsageTemplate(usageTemplate(root))
	root.AddCommand(m.run(), m.register(), m.daemon(), m.reap(), m.config(), m.version())
	for _, c := range root.Commands() {
		checkedArgs(c)
	}
	checkedArgs(root)
	return root
}

// checkedArgs makes an exit code 2 of arguments that a command doesn't take.
func checkedArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	for _, child := range c.Commands() {
		checkedArgs(child)
	}
}

// isTerminal tells whether w is a screen that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colourful tells whether colours are welcome on w (https://no-color.org).
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
