package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"golang.org/x/sync/errgroup"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

const (
	// readyBound is how long the first process may take from the container's start
	// to listening; it takes some 20 ms on an idle machine.
	readyBound = 30 * time.Second
	// readyLook is how often it is looked for, deathLook how often the container's
	// state is asked for meanwhile.
	readyLook = 2 * time.Millisecond
	deathLook = 200 * time.Millisecond
	// undoBound is how long the removal of a sandbox that didn't start may take.
	undoBound = 30 * time.Second
)

// Start makes a sandbox and returns when commands can be run in it. Its container
// and its bridge are named after the owner's slug and carry the owner's labels.
// An image that isn't there is a *MissingImageError, a first process that ends at
// once a *DiedError. Nothing is left of a sandbox that didn't start, except what
// the engine was still making when ctx ended: that goes with the owner's teardown.
func Start(ctx context.Context, engine *swarm.Engine, owner swarm.Owner, spec Spec) (*Sandbox, error) {
	spec, err := spec.complete()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{engine: engine, owner: owner, spec: spec}
	s.shared, _ = spec.binds()
	if err := s.start(ctx); err != nil {
		// The caller's context may be the reason.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoBound)
		defer cancel()
		return nil, errors.Join(err, remove(undo, engine, owner, s.container, s.bridge))
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context) error {
	if err := os.Remove(s.socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an earlier sandbox's socket: %w", err)
	}
	name := s.owner.Slug + "-sandbox"
	if err := s.prepare(ctx, name); err != nil {
		return err
	}
	var err error
	config, host := s.config()
	host.NetworkMode = container.NetworkMode(s.bridge)
	if s.container, err = s.engine.CreateContainer(ctx, s.owner, name, config, host, nil); err != nil {
		return err
	}
	api := s.engine.Client()
	if err := api.ContainerStart(ctx, s.container, container.StartOptions{}); err != nil {
		return fmt.Errorf("start the sandbox from the image %s: %w", s.spec.Image, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	state, err := api.ContainerInspect(ctx, s.container)
	if err != nil {
		return fmt.Errorf("ask for the sandbox's address: %w", err)
	}
	for _, endpoint := range state.NetworkSettings.Networks {
		s.address = endpoint.IPAddress
	}
	return nil
}

// prepare makes the bridge and reads the image at the same time.
func (s *Sandbox) prepare(ctx context.Context, name string) error {
	// Not the group's context: a network must not be given up half made because
	// the image is missing.
	var both errgroup.Group
	both.Go(func() (err error) {
		s.bridge, err = s.engine.CreateNetwork(ctx, s.owner, name)
		return err
	})
	both.Go(func() error {
		image, err := s.engine.Client().ImageInspect(ctx, s.spec.Image)
		switch {
		case cerrdefs.IsNotFound(err):
			return &MissingImageError{Image: s.spec.Image}
		case err != nil:
			return fmt.Errorf("look for the image %s: %w", s.spec.Image, err)
		case image.Config != nil:
			s.imageEnv = toMap(image.Config.Env)
		default:
			s.imageEnv = map[string]string{}
		}
		return nil
	})
	return both.Wait()
}

// config is the container in the engine's words.
func (s *Sandbox) config() (*container.Config, *container.HostConfig) {
	env := maps.Clone(s.spec.Env)
	if s.spec.Router != "" {
		if env == nil {
			env = map[string]string{}
		}
		env[inside.RouterVariable] = s.spec.Router
	}
	config := &container.Config{
		Image:       s.spec.Image,
		Hostname:    s.owner.Slug,
		User:        "0:0",
		Env:         entries(env, "="),
		Entrypoint:  []string{inside.Binary, "sandbox"},
		Cmd:         []string{},
		WorkingDir:  s.spec.WorkspacePath,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	pids := s.spec.Pids
	host := &container.HostConfig{
		Mounts:        s.mounts(),
		CapDrop:       []string{"NET_RAW", "MKNOD"},
		ExtraHosts:    entries(s.spec.ExtraHosts, ":"),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		ShmSize:       sharedMemory,
		// A driver whose log can be read back, whatever the engine's default is.
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
		Resources: container.Resources{
			Memory:     s.spec.Memory,
			MemorySwap: s.spec.Memory, // no swap on top
			NanoCPUs:   int64(s.spec.CPUs * 1e9),
			PidsLimit:  &pids,
		},
	}
	return config, host
}

func (s *Sandbox) mounts() []mount.Mount {
	shared, own := s.spec.binds()
	var mounts []mount.Mount
	for _, b := range slices.Concat(shared, own) {
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeBind, Source: b.host, Target: b.container, ReadOnly: b.readOnly,
		})
	}
	return mounts
}

// entries joins names and values, sorted.
func entries(values map[string]string, by string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+by+values[name])
	}
	return list
}

func (s *Sandbox) socket() string { return filepath.Join(s.spec.RunDir, inside.Socket) }

// awaitReady waits until the first process listens.
func (s *Sandbox) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyBound, errors.New("the sandbox's first process doesn't listen: does the engine run on this machine, so that it sees "+s.spec.RunDir+"?"))
	defer cancel()
	look, death := time.NewTicker(readyLook), time.NewTicker(deathLook)
	defer look.Stop()
	defer death.Stop()
	for {
		conn, err := s.dial(ctx)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-look.C:
			// Not there, or bound but not listening yet: anything else stays so.
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
				return err
			}
		case <-death.C:
			if died := s.died(ctx); died != nil {
				return died
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// died says how the container ended; nil while it runs or when the engine doesn't
// tell.
func (s *Sandbox) died(ctx context.Context) error {
	found, err := s.engine.Client().ContainerInspect(ctx, s.container)
	if cerrdefs.IsNotFound(err) {
		return ErrRemoved
	}
	if err != nil || found.State == nil || found.State.Running {
		return nil
	}
	return &DiedError{
		Code: found.State.ExitCode, OOM: found.State.OOMKilled, Reason: found.State.Error,
		Log: strings.TrimRight(s.lastWords(ctx), "\n"),
	}
}
