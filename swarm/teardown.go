package swarm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
)

const (
	// teardownTimeout bounds a teardown whose context has no deadline.
	teardownTimeout = 2 * time.Minute
	// removeTimeout bounds one removal, so that an object the engine cannot
	// let go of does not hold up the others.
	removeTimeout = 15 * time.Second
	// removesAtOnce bounds how many removals of one kind are under way.
	removesAtOnce = 16
	// A look at what is left costs a few milliseconds. The first ones follow
	// quickly, since most teardowns need no more than two or three.
	firstPause, longestPause = 20 * time.Millisecond, 500 * time.Millisecond
)

// ErrLeft is wrapped by Teardown's error when objects of the owner are left.
var ErrLeft = errors.New("objects are left on the engine")

// Teardown removes everything of the owner: the objects with its labels, those
// of its stacks (the ones deployed through this Engine and the ones named
// here), and the anonymous volumes of its containers. From its first moment on
// creates for the owner fail, and those under way undo themselves.
//
// It kills instead of waiting for services to stop: services first, so that
// nothing is restarted, then containers with their volumes, secrets and
// configs, then volumes and networks. It repeats this until a census finds
// nothing and no task of the owner can start a container any more, or until
// ctx ends: its deadline is the teardown's. The caller detaches ctx from the
// job's own. Teardown may be repeated.
//
// The receipt is valid in any case. The error wraps ErrLeft when something is
// left, with the engine's reasons.
func (e *Engine) Teardown(ctx context.Context, o Owner, stacks ...string) (Receipt, error) {
	start := time.Now()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, teardownTimeout)
		defer cancel()
	}
	l := e.ledger(o)
	l.addStacks(stacks...)
	t := &teardown{engine: e, owner: o, ledger: l, createsDone: l.close()}
	err := t.run(ctx)
	receipt := t.receipt()
	receipt.Took = time.Since(start)
	return receipt, err
}

// A teardown is one run of Teardown.
type teardown struct {
	engine      *Engine
	owner       Owner
	ledger      *ledger
	createsDone <-chan struct{}

	looked                bool
	left                  Census
	neighboursBefore, now Census
}

// run goes round until nothing is left. Its exits: a census that finds
// nothing, and the end of ctx.
func (t *teardown) run(ctx context.Context) error {
	pause := firstPause
	for {
		reason := t.round(ctx)
		if reason == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if !t.looked || len(t.left) > 0 {
				return fmt.Errorf("tear down %s: %w: %w", t.owner.Slug, ErrLeft, reason)
			}
			return fmt.Errorf("tear down %s: %w: %w", t.owner.Slug, context.Cause(ctx), reason)
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// round looks at what is left and tries to remove it. It returns nil when a
// look found nothing and nothing can come any more, else why not.
func (t *teardown) round(ctx context.Context) error {
	// The order matters: tasks are asked for before the census, so a container
	// that a task started in between is in it.
	tasks, err := t.unborn(ctx)
	if err != nil {
		return err
	}
	creates := "no"
	select {
	case <-t.createsDone:
	default:
		creates = "some"
	}
	look, err := t.engine.look(ctx)
	if err != nil {
		return err
	}
	t.left, t.now = look.divide(t.owner, t.ledger)
	if !t.looked {
		t.looked, t.neighboursBefore = true, t.now
	}
	t.ledger.note(t.left...)
	if len(t.left) == 0 {
		if tasks == 0 && creates == "no" {
			return nil
		}
		return fmt.Errorf("%d tasks may still create a container, and %s creates are under way", tasks, creates)
	}
	errs := t.removeAll(ctx, KindService)
	errs = append(errs, t.removeAll(ctx, KindContainer, KindSecret, KindConfig)...)
	errs = append(errs, t.removeAll(ctx, KindVolume, KindNetwork)...)
	if len(errs) == 0 {
		return fmt.Errorf("%d objects were still there, such as %s", len(t.left), t.left[0])
	}
	return errors.Join(errs...)
}

// removeAll tries to remove everything left of the kinds, all at once.
func (t *teardown) removeAll(ctx context.Context, kinds ...Kind) []error {
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	slots := make(chan struct{}, removesAtOnce)
	for _, kind := range kinds {
		for _, object := range t.left {
			if object.Kind != kind {
				continue
			}
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if err := t.remove(ctx, object); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
	}
	wait.Wait()
	return errs
}

// remove removes one object, having noted a container's anonymous volumes.
func (t *teardown) remove(ctx context.Context, object Object) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if object.Kind == KindContainer {
		return t.engine.RemoveContainer(ctx, t.owner, object.ID)
	}
	return t.engine.remove(ctx, object)
}

// unborn counts the tasks of the owner's services that may still create a
// container, also after their service is removed. A task creates one at most,
// so those whose container is known need not be waited for: Swarm can take
// seconds to tell that they have stopped.
func (t *teardown) unborn(ctx context.Context) (int, error) {
	stacks := t.ledger.stackNames()
	labels := []string{LabelSlug + "=" + t.owner.Slug}
	for name := range stacks {
		labels = append(labels, labelStack+"="+name)
	}
	unborn := map[string]bool{}
	for _, label := range labels {
		tasks, err := t.engine.api.TaskList(ctx, swarm.TaskListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
		if err := unlessNoSwarm(err); err != nil {
			return 0, fmt.Errorf("list tasks: %w", err)
		}
		for _, task := range tasks {
			c, status := task.Spec.ContainerSpec, task.Status.ContainerStatus
			born := status != nil && status.ContainerID != ""
			if c != nil && !born && !isTerminal(task.Status.State) && t.owner.owns(c.Labels, stacks) {
				unborn[task.ID] = true
			}
		}
	}
	return len(unborn), nil
}

// isTerminal tells whether a task in this state has ended for good.
func isTerminal(state swarm.TaskState) bool {
	switch state {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed,
		swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned:
		return true
	}
	return false
}

// receipt compares what was made with what is left.
func (t *teardown) receipt() Receipt {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	r := Receipt{Left: t.left, Unknown: !t.looked}
	for _, object := range t.ledger.made {
		r.Made = append(r.Made, object)
	}
	r.Made.sort()
	// An anonymous volume is known as the owner's only once its container has
	// been inspected, so the first look took it for a neighbour's.
	r.NeighboursUntouched = t.looked && len(t.neighboursBefore.Without(t.now).Without(r.Made)) == 0
	return r
}
