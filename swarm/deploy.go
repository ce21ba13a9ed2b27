package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"golang.org/x/sync/errgroup"
)

// ErrBadStack is wrapped by Deploy's errors about the stack itself: a reference
// to something that is not part of it, or that the engine cannot accept.
var ErrBadStack = errors.New("the stack cannot be deployed")

// createsAtOnce bounds how many creates of one stack are under way together.
// The swarm's manager works on them one after the other; a few overlapping
// requests hide the round trips.
const createsAtOnce = 6

// A Deployment is a stack that Deploy has created. Its methods may be called
// from several goroutines.
type Deployment struct {
	engine *Engine
	owner  Owner
	stack  Stack
	node   string // the id of the engine's own node

	mu    sync.Mutex
	ended map[string]Attempt // attempts that were seen to have ended, by task
}

// Stack returns the name of the deployed stack.
func (d *Deployment) Stack() string { return d.stack.Name }

// Owner returns whose the deployment is.
func (d *Deployment) Owner() Owner { return d.owner }

// Networks returns the names of the networks that Deploy made for the stack:
// those that the job's sandbox joins.
func (d *Deployment) Networks() []string {
	names := make([]string, len(d.stack.Networks))
	for i, n := range d.stack.Networks {
		names[i] = n.Name
	}
	return names
}

