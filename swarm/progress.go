package swarm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/swarm"
)

// A snapshot is a deployment's services and tasks at about one moment.
type snapshot struct {
	services []swarm.Service
	tasks    []swarm.Task
	// containers are those of the tasks of this node, by id, and node is its
	// id. They are ahead of the tasks' states, which follow after up to a second.
	containers map[string]container.Summary
	node       string
}

// lives tells whether the task's container runs, as far as can be seen from
// here, and whether a health check speaks for it.
func (s *snapshot) lives(task swarm.Task) (alive, proven bool) {
	status := task.Status.ContainerStatus
	if status == nil || task.NodeID != s.node {
		return true, false
	}
	c, ok := s.containers[status.ContainerID]
	if !ok || c.State != container.StateRunning || strings.Contains(c.Status, "(unhealthy)") {
		return false, false
	}
	return true, strings.Contains(c.Status, "(healthy)")
}

func (s *snapshot) name(serviceID string) string {
	for _, service := range s.services {
		if service.ID == serviceID {
			return service.Spec.Name
		}
	}
	return serviceID
}

// ServiceProgress is how far a service is.
type ServiceProgress struct {
	// Name is the service's full name.
	Name string
	// Ready replicas, and how many are wanted.
	Ready, Wanted int
	// State is what the service is waiting for, "" once it is ready.
	State string
}

// Progress is how far a deployment is.
type Progress []ServiceProgress

// Ready tells whether every service is.
func (p Progress) Ready() bool {
	return !slices.ContainsFunc(p, func(s ServiceProgress) bool { return s.State != "" })
}

// String is the progress in one line: "1 of 2 services ready; app: starting".
func (p Progress) String() string {
	ready := 0
	var waiting []string
	for _, s := range p {
		if s.State == "" {
			ready++
		} else {
			waiting = append(waiting, s.Name+": "+s.State)
		}
	}
	text := fmt.Sprintf("%d of %d services ready", ready, len(p))
	if len(waiting) > 0 {
		text += "; " + strings.Join(waiting, "; ")
	}
	return text
}

// serviceProgress counts the service's replicas that are as they should be and
// names their tasks.
func (j *judge) serviceProgress(service swarm.Service, snap *snapshot, now time.Time) (ServiceProgress, []string) {
	p := ServiceProgress{Name: service.Spec.Name, Wanted: wanted(service)}
	var ready []string
	var newest *swarm.Task
	failures := j.failures(service, snap.tasks)
	slots := map[string]bool{}
	unproven := false
	for i, task := range snap.tasks {
		if task.ServiceID != service.ID {
			continue
		}
		if newest == nil || newest.CreatedAt.Before(task.CreatedAt) {
			newest = &snap.tasks[i]
		}
		if !j.isUp(service, task, snap, now) || slots[slotOf(task)] {
			continue
		}
		if j.isProven(task, snap, failures[slotOf(task)], now) {
			slots[slotOf(task)] = true
			ready = append(ready, task.ID)
		} else {
			unproven = true
		}
	}
	p.Ready = len(ready)
	switch status := service.UpdateStatus; {
	case status != nil && (status.State == swarm.UpdateStateUpdating || status.State == swarm.UpdateStateRollbackStarted):
		p.State = string(status.State)
	case p.Ready >= p.Wanted:
	case unproven:
		p.State = "running, being watched for a moment"
	case newest == nil:
		p.State = "no task yet"
	default:
		p.State = string(newest.Status.State)
		if newest.Status.Err != "" {
			p.State += ": " + oneLine(newest.Status.Err)
		}
	}
	return p, ready
}

// isUp tells whether the task is what its service wants it to be just now, and
// notes since when. Swarm calls a task running only once its health check has
// passed.
func (j *judge) isUp(service swarm.Service, task swarm.Task, snap *snapshot, now time.Time) bool {
	up := false
	if a, ended := j.attempts[task.ID]; ended {
		up = isCurrent(service, task) && isDone(service, task, a)
	} else if task.Status.State == swarm.TaskStateRunning && task.DesiredState == swarm.TaskStateRunning && !isJob(service) {
		alive, _ := snap.lives(task)
		up = alive && isCurrent(service, task)
	}
	if _, known := j.upSince[task.ID]; up && !known {
		j.upSince[task.ID] = now
	} else if !up {
		delete(j.upSince, task.ID)
	}
	return up
}

