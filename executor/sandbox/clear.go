package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// cleared is where the folder is while Clear empties it.
const cleared = inside.Root + "/cleared"

// Clear empties a folder of this host in which the steps of a dead job, being
// root, made files that this user may not remove. It takes a container of the
// owner's for that, without a network, of any image the engine has: what runs in
// it is the binary ("" for this program), which must be static.
func Clear(ctx context.Context, engine *swarm.Engine, owner swarm.Owner, binary, folder string) (err error) {
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return fmt.Errorf("find the cc-ci program: %w", err)
		}
	}
	if err := static(binary); err != nil {
		return err
	}
	images, err := engine.Client().ImageList(ctx, image.ListOptions{})
	if err != nil {
		return fmt.Errorf("look for an image: %w", err)
	}
	if len(images) == 0 {
		return errors.New("the engine has no image to make a container of")
	}
	config := &container.Config{
		Image: images[0].ID, User: "0:0", WorkingDir: "/",
		Entrypoint: []string{inside.Binary, "sandbox", "clean", cleared}, Cmd: []string{},
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	host := &container.HostConfig{
		NetworkMode: "none",
		Mounts: []mount.Mount{
			{Type: mount.TypeBind, Source: binary, Target: inside.Binary, ReadOnly: true},
			{Type: mount.TypeBind, Source: folder, Target: cleared},
		},
		LogConfig: container.LogConfig{Type: "json-file"},
	}
	id, err := engine.CreateContainer(ctx, owner, owner.Slug+"-clear", config, host, nil)
	if err != nil {
		return err
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoBound)
		defer cancel()
		err = errors.Join(err, remove(undo, engine, owner, id, ""))
	}()
	return (&Sandbox{engine: engine, container: id}).runToEnd(ctx)
}

// runToEnd starts a container whose first process is a program that ends, and
// waits for that.
func (s *Sandbox) runToEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanBound)
	defer cancel()
	api := s.engine.Client()
	ended, failed := api.ContainerWait(ctx, s.container, container.WaitConditionNextExit)
	if err := api.ContainerStart(ctx, s.container, container.StartOptions{}); err != nil {
		return fmt.Errorf("start the container: %w", err)
	}
	select {
	case end := <-ended:
		if end.StatusCode != 0 {
			return fmt.Errorf("exit code %d: %s", end.StatusCode, strings.TrimSpace(s.lastWords(ctx)))
		}
		return nil
	case err := <-failed:
		return fmt.Errorf("wait for the container: %w", err)
	}
}
