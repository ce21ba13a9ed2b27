package swarm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sync/errgroup"
)

// Kind is a kind of Docker object.
type Kind string

// The kinds of objects a job can make, in the order in which a receipt counts
// them.
const (
	KindService   Kind = "service"
	KindContainer Kind = "container"
	KindVolume    Kind = "volume"
	KindSecret    Kind = "secret"
	KindConfig    Kind = "config"
	KindNetwork   Kind = "network"
)

var kinds = []Kind{KindService, KindContainer, KindVolume, KindSecret, KindConfig, KindNetwork}

// An Object is one Docker object.
type Object struct {
	Kind Kind
	// ID is the engine's; a volume's is its name.
	ID   string
	Name string
	// Anonymous is true for a volume that exists only because an image or a
	// mount without a name asked for one. Such volumes carry no label.
	Anonymous bool
}

type objectKey struct {
	kind Kind
	id   string
}

func (o Object) key() objectKey { return objectKey{o.Kind, o.ID} }

// String names the object as an operator would look for it.
func (o Object) String() string {
	name := o.Name
	if name == "" {
		name = o.ID
	}
	if o.Kind == KindVolume && o.Anonymous && len(name) > 12 {
		name = name[:12] + "…"
	}
	return string(o.Kind) + " " + name
}

// A Census is the objects there are at a moment, sorted by kind and name.
type Census []Object

// Without returns the objects of c that are not in other.
func (c Census) Without(other Census) Census {
	known := make(map[objectKey]bool, len(other))
	for _, o := range other {
		known[o.key()] = true
	}
	var rest Census
	for _, o := range c {
		if !known[o.key()] {
			rest = append(rest, o)
		}
	}
	return rest
}

// String lists the objects, one line each.
func (c Census) String() string {
	lines := make([]string, len(c))
	for i, o := range c {
		lines[i] = o.String()
	}
	return strings.Join(lines, "\n")
}

func (c Census) sort() Census {
	slices.SortFunc(c, func(a, b Object) int {
		return cmp.Or(
			cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ID, b.ID))
	})
	return c
}

// Census returns the owner's objects: those with its labels, and unlabelled
// ones of the stacks named here or deployed through this Engine. Anonymous
// volumes carry no label; those that this Engine has noted are included.
func (e *Engine) Census(ctx context.Context, o Owner, stacks ...string) (Census, error) {
	l := e.ledger(o)
	l.addStacks(stacks...)
	look, err := e.look(ctx)
	if err != nil {
		return nil, err
	}
	mine, _ := look.divide(o, l)
	return mine, nil
}

// CensusAll returns every object of the engine, whoever's it is.
func (e *Engine) CensusAll(ctx context.Context) (Census, error) {
	look, err := e.look(ctx)
	if err != nil {
		return nil, err
	}
	all := make(Census, len(look))
	for i, s := range look {
		all[i] = s.Object
	}
	return all.sort(), nil
}

// A sighting is an object as the engine lists it.
type sighting struct {
	Object
	labels map[string]string
}

// A look is everything on the engine at about one moment.
type look []sighting

// divide tells the owner's objects from its neighbours'.
func (k look) divide(o Owner, l *ledger) (mine, neighbours Census) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range k {
		made, noted := l.made[s.key()]
		switch {
		case noted && made.Anonymous:
			mine = append(mine, made)
		case noted || o.owns(s.labels, l.stacks):
			mine = append(mine, s.Object)
		default:
			neighbours = append(neighbours, s.Object)
		}
	}
	return mine.sort(), neighbours.sort()
}

// look lists everything on the engine, all kinds at once. The engine filters
// no faster than the caller, so nothing is filtered there.
func (e *Engine) look(ctx context.Context) (look, error) {
	var mu sync.Mutex
	var all look
	see := func(kind Kind, id, name string, labels map[string]string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, sighting{Object{Kind: kind, ID: id, Name: name}, labels})
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, list := range []func(context.Context, seeFunc) error{
		e.seeServices, e.seeContainers, e.seeVolumes, e.seeSecrets, e.seeConfigs, e.seeNetworks,
	} {
		group.Go(func() error { return list(ctx, see) })
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("take a census of the engine at %s: %w", e.host, err)
	}
	return all, nil
}

type seeFunc func(kind Kind, id, name string, labels map[string]string)

