package swarm_test

import (
	"fmt"
	"testing"
	"time"

	swarmapi "github.com/docker/docker/api/types/swarm"

	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// judged makes a service named id, of one replica and spec "new".
func judged(id string, change ...func(*swarmapi.Service)) swarmapi.Service {
	s := swarmapi.Service{ID: id}
	s.Spec.Name = id
	s.Spec.TaskTemplate.ContainerSpec = &swarmapi.ContainerSpec{Image: "new"}
	s.Spec.Mode.Replicated = &swarmapi.ReplicatedService{}
	for _, f := range change {
		f(&s)
	}
	return s
}

// judgedTask makes the n-th task of a service, in state, with an image for a spec.
func judgedTask(service string, n int, state swarmapi.TaskState, image string) swarmapi.Task {
	task := swarmapi.Task{ID: fmt.Sprint(service, n), ServiceID: service, Slot: 1, NodeID: "elsewhere", DesiredState: swarmapi.TaskStateRunning}
	task.CreatedAt = time.Unix(int64(n), 0)
	task.Spec.ContainerSpec = &swarmapi.ContainerSpec{Image: image}
	task.Status.State = state
	return task
}

// crashes makes n failed tasks of a service, and the attempts they were.
func crashes(service string, n int, change ...func(*swarm.Attempt)) (tasks []swarmapi.Task, ended []swarm.Attempt) {
	for i := range n {
		task := judgedTask(service, i, swarmapi.TaskStateFailed, "new")
		a := swarm.Attempt{Service: service, Slot: 1, Task: task.ID, State: task.Status.State, ExitCode: 1, Ran: 3 * time.Second}
		for _, f := range change {
			f(&a)
		}
		tasks, ended = append(tasks, task), append(ended, a)
	}
	return tasks, ended
}

// The judge tells what is ready, what may yet become so, and what will not.
func TestJudge(t *testing.T) {
	running, starting := swarmapi.TaskStateRunning, swarmapi.TaskStateStarting
	update := func(state swarmapi.UpdateState) func(*swarmapi.Service) {
		return func(s *swarmapi.Service) { s.UpdateStatus = &swarmapi.UpdateStatus{State: state} }
	}
	// crashed is a look at an app with n crashes, its next task in state, beside a db in dbState.
	crashed := func(at time.Duration, n int, state, dbState swarmapi.TaskState, change ...func(*swarm.Attempt)) swarm.Look {
		tasks, ended := crashes("app", n, change...)
		tasks = append(tasks, judgedTask("app", n, state, "new"), judgedTask("db", 0, dbState, "new"))
		return swarm.Look{At: at, Services: []swarmapi.Service{judged("app"), judged("db")}, Tasks: tasks, Ended: ended}
	}
	up := func(at time.Duration, image string, change ...func(*swarmapi.Service)) swarm.Look {
		return swarm.Look{At: at, Services: []swarmapi.Service{judged("app", change...)},
			Tasks: []swarmapi.Task{judgedTask("app", 1, running, image)}}
	}
	stuck := func(at time.Duration, why string) swarm.Look {
		task := judgedTask("app", 1, swarmapi.TaskStatePending, "new")
		task.Status.Err = why
		return swarm.Look{At: at, Services: []swarmapi.Service{judged("app")}, Tasks: []swarmapi.Task{task}}
	}
	unhealthy := func(a *swarm.Attempt) { a.Unhealthy = true }
	for _, test := range []struct {
		name    string
		looks   []swarm.Look
		ready   bool
		verdict swarm.Verdict
	}{
		{"a task without a health check has only just started", []swarm.Look{up(0, "new")}, false, ""},
		{"it has run for a while", []swarm.Look{up(0, "new"), up(time.Second, "new")}, true, ""},
		{"a task of the spec before the update still runs", []swarm.Look{up(0, "old"), up(time.Minute, "old")}, false, ""},
		{"the new task runs but the update goes on",
			[]swarm.Look{up(0, "new"), up(time.Minute, "new", update(swarmapi.UpdateStateUpdating))}, false, ""},
		{"the update is complete",
			[]swarm.Look{up(0, "new"), up(time.Minute, "new", update(swarmapi.UpdateStateCompleted))}, true, ""},
		{"the update was paused, but all is as it should be",
			[]swarm.Look{up(0, "new"), up(time.Minute, "new", update(swarmapi.UpdateStatePaused))}, true, ""},
		{"Swarm went back to the old spec",
			[]swarm.Look{up(0, "new"), up(time.Minute, "new", update(swarmapi.UpdateStateRollbackCompleted))}, true, swarm.RolledBack},
		{"two crashes may happen", []swarm.Look{crashed(0, 2, starting, running)}, false, ""},
		{"three are a loop", []swarm.Look{crashed(0, 3, starting, running), crashed(time.Second, 3, starting, running)}, false, swarm.CrashLoop},
		{"three may be for want of a database that is starting", []swarm.Look{crashed(0, 3, starting, starting)}, false, ""},
		{"six are a loop whatever the database does", []swarm.Look{crashed(0, 6, starting, starting)}, false, swarm.CrashLoop},
		{"after a crash at 3 s, a second is no proof",
			[]swarm.Look{crashed(0, 1, running, running), crashed(2*time.Second, 1, running, running)}, false, ""},
		{"having outlived its forerunner it counts",
			[]swarm.Look{crashed(0, 1, running, running), crashed(5*time.Second, 1, running, running)}, true, ""},
		{"a failed health check with all else ready",
			[]swarm.Look{crashed(0, 0, starting, running), crashed(time.Second, 1, starting, running, unhealthy)}, false, swarm.Unhealthy},
		{"a failed health check may be for want of a database", []swarm.Look{crashed(0, 1, starting, starting, unhealthy)}, false, ""},
		{"no node just now", []swarm.Look{stuck(0, "no suitable node (scheduling constraints not satisfied)")}, false, ""},
		{"no node for seconds", []swarm.Look{stuck(0, "no suitable node (scheduling constraints not satisfied)"),
			stuck(3*time.Second, "no suitable node (scheduling constraints not satisfied)")}, false, swarm.Unplaceable},
		{"no memory for seconds, which neighbours may give back", []swarm.Look{stuck(0, "no suitable node (insufficient resources)"),
			stuck(3*time.Second, "no suitable node (insufficient resources)")}, false, ""},
		{"no memory for long", []swarm.Look{stuck(0, "no suitable node (insufficient resources)"),
			stuck(30*time.Second, "no suitable node (insufficient resources)")}, false, swarm.Unplaceable},
	} {
		t.Run(test.name, func(t *testing.T) {
			progress, verdict := swarm.Try(test.looks...)
			if progress.Ready() != test.ready || verdict != test.verdict {
				t.Errorf("ready %t, verdict %q; want %t, %q\n%s", progress.Ready(), verdict, test.ready, test.verdict, progress)
			}
		})
	}
}
