package swarm

import (
	"time"

	"github.com/docker/docker/api/types/swarm"
)

// Look is one look of a Trial.
type Look struct {
	At       time.Duration // since the first
	Services []swarm.Service
	Tasks    []swarm.Task
	Ended    []Attempt // of tasks that have ended by then
}

// Try shows a judge the looks and returns what it says of the last one.
func Try(looks ...Look) (Progress, Verdict) {
	j, start := newJudge(), time.Unix(1_000_000, 0)
	var progress Progress
	var verdict Verdict
	for _, look := range looks {
		for _, a := range look.Ended {
			j.attempts[a.Task] = a
		}
		p, _, found := j.look(&snapshot{services: look.Services, tasks: look.Tasks}, start.Add(look.At))
		progress, verdict = p, ""
		if found != nil {
			verdict = found.verdict
		}
	}
	return progress, verdict
}
