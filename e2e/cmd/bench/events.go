package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
)

// A listener gathers the engine's events.
type listener struct {
	cancel context.CancelFunc
	done   chan struct{}
	seen   []events.Message
	err    error
}

// listen gathers events until end is called, or ctx ends.
func (b *bench) listen(ctx context.Context) *listener {
	ctx, cancel := context.WithCancel(ctx)
	l := &listener{cancel: cancel, done: make(chan struct{})}
	messages, errs := b.engine.Client().Events(ctx, events.ListOptions{})
	go func() { // ends with the context, or the engine
		defer close(l.done)
		for {
			select {
			case m := <-messages:
				l.seen = append(l.seen, m)
			case err := <-errs:
				if ctx.Err() == nil {
					l.err = err
				}
				return
			}
		}
	}()
	return l
}

// end stops the gathering and returns what was gathered.
func (l *listener) end() ([]events.Message, error) {
	l.cancel()
	<-l.done
	return l.seen, l.err
}

// deployTime is the time from the first of the app's objects that was created
// to the last of its containers that became healthy. The sandbox is not the
// app's.
func deployTime(seen []events.Message, slug string) (time.Duration, error) {
	var first, last int64
	for _, e := range seen {
		name := e.Actor.Attributes["name"]
		if service := e.Actor.Attributes["com.docker.swarm.service.name"]; service != "" {
			name = service
		}
		if slug == "" || !strings.HasPrefix(name, slug+"_") {
			continue
		}
		switch {
		case e.Action == events.ActionCreate && first == 0:
			first = e.TimeNano
		case e.Action == events.ActionHealthStatusHealthy:
			last = e.TimeNano
		}
	}
	if first == 0 || last < first {
		return 0, errors.New("the engine told of no app that was created and became healthy")
	}
	return time.Duration(last - first), nil
}
