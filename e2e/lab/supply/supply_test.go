package supply_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
)

// A report to a file has a line for what has failed, and none for what took no
// time.
func TestProgress(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := supply.NewProgress(f)
	if err := p.Do("quick work", func() error { return nil }); err != nil {
		t.Error(err)
	}
	wrong := errors.New("wrong")
	if err := p.Do("bad work", func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("Do returned %v, want the work's error", err)
	}
	p.Say("that is %s", "all")
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "bad work failed after") || lines[1] != "that is all" {
		t.Errorf("the report is %q", lines)
	}
}

// The hello images are the same when made twice, and their programs run without
// anything else.
func TestHelloImages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	var made [2][]supply.Image
	for i := range made {
		s := &supply.Supply{Repo: repo, Cache: cache, Progress: supply.NewProgress(os.Stderr)}
		if made[i], err = s.HelloImages(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, img := range made[0] {
		if img.Content != made[1][i].Content || img.Tar != made[1][i].Tar {
			t.Errorf("%s differs from time to time: %+v, %+v", img.Ref, img, made[1][i])
		}
		list, err := exec.Command("tar", "-tf", img.Tar).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(list, []byte("tmp/\n")) {
			t.Errorf("%s has no /tmp:\n%s", img.Ref, list)
		}
	}
}