// isProven tells whether a task that is up has been so for long enough: at once
// if it passed a health check or has done its work, else after a moment, since
// a program that is about to crash runs too.
func (j *judge) isProven(task swarm.Task, snap *snapshot, failures []Attempt, now time.Time) bool {
	if _, ended := j.attempts[task.ID]; ended {
		return true
	}
	var needed time.Duration
	if _, healthy := snap.lives(task); !healthy {
		needed = unprovenRun
	}
	for _, a := range failures {
		needed = max(needed, min(a.Ran+unprovenRun, longestProof))
	}
	return now.Sub(j.upSince[task.ID]) >= needed
}

// wanted returns how many replicas the service should have, or how many tasks
// of a job should complete. A global service's number is Swarm's own count of
// nodes that fit, and at least one.
func wanted(service swarm.Service) int {
	number := func(n *uint64) int {
		if n == nil {
			return 1
		}
		return int(*n)
	}
	switch mode := service.Spec.Mode; {
	case mode.Replicated != nil:
		return number(mode.Replicated.Replicas)
	case mode.ReplicatedJob != nil:
		if mode.ReplicatedJob.TotalCompletions != nil {
			return number(mode.ReplicatedJob.TotalCompletions)
		}
		return number(mode.ReplicatedJob.MaxConcurrent)
	case mode.GlobalJob != nil || mode.Global != nil:
		if service.ServiceStatus != nil {
			return max(1, int(service.ServiceStatus.DesiredTasks))
		}
	}
	return 1
}

// hasEnded tells whether the task's container has ended by itself, or could not
// be started.
func hasEnded(task swarm.Task) bool {
	switch task.Status.State {
	case swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateComplete:
		return true
	}
	return false
}

// isDone tells whether a task that has ended did so as it should: well, and not
// to be started again.
func isDone(service swarm.Service, task swarm.Task, a Attempt) bool {
	return task.Status.State == swarm.TaskStateComplete && !a.Unhealthy &&
		(isJob(service) || condition(service) != swarm.RestartPolicyConditionAny)
}

func isJob(service swarm.Service) bool {
	return service.Spec.Mode.ReplicatedJob != nil || service.Spec.Mode.GlobalJob != nil
}

func condition(service swarm.Service) swarm.RestartPolicyCondition {
	if policy := service.Spec.TaskTemplate.RestartPolicy; policy != nil && policy.Condition != "" {
		return policy.Condition
	}
	return swarm.RestartPolicyConditionAny
}

// restarts returns how often Swarm will restart a replica before it leaves it;
// a large number when it never does.
func restarts(service swarm.Service) int {
	policy := service.Spec.TaskTemplate.RestartPolicy
	switch {
	case condition(service) == swarm.RestartPolicyConditionNone:
		return 0
	case policy == nil || policy.MaxAttempts == nil || *policy.MaxAttempts == 0 || *policy.MaxAttempts > 1000:
		return 1000
	}
	return int(*policy.MaxAttempts)
}

// slotOf names the replica the task is of: a slot, or a node of a global
// service.
func slotOf(task swarm.Task) string {
	if task.Slot != 0 {
		return strconv.Itoa(task.Slot)
	}
	return task.NodeID
}

// isCurrent tells whether the task was made from the service's present spec.
// Swarm keeps a task when only its placement changes, and fills in the runtime
// on services but not on tasks.
func isCurrent(service swarm.Service, task swarm.Task) bool {
	if job := service.JobStatus; job != nil && task.JobIteration != nil {
		return task.JobIteration.Index == job.JobIteration.Index
	}
	a, b := service.Spec.TaskTemplate, task.Spec
	a.Placement, b.Placement = nil, nil
	a.Runtime, b.Runtime = "", ""
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
