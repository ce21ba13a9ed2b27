package swarm

import (
	"fmt"
	"slices"
	"strings"
	"time"

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
