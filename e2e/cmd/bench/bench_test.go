package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"

	bench "git.autonomic.zone/recipe-maintainers/cc-ci/e2e/cmd/bench"
)

func TestGaps(t *testing.T) {
	ten := func(skip int) string {
		var b strings.Builder
		for i := range 10 {
			// The command is shown before its output, and each step takes as many milliseconds as it has a number.
			fmt.Fprintf(&b, "2020-01-01T00:00:00.%03d0000Z ::group::Run echo tick-%d\n", i*(i+1)/2, i)
			if i != skip {
				fmt.Fprintf(&b, "2020-01-01T00:00:00.%03d0000Z tick-%d\n", i*(i+1)/2, i)
			}
		}
		return b.String()
	}
	got, err := bench.Gaps(ten(-1))
	if want := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}; err != nil || !slices.EqualFunc(got, want, func(a, b float64) bool { return fmt.Sprintf("%.3f", a) == fmt.Sprintf("%.3f", b) }) {
		t.Errorf("the gaps are %v, %v, want %v", got, err, want)
	}
	for _, lost := range []int{0, 4, 9} {
		if got, err := bench.Gaps(ten(lost)); err == nil {
			t.Errorf("without the row of step %d the gaps are %v, want an error", lost, got)
		}
	}
}

func TestDeployTime(t *testing.T) {
	app := map[string]string{"name": "hell-abc_test_app"}
	task := map[string]string{"name": "any", "com.docker.swarm.service.name": "hell-abc_test_app"}
	other := map[string]string{"name": "sand-xyz_test_app"}
	seen := []events.Message{
		bench.Event(0, events.ActionCreate, other),
		bench.Event(1*time.Second, events.ActionCreate, map[string]string{"name": "hell-abc"}), // the sandbox
		bench.Event(2*time.Second, events.ActionCreate, app),
		bench.Event(3*time.Second, events.ActionCreate, task),
		bench.Event(4*time.Second, events.ActionHealthStatusHealthy, task),
		bench.Event(5*time.Second, events.ActionHealthStatusHealthy, task),
		bench.Event(6*time.Second, events.ActionHealthStatusHealthy, other),
	}
	if got, err := bench.DeployTime(seen, "hell-abc"); err != nil || got != 3*time.Second {
		t.Errorf("the deployment took %v, %v, want 3s", got, err)
	}
	for _, slug := range []string{"", "hell-ab"} {
		if got, err := bench.DeployTime(seen, slug); err == nil {
			t.Errorf("the deployment of %q, which isn't one's, took %v", slug, got)
		}
	}
}

func TestColumns(t *testing.T) {
	samples := map[string][]float64{"cc-ci": {3, 1, 2}, "official": {4, 4}}
	for _, c := range []struct {
		what   string
		figure bench.Figure
		want   string
	}{
		{"a bound that is met", bench.Figure{Unit: "s", Target: 2, Samples: samples}, "2.00 s (1.00–3.00)|4.00 s|0.50|≤ 2 s|met"},
		{"a bound that is not met", bench.Figure{Unit: "s", Target: 1.9, Samples: samples}, "2.00 s (1.00–3.00)|4.00 s|0.50|≤ 1.9 s|NOT MET"},
		{"a ratio", bench.Figure{Unit: "MB", TargetRatio: 0.2, Samples: samples}, "2.0 MB (1.0–3.0)|4.0 MB|0.50|≤ 0.2 × official|NOT MET"},
		{"the other one's as a bound", bench.Figure{Unit: "ms", TargetRatio: 1, Samples: samples}, "2 ms (1–3)|4 ms|0.50|below official|met"},
		{"one runner only", bench.Figure{Unit: "/s", Target: 9, Samples: map[string][]float64{"cc-ci": {1}}}, "1.00 /s|–|–|≤ 9 /s|met"},
		{"what no number tells", bench.Figure{Unit: "s", Target: 9, Note: "well", Failed: "a volume", Samples: samples}, "2.00 s (1.00–3.00)|4.00 s|0.50|≤ 9 s|NOT MET, a volume"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := strings.Join(c.figure.Columns()[1:], "|"); got != c.want {
				t.Errorf("the columns are\n%s, want\n%s", got, c.want)
			}
		})
	}
}

func TestWriteInto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := bench.Figure{Name: "a figure", Unit: "s", Target: 1, Samples: map[string][]float64{"cc-ci": {1}}}
	write("before\n<!-- bench:begin -->\nan old table\n<!-- bench:end -->\nafter\n")
	for range 2 { // a second time changes nothing
		if err := bench.WriteInto(path, f); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n<!-- bench:begin -->\n| figure", "\n| a figure | 1.00 s |", "`make bench` on a machine", "\n<!-- bench:end -->\nafter\n"} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("%q is not in the document once:\n%s", want, got)
		}
	}
	write("no place")
	if err := bench.WriteInto(path, f); err == nil {
		t.Error("a document without the marks was written")
	}
}
