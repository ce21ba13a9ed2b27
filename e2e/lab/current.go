package lab

import (
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
	state := os.Getenv("CC_CI_LAB")
	if state == "" {
		t.Fatal("CC_CI_LAB is not set: run this through `make test`, or `go run ./e2e/cmd/lab exec -- go test ./…`")
	}
	place, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if place.State != state {
		t.Fatalf("CC_CI_LAB is %s, yet this clone's lab is at %s", state, place.State)
	}
	l := &Lab{Place: place}
	if err := readJSON(place.factsFile(), &l.Facts); err != nil {
		t.Fatal(err)
	}
	return l
}

// Engine returns the address of the engine that the test may use, as in the
// variable DOCKER_HOST. It is a swarm manager with an attachable overlay
// network named proxy. With -short the test is skipped; outside a lab it fails,
// so that a test never touches the machine's own engine.
func Engine(t testing.TB) string {
	t.Helper()
	return Current(t).Facts.DockerHost
}
