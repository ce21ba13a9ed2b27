package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// engineUp starts a container engine, clears what an earlier run has left in
// its data but the images, and makes it a swarm with the proxy network unless
// it is to be plain.
func (l *Lab) engineUp(ctx context.Context, plain bool) error {
	data := filepath.Join(l.State, "docker")
	// A swarm that was not left comes back with all its services; networks
	// come back with addresses that the namespace doesn't have.
	for _, stale := range []string{"swarm", "network"} {
		if err := os.RemoveAll(filepath.Join(data, stale)); err != nil {
			return err
		}
	}
	// An empty configuration, lest the machine's own is read.
	config := filepath.Join(l.Run, "docker.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o644); err != nil {
		return err
	}
	socket := filepath.Join(l.Run, "docker.sock")
	p, err := l.start("dockerd", nil, "dockerd",
		"--data-root="+data, "--exec-root="+filepath.Join(l.Run, "exec"), "--pidfile="+filepath.Join(l.Run, "docker.pid"),
		"--host=unix://"+socket, "--config-file="+config,
		// The engine's own group, so that nothing is mixed with the machine's.
		"--cgroup-parent=/"+filepath.Base(l.Run), "--exec-opt=native.cgroupdriver=cgroupfs",
		"--bip=172.19.0.1/24", "--default-address-pool=base=172.20.0.0/14,size=24")
	if err != nil {
		return err
	}
	l.dockerd = p
	l.Facts.DockerHost = "unix://" + socket
	if l.docker, err = client.NewClientWithOpts(client.WithHost(l.Facts.DockerHost), client.WithAPIVersionNegotiation()); err != nil {
		return err
	}
	err = p.await(ctx, time.Minute, func(ctx context.Context) error {
		_, err := l.docker.Ping(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := l.clear(ctx); err != nil {
		return fmt.Errorf("clear the engine of an earlier run: %w", err)
	}
	if plain {
		return nil
	}
	return l.swarmUp(ctx)
}

func (l *Lab) swarmUp(ctx context.Context) error {
	l.Facts.Proxy = "proxy"
	_, err := l.docker.SwarmInit(ctx, swarm.InitRequest{
		ListenAddr: "127.0.0.1:2377", AdvertiseAddr: "127.0.0.1",
		DefaultAddrPool: []string{"10.128.0.0/12"}, SubnetSize: 24,
	})
	if err != nil {
		return fmt.Errorf("make the engine a swarm: %w", err)
	}
	_, err = l.docker.NetworkCreate(ctx, l.Facts.Proxy, network.CreateOptions{Driver: "overlay", Attachable: true})
	if err != nil {
		return fmt.Errorf("make the network %s: %w", l.Facts.Proxy, err)
	}
	return nil
}

// clear removes all services, containers and volumes.
func (l *Lab) clear(ctx context.Context) error {
	var errs []error
	if services, err := l.docker.ServiceList(ctx, swarm.ServiceListOptions{}); err == nil {
		for _, s := range services {
			errs = append(errs, l.docker.ServiceRemove(ctx, s.ID))
		}
	} // else it is no swarm
	containers, err := l.docker.ContainerList(ctx, container.ListOptions{All: true})
	errs = append(errs, err)
	for _, c := range containers {
		err := l.docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	volumes, err := l.docker.VolumeList(ctx, volume.ListOptions{})
	errs = append(errs, err)
	for _, v := range volumes.Volumes {
		errs = append(errs, l.docker.VolumeRemove(ctx, v.Name, true))
	}
	return errors.Join(errs...)
}

// engineDown empties the engine, so that it ends at once and its data is whole
// for the next run, and ends it.
func (l *Lab) engineDown() {
	if l.dockerd == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if l.docker != nil {
		_ = l.clear(ctx) // what is left dies with the capsule and goes at the next start
		_ = l.docker.Close()
	}
	l.dockerd.stop(10 * time.Second)
}
