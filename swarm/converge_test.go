package swarm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// A deployment that cannot become ready ends with the reason, long before its
// deadline, and with what the containers left to read.
func TestVerdicts(t *testing.T) {
	engine := connect(t)
	for _, test := range []struct {
		name    string
		make    func(o swarm.Owner) []swarmapi.ServiceSpec
		verdict swarm.Verdict
		limit   time.Duration
		want    []string // in the error and its table
	}{
		{
			"a service that exits with an error each time", func(o swarm.Owner) []swarmapi.ServiceSpec {
				return []swarmapi.ServiceSpec{service(o, "app", "MODE=crash"), service(o, "db")}
			}, swarm.CrashLoop, 20 * time.Second,
			[]string{"_app: crash loop: it ended 3 times, last with exit code 7", "| no database at db:5432"},
		},
		{
			"a service that ends well again and again though it should stay", func(o swarm.Owner) []swarmapi.ServiceSpec {
				return []swarmapi.ServiceSpec{service(o, "app", "MODE=done")}
			}, swarm.CrashLoop, 20 * time.Second, []string{"it ended 3 times, last with exit code 0", "| about to done"},
		},
		{
			"a service that is not to be restarted crashes once", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s := service(o, "app", "MODE=crash")
				s.TaskTemplate.RestartPolicy.Condition = swarmapi.RestartPolicyConditionNone
				return []swarmapi.ServiceSpec{s}
			}, swarm.CrashLoop, 15 * time.Second, []string{"it ended once"},
		},
		{
			"a service that Swarm gives up after one restart", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s, one := service(o, "app", "MODE=crash"), uint64(1)
				s.TaskTemplate.RestartPolicy.MaxAttempts = &one
				return []swarmapi.ServiceSpec{s}
			}, swarm.CrashLoop, 20 * time.Second, []string{"it ended 2 times"},
		},
		{
			"a service that never becomes healthy", func(o swarm.Owner) []swarmapi.ServiceSpec {
				return []swarmapi.ServiceSpec{healthy(service(o, "app", "HEALTH=never")), service(o, "db")}
			}, swarm.Unhealthy, 20 * time.Second,
			[]string{"_app: failed health check: its health check says: database not ready", "| listening"},
		},
		{
			"a service that takes more memory than it may", func(o swarm.Owner) []swarmapi.ServiceSpec {
				// The health check never passes: on a slow machine the program would
				// live long enough to count as ready.
				s := healthy(service(o, "app", "MODE=greedy"))
				s.TaskTemplate.ContainerSpec.Healthcheck.Retries = 1000
				s.TaskTemplate.Resources = &swarmapi.ResourceRequirements{Limits: &swarmapi.Limit{MemoryBytes: 32 << 20}}
				return []swarmapi.ServiceSpec{s}
			}, swarm.OutOfMemory, 20 * time.Second, []string{"its limit of 32 MiB"},
		},
		{
			"a service whose image exists nowhere", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s := service(o, "app")
				s.TaskTemplate.ContainerSpec.Image = "cc-ci-lab/does-not-exist:1"
				return []swarmapi.ServiceSpec{s}
			}, swarm.BadImage, 40 * time.Second, []string{"No such image: cc-ci-lab/does-not-exist:1"},
		},
		{
			"a service whose program is not in its image", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s := service(o, "app")
				s.TaskTemplate.ContainerSpec.Command = []string{"/nothing"}
				return []swarmapi.ServiceSpec{s}
			}, swarm.BadImage, 15 * time.Second, []string{"/nothing"},
		},
		{
			"a service that no node may run", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s := service(o, "app")
				s.TaskTemplate.Placement = &swarmapi.Placement{Constraints: []string{"node.labels.disk == ssd"}}
				return []swarmapi.ServiceSpec{s}
			}, swarm.Unplaceable, 15 * time.Second, []string{"no suitable node", "node.labels.disk == ssd"},
		},
		{
			"a global service that no node may run", func(o swarm.Owner) []swarmapi.ServiceSpec {
				s := service(o, "app")
				s.Mode = swarmapi.ServiceMode{Global: &swarmapi.GlobalService{}}
				s.TaskTemplate.Placement = &swarmapi.Placement{Constraints: []string{"node.labels.disk == ssd"}}
				return []swarmapi.ServiceSpec{s}
			}, swarm.Unplaceable, 15 * time.Second, []string{"no node fits"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOwner(t, engine)
			d, err := engine.Deploy(within(t, 30*time.Second), o, stack(o, test.make(o)...))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = d.Converge(within(t, 2*test.limit), nil)
			t.Logf("after %v:\n%s", time.Since(start).Round(100*time.Millisecond), explainOrNil(err))
			var e *swarm.ConvergeError
			if !errors.As(err, &e) || e.Verdict != test.verdict {
				t.Fatalf("got %v, want the verdict %q", err, test.verdict)
			}
			if took := time.Since(start); took > test.limit {
				t.Errorf("the verdict took %v", took)
			}
			for _, want := range test.want {
				if !strings.Contains(explain(err), want) {
					t.Errorf("it does not say %q", want)
				}
			}
		})
	}
}

