package swarm_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// testImage is the image of testdata/app; volumeImage is the same with a
// VOLUME of its own.
const (
	testImage   = "cc-ci-lab/swarm-app:1"
	volumeImage = "cc-ci-lab/swarm-volume:1"
	testRunner  = "test-runner"
)

// connect opens the engine under test and makes sure of the test images.
func connect(t *testing.T) *swarm.Engine {
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
	return lab.Engine(t)
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
		receipt, err := engine.Teardown(ctx, o)
		if err != nil {
			t.Errorf("tear down %s after the test: %v", o.Slug, err)
		}
		t.Logf("torn down after the test in %v: %s", receipt.Took, receipt)
	})
	return o
}

func name(o swarm.Owner) string { return strings.ReplaceAll(o.Slug, "-", "_") + "_ci_test" }

// census returns every object of the engine that may be of the owners: other
// tests share it, so only what is named after an owner counts, and volumes that
// are named after nobody.
func census(t *testing.T, engine *swarm.Engine, owners ...swarm.Owner) swarm.Census {
	t.Helper()
	all, err := engine.CensusAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(object swarm.Object) bool {
		if object.Kind == swarm.KindVolume && len(object.Name) == 64 {
			return false
		}
		return !slices.ContainsFunc(owners, func(o swarm.Owner) bool {
			return strings.HasPrefix(object.Name, name(o)) || strings.HasPrefix(object.Name, o.Slug)
		})
	})
}

// wantGone fails the test if there is more of the owners than before. Volumes
// without a name may be of other tests, so they are given time to go.
func wantGone(t *testing.T, engine *swarm.Engine, before swarm.Census, owners ...swarm.Owner) {
	t.Helper()
	rest := census(t, engine, owners...).Without(before)
	for deadline := time.Now().Add(time.Minute); len(rest) > 0; rest = census(t, engine, owners...).Without(before) {
		if time.Now().After(deadline) || rest[0].Kind != swarm.KindVolume || len(rest[0].Name) != 64 {
			t.Errorf("left behind:\n%s", rest)
			return
		}
		<-time.After(time.Second)
	}
}

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

// An engine that jobs cannot use is told apart, with what to do about it.
func TestCheck(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	if _, err := engine.CreateNetwork(t.Context(), o, o.Slug); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, proxy string
		want        error
		says        string
	}{
		{"the lab's own network is fine", "proxy", nil, ""},
		{"without Traefik no network is asked for", "", nil, ""},
		{"a network that does not exist", "no-proxy", swarm.ErrNoProxy, "docker network create --driver overlay"},
		{"a bridge of this machine only", o.Slug, swarm.ErrWrongProxy, "is a bridge network of scope local"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := engine.Check(t.Context(), test.proxy)
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.says)
			}
		})
	}
}

// Where nothing listens, Open says so at once, with the address.
func TestOpenNothing(t *testing.T) {
	host := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	_, err := swarm.Open(t.Context(), host)
	if !errors.Is(err, swarm.ErrUnreachable) || !strings.Contains(err.Error(), host) {
		t.Errorf("got %v", err)
	}
}

// Images that are here are warm; for one that is not to be had the error names
// it and the reason.
func TestPull(t *testing.T) {
	engine := connect(t)
	const gone = "127.0.0.1:1/nobody/nothing:1"
	images := []string{testImage, gone, testImage}
	missing, err := engine.ImagesMissing(t.Context(), images)
	if err != nil || len(missing) != 1 || missing[0] != gone {
		t.Errorf("missing are %v, %v", missing, err)
	}
	var said []swarm.PullProgress
	err = engine.Pull(t.Context(), images, "", func(p swarm.PullProgress) { said = append(said, p) })
	var e *swarm.ImageError
	if !errors.As(err, &e) || e.Image != gone || e.Absent || !strings.Contains(err.Error(), "its registry could not be asked") {
		t.Errorf("got %v", err)
	}
	if len(said) != 2 || said[0].Image != testImage || said[0].Status != "warm" || said[1].Status != "pulling" {
		t.Errorf("it said %v", said)
	}
}

// A receipt is one line that counts what was made and names what is left.
func TestReceipt(t *testing.T) {
	made := swarm.Census{
		{Kind: swarm.KindService, ID: "1", Name: "app"}, {Kind: swarm.KindService, ID: "2", Name: "db"},
		{Kind: swarm.KindVolume, ID: "data", Name: "data"},
		{Kind: swarm.KindVolume, ID: "0123456789abcdef", Name: "0123456789abcdef", Anonymous: true},
	}
	const counted = "receipt: 2 services, 2 volumes (1 anonymous) made; "
	for _, test := range []struct {
		name    string
		receipt swarm.Receipt
		want    string
	}{
		{"nothing left", swarm.Receipt{Made: made, NeighboursUntouched: true}, counted + "all gone; neighbours untouched"},
		{"neighbours came and went", swarm.Receipt{Made: made}, counted + "all gone"},
		{"an anonymous volume left", swarm.Receipt{Made: made, Left: made[3:]},
			counted + "LEFT BEHIND 1 volume (1 anonymous): volume 0123456789ab…"},
		{"an engine that is away", swarm.Receipt{Made: made, Unknown: true},
			counted + "the engine did not answer, so what is left is not known"},
		{"a job without a deployment", swarm.Receipt{}, "receipt: nothing made"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.receipt.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
