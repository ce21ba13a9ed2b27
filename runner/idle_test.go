package runner_test

import (
	"fmt"
	"os"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
)

// An idle daemon holds little of its program, and goes on.
func TestRest(t *testing.T) {
	before := fromFiles(t)
	runner.Rest()
	if after := fromFiles(t); after > before*3/4 {
		t.Errorf("%d pages of files are resident, %d before", after, before)
	}
}

// fromFiles is how many pages of files are resident.
func fromFiles(t *testing.T) (pages int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(text), &total, &resident, &pages); err != nil {
		t.Fatal(err)
	}
	return pages
}