func explainOrNil(err error) string {
	if err == nil {
		return "no error"
	}
	return explain(err)
}

// Services that end, as they should, count as ready.
func TestDoneIsReady(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	two := uint64(2)
	job, once := service(o, "job", "MODE=done"), service(o, "once", "MODE=done")
	job.Mode = swarmapi.ServiceMode{ReplicatedJob: &swarmapi.ReplicatedJob{TotalCompletions: &two}}
	job.TaskTemplate.RestartPolicy.Condition = swarmapi.RestartPolicyConditionOnFailure
	once.TaskTemplate.RestartPolicy.Condition = swarmapi.RestartPolicyConditionOnFailure
	global := service(o, "global")
	global.Mode = swarmapi.ServiceMode{Global: &swarmapi.GlobalService{}}
	none := service(o, "none")
	none.Mode.Replicated.Replicas = new(uint64)
	d, err := engine.Deploy(within(t, 30*time.Second), o, stack(o, job, once, global, none))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Converge(within(t, 60*time.Second), nil); err != nil {
		t.Fatal(explain(err))
	}
	attempts, err := d.Attempts(t.Context())
	if err != nil || len(attempts) != 4 {
		t.Errorf("got %d attempts, want 4, %v\n%s", len(attempts), err, swarm.Table(attempts))
	}
}

// The deadline's error says what was still missing, and why.
func TestConvergeDeadline(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	slow := healthy(service(o, "app", "HEALTH=never"))
	slow.TaskTemplate.ContainerSpec.Healthcheck.Retries = 1000
	d, err := engine.Deploy(within(t, 30*time.Second), o, stack(o, slow, service(o, "db")))
	if err != nil {
		t.Fatal(err)
	}
	err = d.Converge(within(t, 6*time.Second), nil)
	var e *swarm.ConvergeError
	if !errors.As(err, &e) || e.Verdict != swarm.TimedOut || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want %q", err, swarm.TimedOut)
	}
	for _, want := range []string{"1 of 2 services ready", "_app: starting", "health: database not ready", "| listening"} {
		if !strings.Contains(explain(err), want) {
			t.Errorf("it does not say %q:\n%s", want, explain(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Converge(ctx, nil); !errors.Is(err, context.Canceled) || errors.As(err, &e) && e.Verdict == "" {
		t.Errorf("a cancelled wait gives %v", err)
	}
}

// A service that someone removes ends the wait, and so does the teardown.
func TestConvergeRemoved(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	slow := healthy(service(o, "app", "HEALTH=never"))
	slow.TaskTemplate.ContainerSpec.Healthcheck.Retries = 1000
	d, err := engine.Deploy(within(t, 30*time.Second), o, stack(o, slow))
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() { waits <- d.Converge(within(t, 30*time.Second), nil) }()
	if _, err := engine.Teardown(within(t, 30*time.Second), o); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; !errors.Is(err, swarm.ErrOwnerGone) {
		t.Errorf("got %v, want %v", err, swarm.ErrOwnerGone)
	}
}

// After an update the old task, still running, does not pass for the new one.
func TestConvergeUpdate(t *testing.T) {
	engine := connect(t)
	o := newOwner(t, engine)
	d := deploy(t, engine, o, stack(o, healthy(service(o, "app"))))
	running, _, err := engine.Client().ServiceInspectWithRaw(t.Context(), name(o)+"_app", swarmapi.ServiceInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := running.Spec
	spec.TaskTemplate.ContainerSpec.Env = append(spec.TaskTemplate.ContainerSpec.Env, "NEW=1")
	if _, err := engine.Client().ServiceUpdate(t.Context(), running.ID, running.Version, spec, swarmapi.ServiceUpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Converge(within(t, 60*time.Second), func(p swarm.Progress) { t.Log(p) }); err != nil {
		t.Fatal(explain(err))
	}
	ids, err := engine.Client().ContainerList(t.Context(), container.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range ids {
		if c.Labels[swarm.LabelSlug] != o.Slug {
			continue
		}
		full, err := engine.Client().ContainerInspect(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(full.Config.Env, " "), "NEW=1") {
			t.Errorf("container %s still runs the old spec", c.ID)
		}
	}
}
