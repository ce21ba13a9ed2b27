package lab

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Current describes the lab that the test runs in. With -short the test is
// skipped; outside a lab it fails.
func Current(t testing.TB) *Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the lab")
	}
	l, err := Join()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Join describes the lab that the program runs in; outside a lab it fails.
func Join() (*Lab, error) {
	state := os.Getenv("CC_CI_LAB")
	if state == "" {
		return nil, errors.New("CC_CI_LAB is not set: run this through `make test`, or `go run ./e2e/cmd/lab exec -- go test ./…`")
	}
	place, err := Find()
	if err != nil {
		return nil, err
	}
	if place.State != state {
		return nil, fmt.Errorf("CC_CI_LAB is %s, yet this clone's lab is at %s", state, place.State)
	}
	l := &Lab{Place: place}
	return l, readJSON(place.factsFile(), &l.Facts)
}

// Engine returns the address of the engine that the test may use, as in the
// variable DOCKER_HOST. It is a swarm manager with an attachable overlay
// network named proxy. With -short the test is skipped; outside a lab it fails,
// so that a test never touches the machine's own engine.
func Engine(t testing.TB) string {
	t.Helper()
	return Current(t).Facts.DockerHost
}
