package swarm_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// sayings collects what SetUp and Undo say.
type sayings []string

func (s *sayings) say(sentence string) { *s = append(*s, sentence) }

// What SetUp made is used by a service, then by nobody: only then is it undone.
// The swarm, which was there before, stays.
func TestSetUpAndUndo(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	ctx, proxy := t.Context(), o.Slug+"-proxy"
	t.Cleanup(func() { engine.Client().NetworkRemove(context.Background(), proxy) })
	var said sayings
	for range 2 {
		if err := engine.SetUp(ctx, proxy, said.say); err != nil {
			t.Fatal(err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], proxy) {
		t.Errorf("setting up twice said %q, want one sentence on the network", said)
	}
	if err := engine.Check(ctx, proxy); err != nil {
		t.Errorf("after the set-up: %v", err)
	}
	one := service(o, "app")
	one.TaskTemplate.Networks = []swarmapi.NetworkAttachmentConfig{{Target: proxy}}
	s := stack(o, one)
	s.External = []string{proxy}
	deploy(t, engine, o, s)
	if err := engine.Undo(ctx, proxy, said.say); err != nil || len(said) != 1 {
		t.Errorf("undoing what is in use: %v, said %q", err, said)
	}
	if _, err := engine.Teardown(ctx, o); err != nil {
		t.Fatal(err)
	}
	if err := engine.Undo(ctx, proxy, said.say); err != nil {
		t.Fatal(err)
	}
	if err := engine.Check(ctx, proxy); !errors.Is(err, swarm.ErrNoProxy) {
		t.Errorf("after undoing: %v, want only the network gone", err)
	}
	said = nil
	for _, others := range []string{proxy, "proxy", "bridge"} {
		if err := engine.Undo(ctx, others, said.say); err != nil || len(said) > 0 {
			t.Errorf("undoing %s, which SetUp didn't make: %v, said %q", others, err, said)
		}
	}
}

func TestSetUpLeavesAWrongProxyAlone(t *testing.T) {
	engine := connect(t)
	var said sayings
	if err := engine.SetUp(t.Context(), "bridge", said.say); !errors.Is(err, swarm.ErrWrongProxy) || len(said) > 0 {
		t.Errorf("got %v, said %q", err, said)
	}
}

// A Traefik is known by the name of its image, by the network it is on and by
// its port: without one of these it serves nobody.
func TestHasTraefik(t *testing.T) {
	engine := connect(t)
	const image = "cc-ci-lab/swarm-test/traefik:1"
	if err := engine.Client().ImageTag(t.Context(), testImage, image); err != nil {
		t.Fatal(err)
	}
	published := &swarmapi.EndpointSpec{Ports: []swarmapi.PortConfig{
		{TargetPort: 8080, PublishMode: swarmapi.PortConfigPublishModeHost, Protocol: swarmapi.PortConfigProtocolTCP}}}
	for _, test := range []struct {
		name  string
		image string
		ports *swarmapi.EndpointSpec
		want  bool
	}{
		{"a Traefik with a port serves", image, published, true},
		{"a Traefik without a port doesn't", image, nil, false},
		{"another service with a port is no Traefik", testImage, published, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOwner(t, engine)
			one := service(o, "app")
			one.TaskTemplate.ContainerSpec.Image, one.EndpointSpec = test.image, test.ports
			deploy(t, engine, o, stack(o, one))
			if got, err := engine.HasTraefik(t.Context(), name(o)+"_default"); err != nil || got != test.want {
				t.Errorf("on its network: %v, %v, want %v", got, err, test.want)
			}
			if got, err := engine.HasTraefik(t.Context(), name(o)+"_none"); err != nil || got {
				t.Errorf("on a network that isn't there: %v, %v", got, err)
			}
		})
	}
}

// A task answers at the address on this host's side; what doesn't run has none.
func TestGatewayAddress(t *testing.T) {
	engine := connect(t)
	if err := engine.CheckGateway(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := newOwner(t, engine)
	deploy(t, engine, o, stack(o, healthy(service(o, "app"))))
	address, err := engine.GatewayAddress(t.Context(), name(o)+"_app")
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + address.String() + ":8080/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.HasPrefix(string(body), "hello from") {
		t.Errorf("the task answers %q, %v", body, err)
	}
	if _, err := engine.GatewayAddress(t.Context(), name(o)+"_none"); err == nil {
		t.Error("a service that isn't there has an address")
	}
}
