package swarm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// holderEnv makes the test program a job instead: it takes a lease, deploys,
// says so, and stays until it is killed.
const holderEnv = "CC_CI_TEST_HOLDER"

type holding struct {
	Host, Leases, WorkDir string
	Owner                 swarm.Owner
}

func TestMain(m *testing.M) {
	if text := os.Getenv(holderEnv); text != "" {
		if err := hold(text); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func hold(text string) error {
	var h holding
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	engine, err := swarm.Open(ctx, h.Host)
	if err != nil {
		return err
	}
	if _, err := swarm.TakeLease(h.Leases, h.Owner, name(h.Owner), h.WorkDir); err != nil {
		return err
	}
	d, err := engine.Deploy(ctx, h.Owner, fullStack(h.Owner))
	if err != nil {
		return err
	}
	if err := d.Converge(ctx, nil); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return ctx.Err()
}

// startHolder runs a job in a process of its own and returns it once its stack
// is up.
func startHolder(t *testing.T, host, leases string, o swarm.Owner) (process *exec.Cmd, workDir string) {
	t.Helper()
	workDir = filepath.Join(t.TempDir(), o.Slug)
	if err := os.MkdirAll(filepath.Join(workDir, "clone"), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(holding{host, leases, workDir, o})
	if err != nil {
		t.Fatal(err)
	}
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), holderEnv+"="+string(text))
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the job's process says %q", lines.Text())
	}
	return process, workDir
}

// Reap takes what a killed process left, and nothing of a live one, of another
// runner, or of this very process.
func TestReap(t *testing.T) {
	engine := connect(t)
	leases := t.TempDir()
	dead, alive, own := newOwner(t, engine), newOwner(t, engine), newOwner(t, engine)
	runner := "reap-" + dead.Slug
	dead.Runner, alive.Runner, own.Runner = runner, runner, runner
	foreign := newOwner(t, engine)
	if _, err := engine.CreateNetwork(t.Context(), foreign, foreign.Slug); err != nil {
		t.Fatal(err)
	}
	killed, workDir := startHolder(t, dockerHost(t), leases, dead)
	startHolder(t, dockerHost(t), leases, alive)
	lease, err := swarm.TakeLease(leases, own, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if _, err := engine.CreateNetwork(t.Context(), own, own.Slug); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, o := range []swarm.Owner{dead, alive, own} {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if _, err := engine.Teardown(ctx, o); err != nil {
				t.Error(err)
			}
		}
	})
	damaged := filepath.Join(leases, "damaged-1.json")
	if err := os.WriteFile(damaged, []byte(`{"runner": "reap`), 0o600); err != nil {
		t.Fatal(err)
	}
	reap := func(dryRun bool) []swarm.Reaped {
		reaped, err := swarm.Reap(within(t, time.Minute), engine, leases, runner, swarm.ReapOptions{DryRun: dryRun})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reaped {
			t.Log(r)
		}
		return reaped
	}
	isDead := func(r swarm.Reaped) bool { return r.Slug == dead.Slug }

	if slices.ContainsFunc(reap(false), isDead) {
		t.Error("a live job was reaped")
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.Wait()
	before := census(t, engine, dead, alive, own, foreign)
	dry := reap(true)
	if len(dry) != 1 || !isDead(dry[0]) || len(dry[0].Found) != 10 || dry[0].WorkDir != workDir {
		t.Errorf("the dry run found %v", dry)
	}
	changed := before.Without(census(t, engine, dead, alive, own, foreign))
	if _, err := os.Stat(workDir); err != nil || len(namedAfter(changed, dead, alive, own, foreign)) > 0 {
		t.Errorf("the dry run changed something: %v\n%s", err, changed)
	}

	reaped := reap(false)
	if len(reaped) != 1 || !isDead(reaped[0]) || !reaped[0].Removed || !reaped[0].Receipt.Clean() {
		t.Errorf("reaped %v", reaped)
	}
	if made := reaped[0].Receipt.Made; len(made) != 11 || !made[4].Anonymous {
		t.Errorf("removed:\n%s", made)
	}
	gone := before.Without(census(t, engine, dead, alive, own, foreign))
	if len(namedAfter(gone, alive, own, foreign)) > 0 || len(namedAfter(gone, dead)) != 10 {
		t.Errorf("what went:\n%s", gone)
	}
	if _, err := os.Stat(workDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work folder is still there: %v", err)
	}
	if files, err := os.ReadDir(leases); err != nil || len(files) != 2 {
		t.Errorf("leases left: %v, %v; want the two live ones", files, err)
	}
	if again := reap(false); len(again) != 0 {
		t.Errorf("a second run reaped %v", again)
	}
}

// namedAfter returns the objects that carry an owner's name.
func namedAfter(objects swarm.Census, owners ...swarm.Owner) swarm.Census {
	return slices.DeleteFunc(slices.Clone(objects), func(object swarm.Object) bool {
		return !slices.ContainsFunc(owners, func(o swarm.Owner) bool {
			return strings.HasPrefix(object.Name, name(o)) || strings.HasPrefix(object.Name, o.Slug)
		})
	})
}

// Objects whose job has no lease at all are of a job that is over.
func TestReapWithoutLease(t *testing.T) {
	engine := connect(t)
	leases := t.TempDir()
	o := newOwner(t, engine)
	o.Runner = "reap-" + o.Slug
	if _, err := engine.CreateNetwork(t.Context(), o, o.Slug); err != nil {
		t.Fatal(err)
	}
	reaped, err := swarm.Reap(within(t, time.Minute), engine, leases, o.Runner, swarm.ReapOptions{})
	if err != nil || len(reaped) != 1 || !reaped[0].Removed {
		t.Fatalf("reaped %v, %v", reaped, err)
	}
	if files, err := os.ReadDir(leases); err != nil || len(files) != 0 {
		t.Errorf("left in the folder of leases: %v, %v", files, err)
	}
}

// A lease is on disk under its slug, complete and private, until it is released.
func TestLease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "leases")
	o := swarm.Owner{Runner: "r", Task: "7", Slug: "hell-abc234", Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	lease, err := swarm.TakeLease(dir, o, "hell_abc234_ci", "/srv/work/hell-abc234")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(lease.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"runner": "r"`, `"task": "7"`, `"slug": "hell-abc234"`, `"stack": "hell_abc234_ci"`,
		`"expires": "2030-01-02T03:04:05Z"`, fmt.Sprintf(`"pid": %d`, os.Getpid()), `"work_dir": "/srv/work/hell-abc234"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the lease does not say %s:\n%s", want, text)
		}
	}
	if info, err := os.Stat(lease.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lease's mode is %v, %v", info.Mode(), err)
	}
	if _, err := swarm.TakeLease(dir, o, "", ""); !errors.Is(err, swarm.ErrLeaseTaken) {
		t.Errorf("a second lease of the slug gives %v", err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("after the release there are %v, %v", files, err)
	}
}

// What could lead clean-up astray is not written into a lease.
func TestLeaseRefuses(t *testing.T) {
	for _, test := range []struct{ name, slug, workDir string }{
		{"a slug that leads out of the folder", "../x", ""},
		{"no slug", "", ""},
		{"a work folder that is not the job's", "hell-abc234", "/home"},
		{"a work folder that depends on where one is", "hell-abc234", "work/hell-abc234"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := swarm.TakeLease(t.TempDir(), swarm.Owner{Slug: test.slug}, "", test.workDir); err == nil {
				t.Error("it was taken")
			}
		})
	}
}
