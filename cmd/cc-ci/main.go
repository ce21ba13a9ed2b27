package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
)

func main() {
	// The first process of a sandbox and its small programs come before all else:
	// steps wait for them, and they need nothing of what follows.
	if len(os.Args) > 1 && os.Args[1] == "sandbox" {
		os.Exit(inside.Main(os.Args[2:]))
	}
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as it is with nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Where a job's log goes may end before the job (`cc-ci run . | head`): a write
	// then fails, instead of the program with its app still up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	m := &Main{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals}
	os.Exit(m.Run(context.Background()))
}
