package swarm_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// testImage is the image of testdata/app; volumeImage is the same with a
// VOLUME of its own.
const (
	testImage   = "cc-ci-lab/swarm-app:1"
	volumeImage = "cc-ci-lab/swarm-volume:1"
	testRunner  = "test-runner"
)

// lab opens the engine under test and makes sure of the test images.
func lab(t *testing.T) *swarm.Engine {
	t.Helper()
	engine, err := swarm.Open(t.Context(), dockerHost(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	if err := makeImages(engine); err != nil {
		t.Fatal(err)
	}
	return engine
}

// dockerHost is the address of the engine under test.
func dockerHost(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs an engine")
	}
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		t.Fatal("DOCKER_HOST is not set: run this through make test")
	}
	return host
}

var (
	imagesOnce sync.Once
	imagesErr  error
)

func makeImages(engine *swarm.Engine) error {
	imagesOnce.Do(func() { imagesErr = buildImages(engine) })
	return imagesErr
}

func buildImages(engine *swarm.Engine) error {
	dir, err := os.MkdirTemp("", "swarm-app")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build testdata/app: %w\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	for name, changes := range map[string][]string{
		testImage:   {`CMD ["/app"]`},
		volumeImage: {`CMD ["/app"]`, "VOLUME /data"},
	} {
		if err := importImage(engine, name, program, changes); err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
	}
	return nil
}

func importImage(engine *swarm.Engine, name string, program []byte, changes []string) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	body, err := engine.Client().ImageImport(context.Background(),
		image.ImportSource{Source: &layer, SourceName: "-"}, name, image.ImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// newOwner makes up a job, and sees to it that nothing of it outlives the test.
func newOwner(t *testing.T, engine *swarm.Engine) swarm.Owner {
	t.Helper()
	o := swarm.Owner{
		Runner:  testRunner,
		Task:    "local",
		Slug:    "test-" + strings.ToLower(rand.Text()[:6]),
		Expires: time.Now().Add(time.Hour),
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := engine.Teardown(ctx, o); err != nil {
			t.Errorf("tear down %s after the test: %v", o.Slug, err)
		}
	})
	return o
}

func name(o swarm.Owner) string { return strings.ReplaceAll(o.Slug, "-", "_") + "_ci_test" }

// service makes the spec of a service of the test image with one network, the
// stack's default.
func service(o swarm.Owner, short string, env ...string) swarmapi.ServiceSpec {
	one := uint64(1)
	delay := 500 * time.Millisecond
	return swarmapi.ServiceSpec{
		Annotations: swarmapi.Annotations{Name: name(o) + "_" + short},
		TaskTemplate: swarmapi.TaskSpec{
			ContainerSpec: &swarmapi.ContainerSpec{Image: testImage, Env: env},
			Networks:      []swarmapi.NetworkAttachmentConfig{{Target: name(o) + "_default", Aliases: []string{short}}},
			RestartPolicy: &swarmapi.RestartPolicy{Condition: swarmapi.RestartPolicyConditionAny, Delay: &delay},
		},
		Mode: swarmapi.ServiceMode{Replicated: &swarmapi.ReplicatedService{Replicas: &one}},
	}
}

// healthy adds the app's own health check, four times a second.
func healthy(s swarmapi.ServiceSpec) swarmapi.ServiceSpec {
	s.TaskTemplate.ContainerSpec.Healthcheck = &container.HealthConfig{
		Test: []string{"CMD", "/app", "-health"}, Interval: 250 * time.Millisecond, Timeout: 5 * time.Second, Retries: 3,
	}
	return s
}

func stack(o swarm.Owner, services ...swarmapi.ServiceSpec) swarm.Stack {
	return swarm.Stack{
		Name:     name(o),
		Networks: []swarm.Network{{Name: name(o) + "_default"}},
		Services: services,
	}
}

// fullStack is an app with one of everything: two services, a second network,
// the proxy's, two named volumes and an anonymous one, a secret and a config.
func fullStack(o swarm.Owner) swarm.Stack {
	app, db := healthy(service(o, "app")), service(o, "db")
	s := stack(o)
	s.Networks = append(s.Networks, swarm.Network{Name: name(o) + "_internal", Internal: true})
	s.External = []string{"proxy"}
	s.Secrets = []swarmapi.SecretSpec{{Annotations: swarmapi.Annotations{Name: name(o) + "_db_password_v1"}, Data: []byte("hidden")}}
	s.Configs = []swarmapi.ConfigSpec{{Annotations: swarmapi.Annotations{Name: name(o) + "_app_ini_v1"}, Data: []byte("a=b")}}
	c := app.TaskTemplate.ContainerSpec
	c.Image = volumeImage
	c.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: name(o) + "_uploads", Target: "/uploads"}}
	c.Secrets = []*swarmapi.SecretReference{{SecretName: s.Secrets[0].Name,
		File: &swarmapi.SecretReferenceFileTarget{Name: "db_password", UID: "0", GID: "0", Mode: 0o400}}}
	c.Configs = []*swarmapi.ConfigReference{{ConfigName: s.Configs[0].Name,
		File: &swarmapi.ConfigReferenceFileTarget{Name: "/app.ini", UID: "0", GID: "0", Mode: 0o444}}}
	app.TaskTemplate.Networks = append(app.TaskTemplate.Networks,
		swarmapi.NetworkAttachmentConfig{Target: "proxy"},
		swarmapi.NetworkAttachmentConfig{Target: name(o) + "_internal"})
	db.TaskTemplate.ContainerSpec.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: name(o) + "_db", Target: "/var/lib/db"}}
	db.TaskTemplate.Networks[0].Target = name(o) + "_internal"
	s.Services = []swarmapi.ServiceSpec{app, db}
	return s
}
