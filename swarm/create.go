package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// ErrOwnerGone is what a create returns when its owner's teardown has begun or
// its time is over. Nothing stays behind.
var ErrOwnerGone = errors.New("the job this object belongs to is over")

// createTimeout bounds one create call. The engine makes each of these objects
// in milliseconds; under load a container can take seconds.
const createTimeout = 2 * time.Minute

// A ledger is what one engine connection knows of one owner: what was made,
// which creates are under way, and whether the owner is gone.
type ledger struct {
	mu       sync.Mutex
	gone     bool
	expires  time.Time
	inFlight int
	idle     chan struct{} // closed while inFlight is 0
	stacks   map[string]bool
	made     map[objectKey]Object
}

// ledger returns the owner's ledger, making it at first use. Ledgers of owners
// that are gone are dropped once the owner's time is over: from then on that
// alone refuses creates.
func (e *Engine) ledger(o Owner) *ledger {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.ledgers[o.key()]; ok {
		return l
	}
	now := time.Now()
	for key, l := range e.ledgers {
		if l.over(now) {
			delete(e.ledgers, key)
		}
	}
	idle := make(chan struct{})
	close(idle)
	l := &ledger{expires: o.Expires, idle: idle, stacks: map[string]bool{}, made: map[objectKey]Object{}}
	e.ledgers[o.key()] = l
	return l
}

func (l *ledger) over(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone && l.inFlight == 0 && now.After(l.expires)
}

// begin reports a create that is about to start; it is false when the owner is
// gone. Each begin that was true is followed by one end.
func (l *ledger) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone || time.Now().After(l.expires) {
		return false
	}
	if l.inFlight == 0 {
		l.idle = make(chan struct{})
	}
	l.inFlight++
	return true
}

func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	if l.inFlight == 0 {
		close(l.idle)
	}
}

// close marks the owner as gone and returns a channel that is closed once no
// create of its is under way any more.
func (l *ledger) close() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	return l.idle
}

// note records objects as made by the owner and reports whether the owner is
// gone already.
func (l *ledger) note(objects ...Object) (gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range objects {
		if _, known := l.made[o.key()]; !known || o.Anonymous {
			l.made[o.key()] = o
		}
	}
	return l.gone
}

func (l *ledger) isGone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

func (l *ledger) addStacks(names ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if name != "" {
			l.stacks[name] = true
		}
	}
}

func (l *ledger) stackNames() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.stacks)
}

// create makes one object for the owner through do, which returns its id.
//
// The call to the engine is not tied to ctx: a request that is dropped half way
// may still be carried out, and then nobody would know the id. So it runs to
// its end in a goroutine of its own, bounded by createTimeout; when ctx ends
// first, create returns at once. When the owner is gone by the time the object
// exists, the object is removed again.
func (e *Engine) create(ctx context.Context, o Owner, kind Kind, name string,
	do func(context.Context) (string, error)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("create %s %s: %w", kind, name, err)
	}
	l := e.ledger(o)
	if !l.begin() {
		return "", fmt.Errorf("create %s %s: %w (its time ends at %s)", kind, name, ErrOwnerGone, o.Expires.UTC().Format(time.RFC3339))
	}
	type result struct {
		id  string
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer l.end()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
		defer cancel()
		id, err := do(ctx)
		if err == nil {
			object := Object{Kind: kind, ID: id, Name: name}
			if l.note(object) {
				err = errors.Join(ErrOwnerGone, e.remove(ctx, object))
			}
		}
		done <- result{id, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("create %s %s: %w", kind, name, r.err)
		}
		return r.id, nil
	case <-ctx.Done():
		return "", fmt.Errorf("create %s %s: %w", kind, name, context.Cause(ctx))
	}
}

// CreateContainer creates, but does not start, a container of the owner and
// returns its id. The configurations are as for Docker's own call; the owner's
// labels are put on the container and on the volumes that its mounts make.
func (e *Engine) CreateContainer(ctx context.Context, o Owner, name string, config *container.Config,
	host *container.HostConfig, networks *network.NetworkingConfig) (string, error) {
	labelled := *config
	labelled.Labels = o.label(config.Labels)
	if host != nil {
		copied := *host
		copied.Mounts = o.labelMounts(host.Mounts, nil)
		host = &copied
	}
	return e.create(ctx, o, KindContainer, name, func(ctx context.Context) (string, error) {
		created, err := e.api.ContainerCreate(ctx, &labelled, host, networks, nil, name)
		return created.ID, err
	})
}

// CreateNetwork creates a bridge network of the owner on the engine's own
// machine and returns its id.
func (e *Engine) CreateNetwork(ctx context.Context, o Owner, name string) (string, error) {
	return e.create(ctx, o, KindNetwork, name, func(ctx context.Context) (string, error) {
		created, err := e.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge",
			Labels: o.Labels(),
		})
		return created.ID, err
	})
}

// RemoveContainer kills and removes a container of the owner together with its
// anonymous volumes, and notes those for the receipt. That the container does
// not exist (any more) is no error.
func (e *Engine) RemoveContainer(ctx context.Context, o Owner, id string) error {
	l := e.ledger(o)
	volumes, err := e.anonymousVolumes(ctx, id)
	if err != nil {
		return err
	}
	l.note(volumes...)
	return e.remove(ctx, Object{Kind: KindContainer, ID: id, Name: id})
}

// RemoveNetwork removes a network of the owner. That it does not exist (any
// more) is no error.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return e.remove(ctx, Object{Kind: KindNetwork, ID: id, Name: id})
}
