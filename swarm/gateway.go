package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
)

// ErrNoGateway says that tasks have no address that this host can reach. The error
// returned says why and what to do.
var ErrNoGateway = errors.New("this host can't reach the tasks of its engine")

// gatewayBridge is the bridge of each swarm node on which every task with an
// overlay network has a second address: its way out, and the host's way in.
const gatewayBridge = "docker_gwbridge"

// An engine makes gatewayBridge a few seconds after it has joined a swarm.
const (
	bridgeTimeout = 20 * time.Second
	bridgeTick    = 100 * time.Millisecond
)

// CheckGateway tells whether GatewayAddress can work: the engine runs on this
// very host and has the bridge for it, which it waits for. The error wraps
// ErrNoGateway, or is the engine's own.
func (e *Engine) CheckGateway(ctx context.Context) error {
	info, err := e.api.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine at %s about itself: %w", e.host, err)
	}
	if info.OperatingSystem == "Docker Desktop" {
		return fmt.Errorf("%w: Docker Desktop keeps them in a virtual machine of its own; "+
			"use an engine that runs on Linux itself, or run Traefik on the proxy network", ErrNoGateway)
	}
	bridge, err := e.awaitBridge(ctx)
	if err != nil {
		return err
	}
	here, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list this host's addresses: %w", err)
	}
	for _, pool := range bridge.IPAM.Config {
		for _, address := range here {
			if ip, ok := address.(*net.IPNet); ok && ip.IP.String() == pool.Gateway {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: the bridge %s of the engine at %s is not on this machine (in a virtual machine, another "+
		"network namespace or another host); use an engine of this machine, or run Traefik on the proxy network",
		ErrNoGateway, gatewayBridge, e.host)
}

// GatewayAddress returns the address on this host's side at which a running
// task of service, by its full name, can be reached. It fails when none runs on
// this node.
func (e *Engine) GatewayAddress(ctx context.Context, service string) (netip.Addr, error) {
	tasks, err := e.api.TaskList(ctx, swarm.TaskListOptions{Filters: filters.NewArgs(
		filters.Arg("service", service), filters.Arg("desired-state", "running"))})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the tasks of %s: %w", service, err)
	}
	bridge, err := e.inspectBridge(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, task := range tasks {
		if task.Status.State != swarm.TaskStateRunning || task.Status.ContainerStatus == nil {
			continue
		}
		endpoint, ok := bridge.Containers[task.Status.ContainerStatus.ContainerID]
		if !ok {
			continue
		}
		if prefix, err := netip.ParsePrefix(endpoint.IPv4Address); err == nil {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: none of the %d tasks of %s runs on this node with a network that leads out",
		ErrNoGateway, len(tasks), service)
}

func (e *Engine) awaitBridge(ctx context.Context) (network.Inspect, error) {
	ctx, stop := context.WithTimeout(ctx, bridgeTimeout)
	defer stop()
	tick := time.NewTicker(bridgeTick)
	defer tick.Stop()
	for {
		bridge, err := e.inspectBridge(ctx)
		if !errdefs.IsNotFound(err) {
			return bridge, err
		}
		select {
		case <-ctx.Done():
			return bridge, err
		case <-tick.C:
		}
	}
}

func (e *Engine) inspectBridge(ctx context.Context) (network.Inspect, error) {
	bridge, err := e.api.NetworkInspect(ctx, gatewayBridge, network.InspectOptions{})
	if err != nil {
		return network.Inspect{}, fmt.Errorf("%w: look at the bridge %s: %w", ErrNoGateway, gatewayBridge, err)
	}
	return bridge, nil
}
