package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
)

// LabelLocal marks the proxy network that SetUp made, and says what else came
// with it. Whoever finds it unused may undo it, so that what a killed program
// set up doesn't stay for good.
const LabelLocal = "zone.autonomic.cc-ci.local"

// What LabelLocal says was made: each with all before it.
const (
	madeNetwork = "network"
	madeSwarm   = "swarm"
	// madeBridge is for an engine without gatewayBridge, which the engine makes
	// with its first swarm and keeps when it leaves that.
	madeBridge = "bridge"
)

// An engine goes on using networks for a moment after what used them is gone.
const (
	releaseTimeout = 10 * time.Second
	releaseTick    = 100 * time.Millisecond
)

// SetUp gives an engine what jobs need when it is missing: swarm mode, for this
// machine alone, and the overlay network called proxy. Each is told to say, as
// a sentence, before it is made. An engine that is part of somebody's swarm
// already keeps its membership; the errors are those of Check.
func (e *Engine) SetUp(ctx context.Context, proxy string, say func(string)) error {
	made := madeNetwork
	err := e.Check(ctx, proxy)
	if errors.Is(err, ErrNoSwarm) {
		bridge, lookErr := e.findNetwork(ctx, gatewayBridge)
		if lookErr != nil {
			return lookErr
		}
		say("The engine is not in swarm mode: turning that on, for this machine alone, until the end.")
		// On loopback no other machine can join, or see that there is a swarm.
		if _, err := e.api.SwarmInit(ctx, swarm.InitRequest{ListenAddr: "127.0.0.1", AdvertiseAddr: "127.0.0.1"}); err != nil {
			return fmt.Errorf("turn swarm mode on: %w", err)
		}
		made = madeSwarm
		if bridge == nil {
			made = madeBridge
		}
		err = e.Check(ctx, proxy)
	}
	if !errors.Is(err, ErrNoProxy) {
		return err
	}
	say(fmt.Sprintf("There is no network %q: making it, until the end.", proxy))
	_, err = e.api.NetworkCreate(ctx, proxy, network.CreateOptions{
		Driver: "overlay", Scope: "swarm", Labels: map[string]string{LabelLocal: made},
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("make the network %s: %w", proxy, err)
	if made != madeNetwork { // nothing would tell later that the swarm is ours
		err = errors.Join(err, e.api.SwarmLeave(context.WithoutCancel(ctx), true))
	}
	return err
}

// Undo removes what SetUp made, in this life or an earlier one, unless
// something uses it: then it does nothing. The caller makes sure that nobody is
// about to use it.
func (e *Engine) Undo(ctx context.Context, proxy string, say func(string)) error {
	found, err := e.findNetwork(ctx, proxy)
	if err != nil || found == nil || found.Labels[LabelLocal] == "" {
		return err
	}
	services, err := e.api.ServiceList(ctx, swarm.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	for _, service := range services {
		if joins(service.Spec, found.ID, proxy) {
			return nil
		}
	}
	say(fmt.Sprintf("Removing the network %q, which was made for this.", proxy))
	if err := e.removeReleased(ctx, found.ID); err != nil {
		return err
	}
	made := found.Labels[LabelLocal]
	if made == madeNetwork {
		return nil
	}
	used, err := e.swarmUsed(ctx)
	if err != nil || used || len(services) > 0 {
		return err
	}
	say("Turning swarm mode off again.")
	if err := e.api.SwarmLeave(ctx, true); err != nil {
		return fmt.Errorf("turn swarm mode off: %w", err)
	}
	if made == madeBridge {
		return e.removeReleased(ctx, gatewayBridge)
	}
	return nil
}

// removeReleased removes a network as soon as the engine lets go of it, and
// returns when it is gone: the engine lists networks of the swarm a moment
// longer than they exist, and has several words for either state.
func (e *Engine) removeReleased(ctx context.Context, id string) error {
	ctx, stop := context.WithTimeout(ctx, releaseTimeout)
	defer stop()
	tick := time.NewTicker(releaseTick)
	defer tick.Stop()
	for {
		networks, err := e.api.NetworkList(ctx, network.ListOptions{})
		if err != nil {
			return fmt.Errorf("list networks: %w", err)
		}
		if !slices.ContainsFunc(networks, func(n network.Summary) bool { return n.ID == id || n.Name == id }) {
			return nil
		}
		err = e.api.NetworkRemove(ctx, id)
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove the network %s: it is still there after %s (%w)", id, releaseTimeout, err)
		case <-tick.C:
		}
	}
}

// swarmUsed tells whether the swarm holds anything that leaving it would lose.
func (e *Engine) swarmUsed(ctx context.Context) (bool, error) {
	networks, err := e.api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks {
		if n.Scope == "swarm" && !n.Ingress {
			return true, nil
		}
	}
	secrets, err := e.api.SecretList(ctx, swarm.SecretListOptions{})
	if err != nil {
		return false, fmt.Errorf("list secrets: %w", err)
	}
	configs, err := e.api.ConfigList(ctx, swarm.ConfigListOptions{})
	if err != nil {
		return false, fmt.Errorf("list configs: %w", err)
	}
	nodes, err := e.api.NodeList(ctx, swarm.NodeListOptions{})
	if err != nil {
		return false, fmt.Errorf("list nodes: %w", err)
	}
	return len(secrets)+len(configs) > 0 || len(nodes) > 1, nil
}

// HasTraefik tells whether a Traefik serves the network called proxy: a service
// on it, made from an image called traefik, that publishes a port.
func (e *Engine) HasTraefik(ctx context.Context, proxy string) (bool, error) {
	found, err := e.findNetwork(ctx, proxy)
	if err != nil || found == nil {
		return false, err
	}
	services, err := e.api.ServiceList(ctx, swarm.ServiceListOptions{})
	if err != nil {
		return false, fmt.Errorf("list services: %w", err)
	}
	for _, s := range services {
		if len(s.Endpoint.Ports) > 0 && joins(s.Spec, found.ID, proxy) && isTraefik(s.Spec) {
			return true, nil
		}
	}
	return false, nil
}

func joins(spec swarm.ServiceSpec, id, name string) bool {
	for _, n := range spec.TaskTemplate.Networks {
		if n.Target == id || n.Target == name {
			return true
		}
	}
	return false
}

func isTraefik(spec swarm.ServiceSpec) bool {
	if spec.TaskTemplate.ContainerSpec == nil {
		return false
	}
	image := spec.TaskTemplate.ContainerSpec.Image
	// Swarm pins images that are only on this engine by a bare id; the label of
	// docker stack deploy still has the name.
	if name := spec.Labels[labelImage]; name != "" {
		image = name
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	path := reference.Path(named)
	return path[strings.LastIndexByte(path, '/')+1:] == "traefik"
}
