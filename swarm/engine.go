package swarm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/client"
)

// What Open and Check may find wrong with an engine. The errors returned wrap
// one of these and say in their text what to do about it.
var (
	// ErrUnreachable: nothing answers as a Docker engine at the address.
	ErrUnreachable = errors.New("no Docker engine answers")
	// ErrNoSwarm: the engine answers, but is not in swarm mode.
	ErrNoSwarm = errors.New("the engine is not in swarm mode")
	// ErrNotManager: the engine is a worker of its swarm, or its swarm is locked.
	ErrNotManager = errors.New("the engine cannot manage its swarm")
	// ErrNoProxy: the network that Traefik serves is missing.
	ErrNoProxy = errors.New("the proxy network is missing")
	// ErrWrongProxy: the network that Traefik serves is of the wrong kind.
	ErrWrongProxy = errors.New("the proxy network is not a swarm overlay")
)

// pingTimeout bounds the first word with an engine. A local socket answers in
// milliseconds; a wrong address should not hold a start for long.
const pingTimeout = 10 * time.Second

// An Engine is a connection to one Docker engine that manages a swarm. Its
// methods may be called from several goroutines.
type Engine struct {
	api  *client.Client
	host string

	mu      sync.Mutex
	ledgers map[ownerKey]*ledger
}

// Open connects to the engine at host, for example
// "unix:///var/run/docker.sock"; "" means what DOCKER_HOST says, or the
// system's own socket. It fails with ErrUnreachable when nothing answers there
// within ten seconds.
func Open(ctx context.Context, host string) (*Engine, error) {
	options := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		options = append(options, client.WithHost(host))
	}
	api, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, fmt.Errorf("read the Docker engine's address %q: %w", host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if _, err := api.Ping(ctx); err != nil {
		api.Close()
		return nil, fmt.Errorf("%w at %s: is it running, and may user %d use its socket? (%w)",
			ErrUnreachable, api.DaemonHost(), os.Getuid(), err)
	}
	return &Engine{api: api, host: api.DaemonHost(), ledgers: map[ownerKey]*ledger{}}, nil
}

// Client returns the connection for reading and for starting, stopping and
// attaching to what exists. Objects are created through Engine's own methods
// only, since those label them.
func (e *Engine) Client() *client.Client { return e.api }

// Host returns the engine's address.
func (e *Engine) Host() string { return e.host }

// Close drops idle connections. It does not touch any object.
func (e *Engine) Close() error { return e.api.Close() }

// Check tells whether jobs can be deployed on the engine: it manages a swarm
// and the network called proxy is an overlay of that swarm. With proxy "" the
// network is not looked at. The error wraps ErrNoSwarm, ErrNotManager,
// ErrNoProxy or ErrWrongProxy, or is the engine's own when it does not answer.
func (e *Engine) Check(ctx context.Context, proxy string) error {
	info, err := e.api.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine at %s about itself: %w", e.host, err)
	}
	switch state := info.Swarm.LocalNodeState; {
	case state == swarm.LocalNodeStateInactive || state == "":
		return fmt.Errorf("%w: run `docker swarm init` on %s", ErrNoSwarm, e.host)
	case state == swarm.LocalNodeStateLocked:
		return fmt.Errorf("%w: it is locked, run `docker swarm unlock` on %s", ErrNotManager, e.host)
	case state != swarm.LocalNodeStateActive:
		return fmt.Errorf("%w: its node is %s (%s), see `docker info` on %s",
			ErrNotManager, state, info.Swarm.Error, e.host)
	case !info.Swarm.ControlAvailable:
		return fmt.Errorf("%w: %s is a worker, name a manager instead or run `docker node promote` on one",
			ErrNotManager, e.host)
	}
	if proxy == "" {
		return nil
	}
	found, err := e.findNetwork(ctx, proxy)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("%w: run `docker network create --driver overlay --scope swarm %s` on %s, and deploy Traefik to it",
			ErrNoProxy, proxy, e.host)
	}
	if found.Driver != "overlay" || found.Scope != "swarm" {
		return fmt.Errorf("%w: %q is a %s network of scope %s, so services cannot join it; "+
			"remove it and run `docker network create --driver overlay --scope swarm %s`",
			ErrWrongProxy, proxy, found.Driver, found.Scope, proxy)
	}
	return nil
}

// findNetwork returns the network of exactly this name, or nil when there is
// none. The engine's own name filter matches parts of names too.
func (e *Engine) findNetwork(ctx context.Context, name string) (*network.Summary, error) {
	networks, err := e.api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for i := range networks {
		if networks[i].Name == name {
			return &networks[i], nil
		}
	}
	return nil, nil
}

// EndpointMode reads the setting "vip", "dnsrr" or "auto" (or ""). Auto is a
// virtual address where the kernel can balance one (IPVS), and round robin in
// names where it cannot: there a service with a virtual address starts and
// resolves, but connections to it hang. The engine is taken to run on this
// machine's kernel.
func (e *Engine) EndpointMode(setting string) swarm.ResolutionMode {
	switch setting {
	case "vip":
		return swarm.ResolutionModeVIP
	case "dnsrr":
		return swarm.ResolutionModeDNSRR
	}
	for _, sign := range []string{"/proc/net/ip_vs", "/proc/sys/net/ipv4/vs"} {
		if _, err := os.Stat(sign); err == nil {
			return swarm.ResolutionModeVIP
		}
	}
	return swarm.ResolutionModeDNSRR
}
