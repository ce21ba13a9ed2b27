package inside

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside/workspace"
)

// Where the host's folders and files are in the sandbox.
const (
	// Root holds all that is ours in the container.
	Root = "/.cc-ci"
	// Binary is cc-ci itself.
	Binary = Root + "/cc-ci"
	// RunDir holds the sockets.
	RunDir = Root + "/run"
	// Clone is the job's clone of its repository, read-only.
	Clone = Root + "/clone"
	// CA is the certificate authority that steps shall trust beside the image's.
	CA = Root + "/ca.pem"
	// Bundle is where the first process joins the image's authorities and CA.
	Bundle = Root + "/ca-bundle.pem"
)

// The sockets in RunDir.
const (
	// Socket is where the first process listens for commands.
	Socket = "init.sock"
	// RouterSocket is where the host listens for what RouterVariable forwards.
	RouterSocket = "router.sock"
)

// RouterVariable names the loopback address and port, as in "127.0.0.1:8443", on
// which the first process listens to forward to RouterSocket. Unset: it doesn't.
const RouterVariable = "CC_CI_ROUTER"

// Exit codes of Main.
const (
	exitFailure = 1
	exitUsage   = 2
)

// Main runs the hidden verb sandbox with the arguments after it and returns the
// exit code:
//
//	sandbox                        the first process; ends on SIGTERM
//	sandbox checkout [PATH]        the job's clone into $GITHUB_WORKSPACE/PATH
//	sandbox clean FOLDER...        removes what is in the folders
func Main(args []string) int {
	verb := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "":
		err = first(args)
	case "checkout":
		err = checkout(args)
	case "clean":
		err = workspace.Clean(args)
	default:
		err = usageError("there is no sandbox verb " + verb)
	}
	return code(err)
}

type usageError = workspace.UsageError

// code tells of an error and returns the exit code for it.
func code(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "cc-ci sandbox:", err)
	if usage := usageError(""); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// checkout reads the arguments of sandbox checkout.
func checkout(args []string) error {
	flags := flag.NewFlagSet("checkout", flag.ContinueOnError)
	from := flags.String("from", Clone, "the clone")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	if flags.NArg() > 1 {
		return usageError("checkout takes one path in the workspace at most")
	}
	return workspace.Checkout(*from, flags.Arg(0), os.Stdout)
}

// first is the first process: it returns on SIGTERM or SIGINT, when all commands
// have been killed.
func first(args []string) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	run := flags.String("run", RunDir, "folder of the sockets")
	ca := flags.String("ca", CA, "certificate authority to trust beside the image's")
	bundle := flags.String("bundle", Bundle, "where to join it and the image's")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()

	// As process 1 orphans come here anyway; in tests this makes it so.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	s, err := newServer(&authorities{own: *ca, bundle: *bundle})
	if err != nil {
		return err
	}
	defer s.close()
	if address := os.Getenv(RouterVariable); address != "" {
		stop, err := forward(address, filepath.Join(*run, RouterSocket))
		if err != nil {
			return err
		}
		defer func() { _ = stop() }()
	}
	return s.serve(ctx, filepath.Join(*run, Socket))
}
