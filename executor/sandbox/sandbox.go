package sandbox

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/network"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// enginePath is the PATH of an image that sets none, as engines have it.
const enginePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// cleanBound is how long the removal of root's files may take.
const cleanBound = 30 * time.Second

// Sandbox is a running container in which a job's steps run. Its methods may be
// called from several goroutines.
type Sandbox struct {
	engine *swarm.Engine
	owner  swarm.Owner
	spec   Spec
	shared []bind

	container string // id
	bridge    string // id
	address   string
	imageEnv  map[string]string

	closing atomic.Bool
	closed  sync.Mutex // held while closing
	gone    bool
}

// ID is the container's id.
func (s *Sandbox) ID() string { return s.container }

// IP is the container's address on its own bridge.
func (s *Sandbox) IP() string { return s.address }

// DefaultPath is the image's PATH, and the folder of cc-ci after it.
func (s *Sandbox) DefaultPath() string {
	path := s.imageEnv["PATH"]
	if path == "" {
		path = enginePath
	}
	return path + ":" + inside.Root
}

// ImageEnv is the environment that the image sets, and HOME if it doesn't: a step
// starts from it. The map is the caller's.
func (s *Sandbox) ImageEnv() map[string]string {
	env := maps.Clone(s.imageEnv)
	if env["HOME"] == "" {
		env["HOME"] = "/root"
	}
	return env
}

// Env is what every step's environment should have besides: Spec.Env, and the
// variables by which programs find certificate authorities if there is a CAFile.
// The map is the caller's.
func (s *Sandbox) Env() map[string]string {
	env := map[string]string{}
	if s.spec.CAFile != "" {
		// These name a bundle that replaces the system's.
		for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"} {
			env[name] = inside.Bundle
		}
		// These name authorities to add to the program's own.
		for _, name := range []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"} {
			env[name] = inside.CA
		}
	}
	maps.Copy(env, s.spec.Env)
	return env
}

// Connect joins the container to networks, by id or name: the app's, which must be
// attachable and gone only after Close.
func (s *Sandbox) Connect(ctx context.Context, networks ...string) error {
	// One after another: the engine would not do it faster at once.
	for _, id := range networks {
		if err := s.engine.Client().NetworkConnect(ctx, id, s.container, &network.EndpointSettings{}); err != nil {
			return fmt.Errorf("join the sandbox to the network %s: %w", id, err)
		}
	}
	return nil
}

// Close kills the container and removes it with its volumes, then its bridge. What
// root left in the shared folders is removed first if the host's user could not.
// Commands that run end with ErrClosed. It may be called again, also after it has
// failed, and then does what is left to do.
func (s *Sandbox) Close(ctx context.Context) error {
	s.closed.Lock()
	defer s.closed.Unlock()
	if s.gone {
		return nil
	}
	if os.Geteuid() != 0 && !s.closing.Load() {
		// Without it the host's removal fails, and says so with the file's name.
		_ = s.clean(ctx)
	}
	s.closing.Store(true)
	if err := remove(ctx, s.engine, s.owner, s.container, s.bridge); err != nil {
		return err
	}
	s.gone = true
	return nil
}

// clean empties the folders in which steps, being root, made files.
func (s *Sandbox) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanBound)
	defer cancel()
	return s.Exec(ctx, process.Command{
		Argv: []string{inside.Binary, "sandbox", "clean", s.spec.WorkspacePath, ActPath},
	})
}

// remove takes down what Start made, as far as it came; "" is what it didn't make.
func remove(ctx context.Context, engine *swarm.Engine, owner swarm.Owner, container, bridge string) error {
	if container != "" {
		if err := engine.RemoveContainer(ctx, owner, container); err != nil {
			return fmt.Errorf("take the sandbox down: %w", err)
		}
	}
	if bridge != "" {
		if err := engine.RemoveNetwork(ctx, bridge); err != nil {
			return fmt.Errorf("remove the sandbox's network: %w", err)
		}
	}
	return nil
}

// toMap reads an environment of KEY=value entries.
func toMap(entries []string) map[string]string {
	env := make(map[string]string, len(entries))
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
