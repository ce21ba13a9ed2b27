// Command bench measures cc-ci beside the official runner, in the lab: both are
// registered with the same Gitea, each for an organisation of its own, run one
// job at a time, and are measured in turns. Run it with make bench.
//
// The figures are printed with their targets and asserted by nothing: the exit
// code is 0 whenever they could be taken, 1 when they couldn't, 2 for wrong
// usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
)

// plan is how much is measured.
type plan struct {
	FirstRow int           // dispatches until the first row, of each runner
	TenSteps int           // jobs of ten steps, of each runner
	Hello    int           // jobs of the example recipe
	Idle     time.Duration // of both runners at once
}

var (
	whole = plan{FirstRow: 10, TenSteps: 5, Hello: 5, Idle: time.Minute}
	quick = plan{FirstRow: 4, TenSteps: 2, Hello: 2, Idle: 20 * time.Second}
)

// options are the command line's.
type options struct {
	quick, markdown, json bool
	logs                  string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "measure less often; the figures are rougher")
	flag.BoolVar(&o.markdown, "markdown", false, "write the table into README.md, too")
	flag.BoolVar(&o.json, "json", false, "print JSON, with every sample, in place of the table")
	flag.StringVar(&o.logs, "logs", "", "write the measured jobs' logs into this folder, with the times seen on their pages")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	p := whole
	if o.quick {
		p = quick
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, p, o)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, o options) error {
	l, err := lab.Join()
	if err != nil {
		return err
	}
	b, err := newBench(ctx, l, o.logs)
	if err != nil {
		return err
	}
	defer b.close()
	report, err := b.measure(ctx, p)
	if err != nil {
		return errors.Join(err, b.explain())
	}
	if o.markdown {
		if err := report.writeInto(filepath.Join(l.Repo, "README.md")); err != nil {
			return err
		}
	}
	if o.json {
		return report.printJSON(os.Stdout)
	}
	report.print(os.Stdout)
	return nil
}
