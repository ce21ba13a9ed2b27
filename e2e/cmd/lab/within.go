package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
)

// visit is what a verb does in a lab that is up. Signals arrive on the channel
// from then on. Its exit code is the program's.
type visit func(ctx context.Context, l *lab.Lab, c *capsule.Spec, signals <-chan os.Signal) (int, error)

// within makes what the lab needs, brings it up in a capsule, has fn run in
// there and takes it down. It is called twice: outside, and by the program
// inside the capsule.
func within(ctx context.Context, o lab.Options, forwards []capsule.Forward, fn visit) error {
	o.Progress = supply.NewProgress(os.Stderr)
	place, err := lab.Find()
	if err != nil {
		return err
	}
	inside, err := capsule.Inside()
	if err != nil {
		return err
	}
	var code int
	if inside != nil {
		code, err = stay(ctx, place, o, inside, fn)
	} else {
		code, err = enter(ctx, place, o, forwards)
	}
	if err == nil && code != 0 {
		return exitCode(code)
	}
	return err
}

// enter is the outer half.
func enter(ctx context.Context, place lab.Place, o lab.Options, forwards []capsule.Forward) (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("the lab needs root, for namespaces and a container engine of its own")
	}
	// Until the capsule is entered nothing runs that a signal would leave behind.
	early, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	lock, err := place.Lock(early, o.Progress.Say)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if err := place.Prepare(early, o); err != nil {
		return 0, err
	}
	cancel()
	spec := place.Capsule()
	spec.Forwards = forwards
	return capsule.Enter(ctx, spec, lock)
}

// stay is the inner half.
func stay(ctx context.Context, place lab.Place, o lab.Options, spec *capsule.Spec, fn visit) (code int, err error) {
	rising, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	l, err := place.Up(rising, o)
	if err != nil {
		if rising.Err() != nil {
			return 130, nil
		}
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if rising.Err() != nil {
		return 130, nil
	}
	return fn(ctx, l, spec, signals)
}
