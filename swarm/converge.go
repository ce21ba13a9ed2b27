package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
)

const (
	// settle is over how long a deployment must look ready, and looks how often.
	settle = 300 * time.Millisecond
	looks  = 3
	// Docker tells of containers at once, but of tasks not at all: their states
	// follow within about 0.1 s. So a look follows every event, further ones
	// soon after, and then ever fewer down to one a second, since events can be
	// lost.
	firstLook, slowestLook = 40 * time.Millisecond, time.Second
	// engineGrace is how long the engine may be away, being restarted, before
	// Converge gives up.
	engineGrace = 30 * time.Second
	// resubscribe is the pause before a lost stream of events is asked for anew.
	resubscribe = time.Second
)

// A ConvergeError says why a deployment does not become ready.
type ConvergeError struct {
	Verdict Verdict
	// Service is the full name of the service at fault; "" if there are several.
	Service string
	// Detail is a phrase about the cause.
	Detail string
	// Attempts are the tries to run the services at fault: see Table.
	Attempts []Attempt

	err error
}

// Error is one line; Table(e.Attempts) has the rest.
func (e *ConvergeError) Error() string {
	text := string(e.Verdict)
	if e.Service != "" {
		text = e.Service + ": " + text
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns the context's error and cause of a TimedOut verdict.
func (e *ConvergeError) Unwrap() error { return e.err }

// Converge waits until the deployment is ready: every service has its number
// of tasks of its present spec running and healthy (jobs: completed; without a
// health check: running for a second, and for longer than its forerunners that
// crashed), and no update is under way, in three looks over 0.3 s, or over the longest monitor
// period that a service's update_config names. It looks whenever the engine
// tells of a change.
//
// Progress is called, if not nil, whenever something changed, from Converge's
// own goroutine.
//
// A deployment that cannot become ready ends it early, and the end of ctx ends
// it late, each with a *ConvergeError that says why. Another error means that
// ctx was cancelled, that the owner is gone (ErrOwnerGone) or that the engine
// does not answer any more.
func (d *Deployment) Converge(ctx context.Context, progress func(Progress)) error {
	follow, stop := context.WithCancel(ctx)
	defer stop()
	w := &watch{
		deployment: d, judge: newJudge(),
		settle: d.settlePeriod(), report: progress, events: d.engine.changes(follow, d.owner), pause: firstLook,
	}
	for {
		done, err := w.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return w.late(ctx)
		case <-w.events:
			w.pause = firstLook
		case <-time.After(w.wait()):
			w.pause = min(2*w.pause, slowestLook)
		}
	}
}

// settlePeriod is over how long the deployment must look ready.
func (d *Deployment) settlePeriod() time.Duration {
	longest := settle
	for _, s := range d.stack.Services {
		if s.UpdateConfig != nil {
			longest = max(longest, s.UpdateConfig.Monitor)
		}
	}
	return longest
}

// A watch is one run of Converge.
type watch struct {
	deployment *Deployment
	judge      *judge
	settle     time.Duration
	report     func(Progress)
	events     <-chan struct{}
	pause      time.Duration

	snap       *snapshot // the last one
	said       string    // the progress last reported
	running    []string  // the tasks that have looked ready since readySince
	readySince time.Time
	readyLooks int
	awaySince  time.Time // since when the engine does not answer
}

// wait returns how long to wait for an event before the next look.
func (w *watch) wait() time.Duration {
	if w.readyLooks > 0 {
		return min(w.settle/(looks-1), slowestLook)
	}
	return w.pause
}

// look takes one look; done means that the deployment is ready.
func (w *watch) look(ctx context.Context) (done bool, err error) {
	snap, err := w.deployment.snapshot(ctx)
	now := time.Now()
	if err != nil {
		return false, w.away(ctx, err, now)
	}
	w.snap, w.awaySince = snap, time.Time{}
	if err := w.missing(); err != nil {
		return false, err
	}
	w.noteTasks(ctx)
	progress, running, found := w.judge.look(snap, now)
	if said := progress.String(); said != w.said && w.report != nil {
		w.said = said
		w.report(progress)
	}
	if found != nil {
		return false, w.verdict(ctx, *found)
	}
	if !progress.Ready() {
		w.readyLooks = 0
		return false, nil
	}
	if w.readyLooks == 0 || !slices.Equal(running, w.running) {
		w.readySince, w.readyLooks, w.running = now, 0, running
	}
	w.readyLooks++
	return w.readyLooks >= looks && now.Sub(w.readySince) >= w.settle, nil
}

// away decides what it means that the engine gave an error: nothing for a
// while, since it may be restarting.
func (w *watch) away(ctx context.Context, err error, now time.Time) error {
	if ctx.Err() != nil {
		return nil // Converge sees to it
	}
	if w.awaySince.IsZero() {
		w.awaySince = now
	}
	w.readyLooks = 0
	if now.Sub(w.awaySince) < engineGrace {
		return nil
	}
	return fmt.Errorf("wait for %s: the engine has not answered for %s: %w", w.deployment.stack.Name, engineGrace, err)
}

// missing tells of services that were removed while they are waited for.
func (w *watch) missing() error {
	d := w.deployment
	for _, want := range d.stack.Services {
		if slices.ContainsFunc(w.snap.services, func(s swarm.Service) bool { return s.Spec.Name == want.Name }) {
			continue
		}
		if d.engine.ledger(d.owner).isGone() {
			return fmt.Errorf("wait for %s: %w", d.stack.Name, ErrOwnerGone)
		}
		return &ConvergeError{Verdict: Removed, Service: want.Name, Detail: "somebody removed it while it was starting"}
	}
	return nil
}

// noteTasks notes the tasks' containers for the receipt, and looks into those
// of tasks that have ended since the last look.
func (w *watch) noteTasks(ctx context.Context) {
	d := w.deployment
	l := d.engine.ledger(d.owner)
	for _, task := range w.snap.tasks {
		name := w.snap.name(task.ServiceID)
		if status := task.Status.ContainerStatus; status != nil && status.ContainerID != "" {
			l.note(Object{Kind: KindContainer, ID: status.ContainerID, Name: fmt.Sprintf("%s.%s.%s", name, slotOf(task), task.ID)})
		}
		for _, service := range w.snap.services {
			if service.ID == task.ServiceID && hasEnded(task) {
				w.judge.attempts[task.ID] = d.recall(ctx, name, task)
			}
		}
	}
}

// verdict makes an error of a judge's finding.
func (w *watch) verdict(ctx context.Context, f finding) error {
	e := &ConvergeError{Verdict: f.verdict, Service: f.service, Detail: f.detail}
	e.Attempts = w.attempts(ctx, func(name string) bool { return name == f.service })
	return e
}

// late says which services were not ready when ctx ended.
func (w *watch) late(ctx context.Context) error {
	name := w.deployment.stack.Name
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("wait for %s: %w", name, context.Cause(ctx))
	}
	e := &ConvergeError{Verdict: TimedOut, Detail: "the engine did not answer", err: errors.Join(ctx.Err(), context.Cause(ctx))}
	if w.snap == nil {
		return e
	}
	progress, _, _ := w.judge.look(w.snap, time.Now())
	e.Detail = progress.String()
	waiting := map[string]bool{}
	for _, p := range progress {
		waiting[p.Name] = p.State != ""
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), autopsyTimeout)
	defer cancel()
	e.Attempts = w.attempts(detached, func(name string) bool { return waiting[name] })
	return e
}

