package runner

import (
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/report"
)

// Rest is what an idle daemon does by default.
var Rest = rest

// Hasten gives a daemon times at which tests don't wait.
func (d *Daemon) Hasten() {
	d.pace = &pace{
		poll:          2 * time.Millisecond,
		pollMax:       10 * time.Millisecond,
		forget:        time.Hour,
		shutdown:      time.Hour,
		start:         time.Hour,
		startRetry:    time.Millisecond,
		closing:       time.Minute,
		closingForced: time.Minute,
		report: report.Pace{
			Latency:   2 * time.Millisecond,
			Gap:       time.Millisecond,
			Heartbeat: 10 * time.Millisecond,
			Retry:     time.Millisecond,
			RetryMax:  5 * time.Millisecond,
			Grace:     time.Second,
		},
	}
}

// Forget sets how often a hastened daemon forgets the tasks version.
func (d *Daemon) Forget(every time.Duration) { d.pace.forget = every }