// Deploy creates the stack's networks, secrets and configs, then its services,
// each labelled as the owner's and as docker stack deploy would. It returns
// when the engine has accepted all of them: see Deployment.Converge for when
// they run.
//
// A service's image that is on the engine is given to it by digest or id. The
// engine's agent asks the registry before every start of a task whose image is
// given by tag, even when it has it.
//
// When Deploy fails, what it has created stays for Teardown, which the caller
// runs on every way out. Errors wrap ErrBadStack when the stack is at fault and
// ErrOwnerGone when the owner's teardown has begun; others are the engine's.
func (e *Engine) Deploy(ctx context.Context, o Owner, s Stack) (*Deployment, error) {
	e.ledger(o).addStacks(s.Name)
	if s.EndpointMode == "" {
		s.EndpointMode = e.EndpointMode("auto")
	}
	ids, err := e.createParts(ctx, o, s)
	if err != nil {
		return nil, err
	}
	specs := make([]swarm.ServiceSpec, len(s.Services))
	for i, wanted := range s.Services {
		if specs[i], err = fillIn(wanted, o, s, ids); err != nil {
			return nil, err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(createsAtOnce)
	for _, spec := range specs {
		group.Go(func() error {
			_, err := e.create(groupCtx, o, KindService, spec.Name, func(ctx context.Context) (string, error) {
				created, err := e.api.ServiceCreate(ctx, spec, swarm.ServiceCreateOptions{EncodedRegistryAuth: s.RegistryAuth})
				return created.ID, blame(err)
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return &Deployment{engine: e, owner: o, stack: s, node: ids.node, ended: map[string]Attempt{}}, nil
}

// partIDs are the ids of what services refer to by name.
type partIDs struct {
	networks, secrets, configs map[string]string
	images                     map[string]string
	node                       string // the engine's own
}

// node returns the id of the engine's own node.
func (e *Engine) node(ctx context.Context) (string, error) {
	info, err := e.api.Info(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the engine at %s about itself: %w", e.host, err)
	}
	return info.Swarm.NodeID, nil
}

// createParts creates what services refer to and looks up what must be there
// already, all at once.
func (e *Engine) createParts(ctx context.Context, o Owner, s Stack) (*partIDs, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createsAtOnce)
	networks := make([]string, len(s.Networks))
	external := make([]string, len(s.External))
	secrets := make([]string, len(s.Secrets))
	configs := make([]string, len(s.Configs))
	for i, n := range s.Networks {
		group.Go(func() (err error) { networks[i], err = e.createStackNetwork(ctx, o, s.Name, n); return })
	}
	for i, name := range s.External {
		group.Go(func() (err error) { external[i], err = e.externalNetwork(ctx, name); return })
	}
	for i, spec := range s.Secrets {
		spec.Labels = stackLabels(o, s.Name, spec.Labels)
		group.Go(func() (err error) {
			secrets[i], err = e.create(ctx, o, KindSecret, spec.Name, func(ctx context.Context) (string, error) {
				created, err := e.api.SecretCreate(ctx, spec)
				return created.ID, blame(err)
			})
			return
		})
	}
	for i, spec := range s.Configs {
		spec.Labels = stackLabels(o, s.Name, spec.Labels)
		group.Go(func() (err error) {
			configs[i], err = e.create(ctx, o, KindConfig, spec.Name, func(ctx context.Context) (string, error) {
				created, err := e.api.ConfigCreate(ctx, spec)
				return created.ID, blame(err)
			})
			return
		})
	}
	ids := &partIDs{networks: map[string]string{}, secrets: map[string]string{}, configs: map[string]string{}}
	group.Go(func() (err error) { ids.images, err = e.localImages(ctx, s.Services); return })
	group.Go(func() (err error) { ids.node, err = e.node(ctx); return })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, n := range s.Networks {
		ids.networks[n.Name] = networks[i]
	}
	for i, name := range s.External {
		ids.networks[name] = external[i]
	}
	for i, spec := range s.Secrets {
		ids.secrets[spec.Name] = secrets[i]
	}
	for i, spec := range s.Configs {
		ids.configs[spec.Name] = configs[i]
	}
	return ids, nil
}

// createStackNetwork creates a network of the stack, attachable so that the
// job's sandbox can join it.
func (e *Engine) createStackNetwork(ctx context.Context, o Owner, stack string, n Network) (string, error) {
	options := network.CreateOptions{
		Driver: n.Driver, Scope: "swarm", Attachable: true, Internal: n.Internal,
		Options: n.Options, Labels: stackLabels(o, stack, n.Labels),
	}
	if options.Driver == "" {
		options.Driver = "overlay"
	}
	if len(n.IPAM) > 0 {
		options.IPAM = &network.IPAM{}
		for _, subnet := range n.IPAM {
			options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{Subnet: subnet})
		}
	}
	return e.create(ctx, o, KindNetwork, n.Name, func(ctx context.Context) (string, error) {
		created, err := e.api.NetworkCreate(ctx, n.Name, options)
		return created.ID, blame(err)
	})
}

// externalNetwork returns the id of a swarm network that must exist.
func (e *Engine) externalNetwork(ctx context.Context, name string) (string, error) {
	found, err := e.findNetwork(ctx, name)
	if err != nil {
		return "", err
	}
	if found == nil {
		return "", fmt.Errorf("%w (%w): its external network %q does not exist on %s", ErrBadStack, ErrNoProxy, name, e.host)
	}
	if found.Scope != "swarm" {
		return "", fmt.Errorf("%w: its external network %q is a %s network of this machine only, services need one of the swarm",
			ErrBadStack, name, found.Driver)
	}
	return found.ID, nil
}

// localImages returns, for each image of the services that the engine has, how
// to name it so that no registry is asked: its digest, or its id when it never
// came from a registry.
func (e *Engine) localImages(ctx context.Context, services []swarm.ServiceSpec) (map[string]string, error) {
	images := map[string]string{}
	for _, s := range services {
		c := s.TaskTemplate.ContainerSpec
		if c == nil || images[c.Image] != "" {
			continue
		}
		found, err := e.api.ImageInspect(ctx, c.Image)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("inspect image %s: %w", c.Image, err)
		}
		images[c.Image] = pinned(c.Image, found.ID, found.RepoDigests)
	}
	return images, nil
}

// pinned returns image with the digest under which its own repository gave it,
// or id when there is none.
func pinned(image, id string, digests []string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return id
	}
	if _, ok := named.(reference.Digested); ok {
		return image
	}
	for _, d := range digests {
		other, err := reference.ParseNormalizedNamed(d)
		if err != nil || other.Name() != named.Name() {
			continue
		}
		if digested, ok := other.(reference.Digested); ok {
			if full, err := reference.WithDigest(reference.TagNameOnly(named), digested.Digest()); err == nil {
				return reference.FamiliarString(full)
			}
		}
	}
	return id
}

// stackLabels returns labels as docker stack deploy would set them, with the
// owner's on top.
func stackLabels(o Owner, stack string, labels map[string]string) map[string]string {
	all := o.label(labels)
	all[labelStack] = stack
	return all
}

// fillIn returns the service as the engine wants it: labelled, with ids in
// place of names. The spec given is left as it was.
func fillIn(wanted swarm.ServiceSpec, o Owner, s Stack, ids *partIDs) (swarm.ServiceSpec, error) {
	var spec swarm.ServiceSpec
	text, err := json.Marshal(wanted)
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return spec, fmt.Errorf("copy service %s: %w", wanted.Name, err)
	}
	c := spec.TaskTemplate.ContainerSpec
	if c == nil {
		return spec, fmt.Errorf("%w: service %s has no container", ErrBadStack, spec.Name)
	}
	spec.Labels = stackLabels(o, s.Name, spec.Labels)
	spec.Labels[labelImage] = c.Image
	c.Labels = stackLabels(o, s.Name, c.Labels)
	c.Mounts = o.labelMounts(c.Mounts, map[string]string{labelStack: s.Name})
	if local := ids.images[c.Image]; local != "" {
		c.Image = local
	}
	spec.EndpointSpec = endpoint(spec.EndpointSpec, s.EndpointMode)
	return spec, ids.resolve(&spec)
}

// endpoint puts mode in place of the recipe's. A service that publishes a port
// on every node needs a virtual address, so it keeps that.
func endpoint(spec *swarm.EndpointSpec, mode swarm.ResolutionMode) *swarm.EndpointSpec {
	if spec == nil {
		return &swarm.EndpointSpec{Mode: mode}
	}
	ingress := slices.ContainsFunc(spec.Ports, func(p swarm.PortConfig) bool {
		return p.PublishMode != swarm.PortConfigPublishModeHost
	})
	asked := spec.Mode == swarm.ResolutionModeDNSRR && mode == swarm.ResolutionModeVIP
	if !ingress && !asked {
		spec.Mode = mode
	}
	return spec
}

// resolve replaces the names in the spec's references by ids. A name that is
// not part of the stack is an error: a recipe cannot reach out of its place.
func (ids *partIDs) resolve(spec *swarm.ServiceSpec) error {
	missing := func(kind Kind, name string) error {
		return fmt.Errorf("%w: service %s uses %s %q, which is not part of it", ErrBadStack, spec.Name, kind, name)
	}
	// Engines still read the old place, so nothing may be left there unresolved.
	spec.TaskTemplate.Networks = append(spec.TaskTemplate.Networks, spec.Networks...) //nolint:staticcheck // see above
	spec.Networks = nil                                                               //nolint:staticcheck // see above
	for i, n := range spec.TaskTemplate.Networks {
		id, ok := ids.networks[n.Target]
		if !ok {
			return missing(KindNetwork, n.Target)
		}
		spec.TaskTemplate.Networks[i].Target = id
	}
	for _, ref := range spec.TaskTemplate.ContainerSpec.Secrets {
		id, ok := ids.secrets[ref.SecretName]
		if !ok {
			return missing(KindSecret, ref.SecretName)
		}
		ref.SecretID = id
	}
	for _, ref := range spec.TaskTemplate.ContainerSpec.Configs {
		id, ok := ids.configs[ref.ConfigName]
		if !ok {
			return missing(KindConfig, ref.ConfigName)
		}
		ref.ConfigID = id
	}
	return nil
}

// blame marks the engine's refusal of a request as the stack's fault.
func blame(err error) error {
	if errdefs.IsInvalidArgument(err) || errdefs.IsConflict(err) {
		return fmt.Errorf("%w: %w", ErrBadStack, err)
	}
	return err
}
