package swarm

import (
	"time"

	"github.com/docker/docker/api/types/swarm"
)

// Owner says whose an object is. It goes onto every object as labels.
type Owner struct {
	// Runner is the id of the runner: clean-up touches only objects of its own
	// runner. A daemon uses its registered UUID, cc-ci run one of its own.
	Runner string
	// Task is the task's id as Gitea gave it, or "local".
	Task string
	// Slug is the job's short name, unique on this engine: "hell-k3x9q2".
	Slug string
	// Expires is the hard bound of the job's life. It never changes.
	Expires time.Time
}

// Stack is an app resolved to Docker's API types: what Deploy creates.
// References between its parts are by name; Deploy fills in the ids.
type Stack struct {
	// Name is STACK_NAME: the prefix of every object.
	Name string
	// Networks are created, attachable, before the services.
	Networks []Network
	// External are networks that must be there already ("proxy").
	External []string
	Secrets  []swarm.SecretSpec
	Configs  []swarm.ConfigSpec
	// Services carry full names; their volumes are mounts whose VolumeOptions
	// Deploy labels. Placement, endpoint mode and registry digests are as the
	// recipe says; Deploy overrides the endpoint mode (see Engine.EndpointMode).
	Services []swarm.ServiceSpec
	// RegistryAuth is the encoded X-Registry-Auth for pulls, or "".
	RegistryAuth string
}

// Network is one overlay network of a stack.
type Network struct {
	Name     string
	Driver   string // "" is overlay
	Internal bool
	Options  map[string]string
	Labels   map[string]string
	IPAM     []string // subnets in CIDR notation, usually none
}
