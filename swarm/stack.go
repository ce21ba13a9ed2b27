package swarm

import "github.com/docker/docker/api/types/swarm"

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
	// Deploy labels. Placement and registry digests are as the recipe says.
	Services []swarm.ServiceSpec
	// EndpointMode is what Engine.EndpointMode made of the runner's setting;
	// "" is the same as for "auto". Deploy puts it in place of the recipe's.
	EndpointMode swarm.ResolutionMode
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
