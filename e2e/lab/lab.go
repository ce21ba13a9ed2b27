package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
)

// Options says what of the lab to bring up. The engine always is.
type Options struct {
	Traefik bool
	Gitea   bool

	// Plain leaves the engine as it comes, without swarm mode and the proxy
	// network; Traefik then can't be.
	Plain bool

	// Progress is told of long work.
	Progress *supply.Progress
}

// ParseParts reads a list of parts as in CC_CI_LAB_PARTS: engine, traefik and
// gitea, with commas between, or plain alone, an engine that nothing was done to.
// An empty list means all.
func ParseParts(list string) (Options, error) {
	if list == "" {
		return Options{Traefik: true, Gitea: true}, nil
	}
	if list == "plain" {
		return Options{Plain: true}, nil
	}
	parts := strings.Split(list, ",")
	for _, p := range parts {
		if !slices.Contains([]string{"engine", "traefik", "gitea"}, p) {
			return Options{}, fmt.Errorf("no part %q of the lab; there are engine, traefik and gitea, and plain alone", p)
		}
	}
	return Options{Traefik: slices.Contains(parts, "traefik"), Gitea: slices.Contains(parts, "gitea")}, nil
}

// Facts describes a lab to the programs that run in it.
type Facts struct {
	// DockerHost is the engine's address, as in the variable DOCKER_HOST.
	DockerHost string

	// Proxy is the name of the overlay network that Traefik serves; empty with
	// a plain engine.
	Proxy string

	// Address is the lab's own address, at which both its programs and its
	// containers reach Gitea and Traefik.
	Address string

	Traefik *TraefikFacts // nil without that part
	Gitea   *GiteaFacts   // nil without that part
}

// Lab is a lab that is up.
type Lab struct {
	Place
	Facts

	docker  *client.Client
	dockerd *process
	gitea   *process
}

// goods is what Prepare has made and Up uses.
type goods struct {
	Images     []supply.Image
	Gitea      string // the program
	GiteaRoot  string // its module's folder
	GiteaPages string
	Runner     string // the official runner, for comparison
}

func (p Place) goodsFile() string { return filepath.Join(p.State, "goods.json") }
func (p Place) factsFile() string { return filepath.Join(p.State, "lab.json") }

// Prepare makes what Up will need and is not there yet: programs, pages,
// images. It uses the network, and so runs outside the capsule. The place must
// be locked.
func (p Place) Prepare(ctx context.Context, o Options) error {
	s := &supply.Supply{Repo: p.Repo, Cache: p.Cache(), Progress: o.Progress}
	var g goods
	var hello []supply.Image
	var job, traefik supply.Image
	// Two lines of work, for most of either keeps one core busy at a time.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if hello, err = s.HelloImages(ctx); err != nil {
			return err
		}
		if o.Gitea {
			if g.Gitea, g.GiteaRoot, err = s.GiteaProgram(ctx); err != nil {
				return err
			}
			if g.Runner, err = s.Tool(ctx, supply.OfficialRunner); err != nil {
				return err
			}
		}
		if o.Traefik {
			traefik, err = s.TraefikImage(ctx)
		}
		return err
	})
	group.Go(func() (err error) {
		if job, err = s.JobImage(ctx); err != nil {
			return err
		}
		if o.Gitea {
			g.GiteaPages, err = s.GiteaPages(ctx)
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	g.Images = append(g.Images, job)
	g.Images = append(g.Images, hello...)
	if o.Traefik {
		g.Images = append(g.Images, traefik)
	}
	return writeJSON(p.goodsFile(), g)
}

// Up brings the lab up. It must run inside the capsule. What it has started
// before an error is taken down again.
func (p Place) Up(ctx context.Context, o Options) (*Lab, error) {
	if err := os.RemoveAll(p.factsFile()); err != nil {
		return nil, err
	}
	var g goods
	if err := readJSON(p.goodsFile(), &g); err != nil {
		return nil, err
	}
	l := &Lab{Place: p, Facts: Facts{Address: capsule.Address}}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := o.Progress.Do("starting the engine", func() error { return l.engineUp(gctx, o.Plain) }); err != nil {
			return fmt.Errorf("start the engine: %w", err)
		}
		for _, img := range g.Images {
			if err := Import(gctx, l.docker, img, o.Progress); err != nil {
				return err
			}
		}
		if o.Traefik {
			return o.Progress.Do("starting Traefik", func() error { return l.traefikUp(gctx) })
		}
		return nil
	})
	if o.Gitea {
		group.Go(func() error {
			return o.Progress.Do("starting Gitea", func() error { return l.giteaUp(gctx, g) })
		})
	}
	err := group.Wait()
	if err == nil {
		err = writeJSON(p.factsFile(), l.Facts)
	}
	if err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

// Down takes the lab down. What it does not manage to end ends with the
// capsule.
func (l *Lab) Down() error {
	if l.gitea != nil {
		l.gitea.kill()
	}
	l.engineDown()
	return os.RemoveAll(l.factsFile())
}

// Environ is the environment for programs that run in the lab.
func (l *Lab) Environ() []string {
	return append(capsule.Environ(), "CC_CI_LAB="+l.State, "DOCKER_HOST="+l.Facts.DockerHost)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
