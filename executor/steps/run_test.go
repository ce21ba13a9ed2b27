package steps_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// Each testdata/run/*.txt is a workflow, a line of dashes, and the log, result
// and outputs that running it gives.
func TestRunGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/run/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			workflow, want, _ := bytes.Cut(content, []byte("\n----\n"))
			place := newPlace(t)
			job := newJob(t, place, string(workflow))
			copyFolder(t, "testdata/workspace", job.Workspace)
			log, result, outputs, err := run(t, place, job)
			got := fmt.Sprintf("%s%s %v\n", log, result, err)
			for _, name := range slices.Sorted(maps.Keys(outputs)) {
				got += fmt.Sprintf("output %s=%s\n", name, outputs[name])
			}
			if *update {
				if err := os.WriteFile(file, []byte(string(workflow)+"\n----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("log differs (go test -update writes it)\n--- got\n%s\n--- want\n%s", got, want)
			}
		})
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
