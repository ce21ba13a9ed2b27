package swarm_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// within returns a context for a step that must not take longer.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// deploy deploys a stack and waits until it is ready.
func deploy(t *testing.T, engine *swarm.Engine, o swarm.Owner, s swarm.Stack) *swarm.Deployment {
	t.Helper()
	d, err := engine.Deploy(within(t, 30*time.Second), o, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Converge(within(t, 60*time.Second), func(p swarm.Progress) { t.Log(p) }); err != nil {
		t.Fatal(explain(err))
	}
	return d
}

// explain adds the table of attempts to an error that has one.
func explain(err error) string {
	if e, ok := errors.AsType[*swarm.ConvergeError](err); ok {
		return e.Error() + "\n" + swarm.Table(e.Attempts)
	}
	return err.Error()
}

// A deployment with one of everything, a sandbox and a bridge beside it, comes
// up, and goes without a trace; neighbours stay.
func TestDeployAndTeardown(t *testing.T) {
	engine := connect(t)
	before := census(t, engine)
	o := newOwner(t, engine)
	start := time.Now()
	deploy(t, engine, o, fullStack(o))
	t.Logf("deployed and converged in %v", time.Since(start))

	bridge, err := engine.CreateNetwork(t.Context(), o, o.Slug)
	if err != nil {
		t.Fatal(err)
	}
	sandbox, err := engine.CreateContainer(t.Context(), o, o.Slug,
		&container.Config{Image: volumeImage}, nil,
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{o.Slug: {NetworkID: bridge}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Client().ContainerStart(t.Context(), sandbox, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := engine.Client().NetworkConnect(t.Context(), name(o)+"_default", sandbox, nil); err != nil {
		t.Fatalf("a stack's network cannot be joined: %v", err)
	}
	if address, err := engine.GatewayAddress(t.Context(), name(o)+"_app"); err != nil {
		t.Errorf("address of the app: %v, %v", address, err)
	}

	receipt, err := engine.Teardown(within(t, 30*time.Second), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("torn down in %v: %s", receipt.Took, receipt)
	want := "receipt: 2 services, 3 containers, 4 volumes (2 anonymous), 1 secret, 1 config, 3 networks made; all gone"
	if got := receipt.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wantGone(t, engine, before, o)
}

// Every object of a job carries the owner's labels, whatever the recipe says.
func TestLabels(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	s := fullStack(o)
	forged := map[string]string{swarm.LabelSlug: "other", "com.docker.stack.namespace": "other", "kept": "yes"}
	s.Services[0].Labels, s.Services[0].TaskTemplate.ContainerSpec.Labels = forged, forged
	deploy(t, engine, o, s)
	service, _, err := engine.Client().ServiceInspectWithRaw(t.Context(), s.Services[0].Name, swarmapi.ServiceInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume, err := engine.Client().VolumeInspect(t.Context(), name(o)+"_uploads")
	if err != nil {
		t.Fatal(err)
	}
	net, err := engine.Client().NetworkInspect(t.Context(), name(o)+"_internal", network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for what, labels := range map[string]map[string]string{
		"service": service.Spec.Labels, "container": service.Spec.TaskTemplate.ContainerSpec.Labels,
		"volume": volume.Labels, "network": net.Labels,
	} {
		for key, value := range o.Labels() {
			if labels[key] != value {
				t.Errorf("%s: label %s is %q, want %q", what, key, labels[key], value)
			}
		}
		if got := labels["com.docker.stack.namespace"]; got != name(o) {
			t.Errorf("%s: its stack is %q, want %q", what, got, name(o))
		}
	}
	if service.Spec.Labels["kept"] != "yes" || service.Spec.Labels["com.docker.stack.image"] != volumeImage {
		t.Errorf("the service's labels are %v", service.Spec.Labels)
	}
	if forged[swarm.LabelSlug] != "other" || len(forged) != 3 {
		t.Errorf("the recipe's own labels were changed: %v", forged)
	}
}

// A stack that refers to what is not its own is refused, and leaves nothing.
func TestBadStack(t *testing.T) {
	engine := connect(t)
	for _, test := range []struct {
		name  string
		spoil func(*swarm.Stack)
		want  string
	}{
		{"an external network that does not exist", func(s *swarm.Stack) { s.External = []string{"nowhere"} }, `"nowhere" does not exist`},
		{"a network of the machine only", func(s *swarm.Stack) { s.External = []string{"bridge"} }, "this machine only"},
		{"a secret of someone else", func(s *swarm.Stack) { s.Secrets = nil }, "_db_password_v1\", which is not part of it"},
		{"a config of someone else", func(s *swarm.Stack) { s.Configs = nil }, "_app_ini_v1\", which is not part of it"},
		{"a network of someone else", func(s *swarm.Stack) { s.External = nil }, "network \"proxy\", which is not part of it"},
		{"a name that is too long", func(s *swarm.Stack) { s.Services[1].Name = strings.Repeat("x", 64) }, "name must be 63 characters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOwner(t, engine)
			s := fullStack(o)
			test.spoil(&s)
			_, err := engine.Deploy(within(t, 30*time.Second), o, s)
			if !errors.Is(err, swarm.ErrBadStack) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a bad stack with %q", err, test.want)
			}
			if receipt, err := engine.Teardown(within(t, 30*time.Second), o); err != nil || !receipt.Clean() {
				t.Errorf("%s, %v", receipt, err)
			}
		})
	}
}

// Two stacks at once: the teardown of one leaves the other as it is.
func TestNeighbours(t *testing.T) {
	engine := connect(t)
	stays, goes := newOwner(t, engine), newOwner(t, engine)
	d := deploy(t, engine, stays, fullStack(stays))
	deploy(t, engine, goes, fullStack(goes))
	before, err := engine.Census(t.Context(), stays)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := engine.Teardown(within(t, 30*time.Second), goes)
	if err != nil || !receipt.Clean() {
		t.Fatalf("%s, %v", receipt, err)
	}
	after, err := engine.Census(t.Context(), stays)
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the neighbour changed from\n%s\nto\n%s\n%v", before, after, err)
	}
	if err := d.Converge(within(t, 10*time.Second), nil); err != nil {
		t.Error(explain(err))
	}
}

// A teardown that comes while the stack is still being created, or its
// containers started, leaves nothing, and late creates undo themselves.
func TestTeardownInMidDeploy(t *testing.T) {
	engine := connect(t)
	for _, delay := range []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			before := census(t, engine)
			o := newOwner(t, engine)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := engine.Deploy(ctx, o, fullStack(o))
				done <- err
			}()
			<-time.After(delay)
			cancel()
			receipt, err := engine.Teardown(within(t, 30*time.Second), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(<-done, receipt.Took, receipt)
			wantNoTasks(t, engine, o)
			wantGone(t, engine, before, o)
			if _, err := engine.CreateNetwork(t.Context(), o, o.Slug); !errors.Is(err, swarm.ErrOwnerGone) {
				t.Errorf("a create after the teardown gives %v", err)
			}
		})
	}
}

// wantNoTasks waits until Swarm has forgotten the owner's tasks: only then can
// none of them surprise us any more.
func wantNoTasks(t *testing.T, engine *swarm.Engine, o swarm.Owner) {
	t.Helper()
	ctx := within(t, time.Minute)
	for {
		tasks, err := engine.Client().TaskList(ctx, swarmapi.TaskListOptions{
			Filters: filters.NewArgs(filters.Arg("label", swarm.LabelSlug+"="+o.Slug)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(tasks) == 0 {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}
