package runner_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
)

func TestIdentityIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.json")
	for _, name := range []string{"first", "second"} {
		id := runner.Identity{ID: 3, UUID: "u", Name: name, Token: "t", Address: "https://git.example.org", Labels: []string{"cc-ci"}, Version: "1"}
		if err := id.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := runner.LoadIdentity(path)
		if err != nil || got.Name != name || got.Token != "t" || len(got.Labels) != 1 {
			t.Fatalf("LoadIdentity = %+v, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left, want the identity only", len(left))
	}
}

func TestBadIdentities(t *testing.T) {
	for _, c := range []struct {
		what string
		file string
		says string
	}{
		{"a file that is cut off", `{"id": 1, "uu`, "is no identity file"},
		{"an empty file", ``, "is no identity file"},
		{"a file without a token", `{"uuid": "u", "address": "https://x"}`, "has no token"},
		{"a file of something else", `{}`, "has no uuid"},
	} {
		t.Run(c.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "identity.json")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := runner.LoadIdentity(path)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "cc-ci register") {
				t.Errorf("LoadIdentity: %v", err)
			}
		})
	}
	_, err := runner.LoadIdentity(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, runner.ErrNoIdentity) {
		t.Errorf("LoadIdentity without a file: %v", err)
	}
}

func TestAnIdentityHasOneDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.json")
	lock, err := runner.LockIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runner.LockIdentity(path); !errors.Is(err, runner.ErrIdentityInUse) {
		t.Errorf("a second lock: %v", err)
	}
	lock.Release()
	again, err := runner.LockIdentity(path)
	if err != nil {
		t.Fatalf("a lock after the first was released: %v", err)
	}
	again.Release()
}