// attempts returns the attempts to run the services that are chosen.
func (w *watch) attempts(ctx context.Context, chosen func(name string) bool) []Attempt {
	all, err := w.deployment.Attempts(ctx)
	if err != nil {
		all = nil
		for _, a := range w.judge.attempts {
			all = append(all, a)
		}
		sortAttempts(all)
	}
	return slices.DeleteFunc(all, func(a Attempt) bool { return !chosen(a.Service) })
}

// snapshot lists the deployment's services, tasks and containers. The containers
// come last, since they are to be no older than the tasks.
func (d *Deployment) snapshot(ctx context.Context) (*snapshot, error) {
	ours := filters.NewArgs(filters.Arg("label", labelStack+"="+d.stack.Name))
	services, err := d.engine.api.ServiceList(ctx, swarm.ServiceListOptions{Filters: ours, Status: true})
	if err != nil {
		return nil, fmt.Errorf("list the services of %s: %w", d.stack.Name, err)
	}
	tasks, err := d.engine.api.TaskList(ctx, swarm.TaskListOptions{Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list the tasks of %s: %w", d.stack.Name, err)
	}
	list, err := d.engine.api.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list the containers of %s: %w", d.stack.Name, err)
	}
	containers := make(map[string]container.Summary, len(list))
	for _, c := range list {
		containers[c.ID] = c
	}
	slices.SortFunc(services, func(a, b swarm.Service) int {
		if a.Spec.Name < b.Spec.Name {
			return -1
		}
		return 1
	})
	return &snapshot{services, tasks, containers, d.node}, nil
}

// changes tells of changes to the owner's containers and to any service, as a
// signal that is never older than what it stands for: several may be one. Its
// goroutine ends with ctx.
func (e *Engine) changes(ctx context.Context, o Owner) <-chan struct{} {
	signal := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			e.followEvents(ctx, o, signal)
			select {
			case <-ctx.Done():
			case <-time.After(resubscribe):
			}
		}
	}()
	return signal
}

// followEvents signals changes until the stream of events breaks or ctx ends.
func (e *Engine) followEvents(ctx context.Context, o Owner, signal chan<- struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wanted := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.ServiceEventType)))
	for _, action := range []events.Action{"start", "die", "oom", "health_status", "update", "remove"} {
		wanted.Add("event", string(action))
	}
	messages, errs := e.api.Events(ctx, events.ListOptions{Filters: wanted})
	for {
		select {
		case <-errs: //nolint:errcheck // whoever follows follows anew
			return
		case m := <-messages:
			if m.Type == events.ContainerEventType && m.Actor.Attributes[LabelSlug] != o.Slug {
				continue
			}
			select {
			case signal <- struct{}{}:
			default:
			}
		}
	}
}