func (e *Engine) seeServices(ctx context.Context, see seeFunc) error {
	list, err := e.api.ServiceList(ctx, swarm.ServiceListOptions{})
	for _, s := range list {
		see(KindService, s.ID, s.Spec.Name, s.Spec.Labels)
	}
	return unlessNoSwarm(err)
}

func (e *Engine) seeContainers(ctx context.Context, see seeFunc) error {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true})
	for _, c := range list {
		see(KindContainer, c.ID, strings.TrimPrefix(strings.Join(c.Names, ","), "/"), c.Labels)
	}
	return err
}

func (e *Engine) seeVolumes(ctx context.Context, see seeFunc) error {
	list, err := e.api.VolumeList(ctx, volume.ListOptions{})
	for _, v := range list.Volumes {
		see(KindVolume, v.Name, v.Name, v.Labels)
	}
	return err
}

func (e *Engine) seeSecrets(ctx context.Context, see seeFunc) error {
	list, err := e.api.SecretList(ctx, swarm.SecretListOptions{})
	for _, s := range list {
		see(KindSecret, s.ID, s.Spec.Name, s.Spec.Labels)
	}
	return unlessNoSwarm(err)
}

func (e *Engine) seeConfigs(ctx context.Context, see seeFunc) error {
	list, err := e.api.ConfigList(ctx, swarm.ConfigListOptions{})
	for _, c := range list {
		see(KindConfig, c.ID, c.Spec.Name, c.Spec.Labels)
	}
	return unlessNoSwarm(err)
}

func (e *Engine) seeNetworks(ctx context.Context, see seeFunc) error {
	list, err := e.api.NetworkList(ctx, network.ListOptions{})
	for _, n := range list {
		see(KindNetwork, n.ID, n.Name, n.Labels)
	}
	return err
}

// unlessNoSwarm drops the error of an engine that is not in swarm mode: it has
// no objects of swarm's kinds.
func unlessNoSwarm(err error) error {
	if err != nil && (errdefs.IsUnavailable(err) || strings.Contains(err.Error(), "not a swarm manager")) {
		return nil
	}
	return err
}

// anonymousVolumes returns the container's volumes that nothing names: those
// mounted where neither a mount with a source nor a bind was asked for. A
// container that is gone has none.
func (e *Engine) anonymousVolumes(ctx context.Context, id string) ([]Object, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inspect container %s: %w", id, err)
	}
	named := map[string]bool{}
	if c.ContainerJSONBase != nil && c.HostConfig != nil {
		for _, m := range c.HostConfig.Mounts {
			named[m.Target] = m.Source != ""
		}
		for _, bind := range c.HostConfig.Binds {
			if parts := strings.Split(bind, ":"); len(parts) > 1 {
				named[parts[1]] = true
			}
		}
		if len(c.HostConfig.VolumesFrom) > 0 {
			return nil, nil
		}
	}
	var volumes []Object
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume && m.Name != "" && !named[m.Destination] {
			volumes = append(volumes, Object{Kind: KindVolume, ID: m.Name, Name: m.Name, Anonymous: true})
		}
	}
	return volumes, nil
}

// remove removes one object, a container by force and with its anonymous
// volumes. That the object is gone already is no error.
func (e *Engine) remove(ctx context.Context, o Object) error {
	var err error
	switch o.Kind {
	case KindService:
		err = e.api.ServiceRemove(ctx, o.ID)
	case KindContainer:
		err = e.api.ContainerRemove(ctx, o.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	case KindVolume:
		err = e.api.VolumeRemove(ctx, o.ID, false)
	case KindSecret:
		err = e.api.SecretRemove(ctx, o.ID)
	case KindConfig:
		err = e.api.ConfigRemove(ctx, o.ID)
	case KindNetwork:
		err = e.api.NetworkRemove(ctx, o.ID)
	default:
		err = fmt.Errorf("unknown kind %q", o.Kind)
	}
	if err != nil && !isGone(err) {
		return fmt.Errorf("remove %s: %w", o, err)
	}
	return nil
}

// isGone tells whether an object could not be removed because it is not there.
// The engine has a half-removed overlay network in its list for a moment, and
// then answers with these words and an error of no kind.
func isGone(err error) bool {
	text := err.Error()
	return errdefs.IsNotFound(err) || strings.Contains(text, "network ") && strings.HasSuffix(text, " not found")
}
