package swarm

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/pkg/stdcopy"
	"golang.org/x/sync/errgroup"
)

const (
	// logTail is how many of a container's last lines an attempt shows.
	logTail = 20
	// logLimit bounds what is read of them, in bytes.
	logLimit = 64 << 10
	// autopsyTimeout bounds the look at one task's container.
	autopsyTimeout = 5 * time.Second
	// autopsiesAtOnce bounds how many tasks are looked at together.
	autopsiesAtOnce = 4
)

// An Attempt is one try of Swarm's to run a service: a task and what its
// container left to read.
type Attempt struct {
	// Service is the service's full name.
	Service string
	// Slot is which replica it was; 0 for global services.
	Slot int
	// Task is the task's id, Container its container's or "".
	Task, Container string
	// State is the task's, in Swarm's words.
	State swarm.TaskState
	// ExitCode is the main process's; it is 0 while that runs.
	ExitCode int
	// Err is what Swarm says is wrong, or "".
	Err string
	// OutOfMemory is true when the kernel killed a process of the container for
	// going over its memory limit.
	OutOfMemory bool
	// Unhealthy is true when the container failed its health check as often as
	// that allows, which makes Swarm stop it. What ends then may exit with 0.
	Unhealthy bool
	// Health is the output of the last failed health check, or "".
	Health string
	// Log is the container's last 20 lines at most, both streams, oldest first.
	Log []string
	// Created is when the task was made.
	Created time.Time
	// Ran is how long the container ran, until now if it still does; 0 if it
	// did not run or is gone.
	Ran time.Duration
}

// String is the attempt in one line, without its log.
func (a Attempt) String() string {
	name := a.Service
	if a.Slot > 0 {
		name = fmt.Sprintf("%s.%d", a.Service, a.Slot)
	}
	line := fmt.Sprintf("%s  %s", name, a.State)
	if a.Ran > 0 {
		line += "  ran " + roundly(a.Ran)
	}
	if a.ExitCode != 0 {
		line += fmt.Sprintf("  exit %d", a.ExitCode)
	}
	if a.OutOfMemory {
		line += "  out of memory"
	}
	if a.Err != "" {
		line += "  " + oneLine(a.Err)
	}
	if a.Health != "" {
		line += "  health: " + oneLine(a.Health)
	}
	return line
}

// Table is the attempts as text for a log: a line each, oldest first, and under
// the last one of every service that has a log, its log.
func Table(attempts []Attempt) string {
	last := map[string]int{}
	for i, a := range attempts {
		if _, ok := last[a.Service]; len(a.Log) > 0 || !ok {
			last[a.Service] = i
		}
	}
	var b strings.Builder
	for i, a := range attempts {
		fmt.Fprintln(&b, a)
		if last[a.Service] != i {
			continue
		}
		for _, line := range a.Log {
			fmt.Fprintf(&b, "    | %s\n", line)
		}
	}
	return b.String()
}

// oneLine makes text fit a table: on one line, cut at 300 bytes.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// roundly is a time as people say it.
func roundly(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// Attempts returns Swarm's tries to run the deployment's services, by service
// and age, those included that Swarm has forgotten but Converge saw end.
func (d *Deployment) Attempts(ctx context.Context) ([]Attempt, error) {
	snap, err := d.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]Attempt, len(snap.tasks))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(autopsiesAtOnce)
	for i, task := range snap.tasks {
		group.Go(func() error {
			found[i] = d.attempt(groupCtx, snap.name(task.ServiceID), task)
			return nil
		})
	}
	_ = group.Wait() // no goroutine returns an error
	listed := map[string]bool{}
	for i, a := range found {
		listed[a.Task] = true
		if earlier, ok := d.recalled(a.Task); ok {
			found[i] = earlier
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, a := range d.ended {
		if !listed[id] {
			found = append(found, a)
		}
	}
	return sortAttempts(found), nil
}

func sortAttempts(attempts []Attempt) []Attempt {
	slices.SortFunc(attempts, func(a, b Attempt) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Slot, b.Slot), a.Created.Compare(b.Created))
	})
	return attempts
}

// recall returns the attempt of a task that has ended, looking at its container the
// first time: Swarm removes the containers of older attempts.
func (d *Deployment) recall(ctx context.Context, service string, task swarm.Task) Attempt {
	if a, ok := d.recalled(task.ID); ok {
		return a
	}
	a := d.attempt(ctx, service, task)
	if ctx.Err() == nil {
		d.mu.Lock()
		d.ended[task.ID] = a
		d.mu.Unlock()
	}
	return a
}

func (d *Deployment) recalled(task string) (Attempt, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.ended[task]
	return a, ok
}

// attempt describes a task from what Swarm says and from what its container
// left. What cannot be read is left out: a report with a gap is better than
// none.
func (d *Deployment) attempt(ctx context.Context, service string, task swarm.Task) Attempt {
	a := Attempt{
		Service: service, Slot: task.Slot, Task: task.ID,
		State: task.Status.State, Err: task.Status.Err, Created: task.CreatedAt,
		Unhealthy: strings.Contains(task.Status.Err, "unhealthy container"),
	}
	status := task.Status.ContainerStatus
	if status == nil || status.ContainerID == "" {
		return a
	}
	a.ExitCode, a.Container = status.ExitCode, status.ContainerID
	ctx, cancel := context.WithTimeout(ctx, autopsyTimeout)
	defer cancel()
	c, err := d.engine.api.ContainerInspect(ctx, a.Container)
	if err != nil || c.ContainerJSONBase == nil || c.State == nil {
		return a
	}
	a.OutOfMemory = c.State.OOMKilled
	a.Ran = runTime(c.State, time.Now())
	if h := c.State.Health; h != nil {
		a.Unhealthy = a.Unhealthy || h.Status == container.Unhealthy
		for _, check := range slices.Backward(h.Log) {
			// The last check may have been cut short with its container.
			if output := strings.TrimSpace(check.Output); check.ExitCode != 0 && output != "" {
				a.Health = output
				break
			}
		}
	}
	if lines, err := d.engine.tail(ctx, a.Container, c.Config != nil && c.Config.Tty, logTail); err == nil {
		a.Log = lines
	}
	return a
}

// runTime returns how long a container ran, or has run by now.
func runTime(state *container.State, now time.Time) time.Duration {
	started, err := time.Parse(time.RFC3339Nano, state.StartedAt)
	if err != nil || started.IsZero() {
		return 0
	}
	if ended, err := time.Parse(time.RFC3339Nano, state.FinishedAt); err == nil && ended.After(started) {
		return ended.Sub(started)
	}
	return max(0, now.Sub(started))
}

// tail returns the last lines of a container's output.
func (e *Engine) tail(ctx context.Context, id string, tty bool, lines int) ([]string, error) {
	body, err := e.api.ContainerLogs(ctx, id, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(lines),
	})
	if err != nil {
		return nil, fmt.Errorf("read the log of container %s: %w", id, err)
	}
	defer body.Close()
	var text bytes.Buffer
	limited := io.LimitReader(body, logLimit)
	if tty {
		_, err = io.Copy(&text, limited)
	} else {
		_, err = stdcopy.StdCopy(&text, &text, limited)
	}
	if err != nil && text.Len() == 0 {
		return nil, fmt.Errorf("read the log of container %s: %w", id, err)
	}
	var tail []string
	for scanner := bufio.NewScanner(&text); scanner.Scan(); {
		tail = append(tail, strings.ToValidUTF8(scanner.Text(), "�"))
	}
	return tail, nil
}
