package swarm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/swarm"
)

// A Verdict is why a deployment will not converge.
type Verdict string

// The verdicts of Converge.
const (
	// CrashLoop: a service ended as often as it was started.
	CrashLoop Verdict = "crash loop"
	// BadImage: a service's image cannot be had or cannot be run.
	BadImage Verdict = "bad image"
	// Unhealthy: a service runs, but fails its health check.
	Unhealthy Verdict = "failed health check"
	// OutOfMemory: the kernel killed a service at its memory limit.
	OutOfMemory Verdict = "out of memory"
	// Unplaceable: no node may run a service.
	Unplaceable Verdict = "no suitable node"
	// RolledBack: Swarm gave up an update and went back.
	RolledBack Verdict = "rolled back"
	// Removed: a service disappeared while it was waited for.
	Removed Verdict = "removed meanwhile"
	// TimedOut: the deadline passed with services still on their way.
	TimedOut Verdict = "not ready in time"
)

const (
	// maxAttempts is how many failed attempts of one replica make a crash loop.
	maxAttempts = 3
	// patientAttempts is the same while another service of the stack is still
	// starting: an app may well crash until its database is up.
	patientAttempts = 6
	// placementGrace is how long Swarm may fail to find a node before that is
	// the verdict: a node's state can lag behind. resourceGrace is the same for
	// what neighbours may be about to give back.
	placementGrace = 2 * time.Second
	resourceGrace  = 20 * time.Second
	// unprovenRun is how long a task must run to count as ready if no health
	// check has spoken for it: with the looks that follow it makes a second. One
	// whose forerunner failed must outlive that by as much, up to longestProof.
	unprovenRun  = time.Second - settle
	longestProof = 15 * time.Second
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

// A judge tells from snapshots whether a deployment is ready or beyond hope. It
// remembers what it saw, asks nobody, and takes the time from its caller.
type judge struct {
	attempts map[string]Attempt   // of tasks that have ended, by task
	stuck    map[string]time.Time // since when no node was found, by service
	upSince  map[string]time.Time // since when it has been seen to run, by task
}

func newJudge() *judge {
	return &judge{attempts: map[string]Attempt{}, stuck: map[string]time.Time{}, upSince: map[string]time.Time{}}
}

// A finding is a judge's verdict about a service.
type finding struct {
	verdict Verdict
	service string
	detail  string
}

// look returns how far the deployment is at the time now, the tasks that make
// up its running state, and a finding if there is no hope.
func (j *judge) look(snap *snapshot, now time.Time) (Progress, []string, *finding) {
	var progress Progress
	var running []string
	for _, service := range snap.services {
		p, tasks := j.serviceProgress(service, snap, now)
		progress = append(progress, p)
		running = append(running, tasks...)
	}
	slices.Sort(running)
	for i, service := range snap.services {
		othersStarting := false
		for k, p := range progress {
			othersStarting = othersStarting || k != i && p.State != "" && !j.hasFailed(snap.services[k], snap.tasks)
		}
		if f := j.judgeService(service, snap.tasks, progress[i], othersStarting, now); f != nil {
			return progress, running, f
		}
	}
	return progress, running, nil
}

// failures returns the failed attempts of the service's present spec, by
// replica, oldest first.
func (j *judge) failures(service swarm.Service, tasks []swarm.Task) map[string][]Attempt {
	slots := map[string][]Attempt{}
	for _, task := range tasks {
		a, ok := j.attempts[task.ID]
		if ok && task.ServiceID == service.ID && isCurrent(service, task) && !isDone(service, task, a) {
			slots[slotOf(task)] = append(slots[slotOf(task)], a)
		}
	}
	for _, attempts := range slots {
		sortAttempts(attempts)
	}
	return slots
}

func (j *judge) hasFailed(service swarm.Service, tasks []swarm.Task) bool {
	return len(j.failures(service, tasks)) > 0
}

// judgeService returns why the service will not become ready, or nil.
func (j *judge) judgeService(service swarm.Service, tasks []swarm.Task, p ServiceProgress, othersStarting bool, now time.Time) *finding {
	name := service.Spec.Name
	if status := service.UpdateStatus; status != nil {
		switch status.State {
		case swarm.UpdateStateRollbackCompleted, swarm.UpdateStateRollbackPaused:
			return &finding{RolledBack, name, status.Message}
		case swarm.UpdateStatePaused:
			if p.State != "" {
				return &finding{CrashLoop, name, status.Message}
			}
		}
	}
	if f := j.judgePlacement(service, tasks, p, now); f != nil {
		return f
	}
	for _, attempts := range j.failures(service, tasks) {
		if f := judgeSlot(service, attempts, othersStarting); f != nil {
			return f
		}
	}
	return nil
}

// judgeSlot judges the failed attempts of one replica, oldest first.
func judgeSlot(service swarm.Service, attempts []Attempt, othersStarting bool) *finding {
	name := service.Spec.Name
	last := attempts[len(attempts)-1]
	if detail := hopeless(last); detail != "" {
		return &finding{BadImage, name, detail}
	}
	if last.OutOfMemory {
		return &finding{OutOfMemory, name, memoryLimit(service)}
	}
	enough, final := maxAttempts, restarts(service)+1
	if othersStarting {
		enough = patientAttempts
	}
	if last.Unhealthy {
		if !othersStarting || len(attempts) >= min(maxAttempts, final) {
			return &finding{Unhealthy, name, healthDetail(last)}
		}
		return nil
	}
	if len(attempts) < min(enough, final) {
		return nil
	}
	return &finding{CrashLoop, name, crashDetail(attempts)}
}

// hopeless returns what is wrong with an attempt that will fail the same way
// however often it is repeated, or "".
func hopeless(a Attempt) string {
	signs := []string{"No such image", "pull access denied", "manifest unknown", "repository does not exist", "invalid mount config"}
	if strings.Contains(a.Err, "OCI runtime create failed") {
		signs = []string{"executable file not found", "exec format error", "no such file or directory", "permission denied", "a directory"}
	}
	for _, sign := range signs {
		if strings.Contains(a.Err, sign) {
			return oneLine(a.Err)
		}
	}
	return ""
}

func healthDetail(a Attempt) string {
	if a.Health == "" {
		return "its health check failed without output"
	}
	return "its health check says: " + oneLine(a.Health)
}

func crashDetail(attempts []Attempt) string {
	last := attempts[len(attempts)-1]
	times := "once"
	if len(attempts) > 1 {
		times = fmt.Sprintf("%d times", len(attempts))
	}
	detail := fmt.Sprintf("it ended %s, last with exit code %d after %s", times, last.ExitCode, roundly(last.Ran))
	if last.State == swarm.TaskStateRejected {
		detail = fmt.Sprintf("it could not be started, tried %s: %s", times, oneLine(last.Err))
	}
	return detail
}

func memoryLimit(service swarm.Service) string {
	r := service.Spec.TaskTemplate.Resources
	if r == nil || r.Limits == nil || r.Limits.MemoryBytes == 0 {
		return "the kernel killed it for want of memory"
	}
	return fmt.Sprintf("the kernel killed it at its limit of %d MiB", r.Limits.MemoryBytes>>20)
}

// judgePlacement finds a service for which Swarm has found no node for a while.
func (j *judge) judgePlacement(service swarm.Service, tasks []swarm.Task, p ServiceProgress, now time.Time) *finding {
	why := ""
	seen := false
	for _, task := range tasks {
		if task.ServiceID != service.ID {
			continue
		}
		seen = true
		if task.Status.State == swarm.TaskStatePending && strings.Contains(task.Status.Err, "no suitable node") {
			why = task.Status.Err
		}
	}
	if !seen && p.Wanted > 0 {
		why = "no node fits its placement constraints"
	}
	if why == "" {
		delete(j.stuck, service.ID)
		return nil
	}
	since, ok := j.stuck[service.ID]
	if !ok {
		j.stuck[service.ID] = now
		return nil
	}
	grace := placementGrace
	if strings.Contains(why, "insufficient resources") || strings.Contains(why, "port") {
		grace = resourceGrace
	}
	if now.Sub(since) < grace {
		return nil
	}
	detail := why
	if placement := service.Spec.TaskTemplate.Placement; placement != nil && len(placement.Constraints) > 0 {
		detail += "; its constraints are " + strings.Join(placement.Constraints, ", ")
	}
	return &finding{Unplaceable, service.Spec.Name, detail}
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
		return fmt.Sprint(task.Slot)
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
