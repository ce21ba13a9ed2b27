package giteatest

import (
	"maps"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
)

// Page is what the Actions page shows of a task, by the rules of Gitea's
// modules/actions/task_state.go.
type Page struct {
	// Result is unspecified while the task runs.
	Result runnerv1.Result
	// Rows are all rows; SetUp, each Step's and Complete those under a heading.
	Rows, SetUp, Complete []string
	Steps                 []Step
	// Archived is whether the log was closed.
	Archived bool
	Outputs  map[string]string
	// State is the last that was stored; nil before the first.
	State *runnerv1.TaskState
}

// Step is one of a job's own steps.
type Step struct {
	Result runnerv1.Result
	Rows   []string
}

// Page shows a task as it is now.
func (s *Server) Page(id int64) Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.tasks[id-1]
	page := Page{Result: found.result, Archived: found.archived, State: found.state, Outputs: maps.Clone(found.outputs)}
	for _, row := range found.rows {
		page.Rows = append(page.Rows, row.Content)
	}
	total := int64(len(page.Rows))
	setUp, used := total, int64(0)
	first := true
	for _, step := range found.state.GetSteps() {
		ran := step.Result == runnerv1.Result_RESULT_SUCCESS || step.Result == runnerv1.Result_RESULT_FAILURE
		running := step.Result == runnerv1.Result_RESULT_UNSPECIFIED && step.StartedAt != nil
		if first && (ran || running) {
			first, setUp = false, step.LogIndex
		}
		used += step.LogLength
		page.Steps = append(page.Steps, Step{step.Result, page.cut(step.LogIndex, step.LogIndex+step.LogLength)})
	}
	page.SetUp = page.cut(0, setUp)
	page.Complete = page.cut(setUp+used, total)
	return page
}

// cut is a run of rows, as far as they have come.
func (p *Page) cut(from, to int64) []string {
	total := int64(len(p.Rows))
	from, to = min(from, total), min(to, total)
	if from >= to {
		return nil
	}
	return p.Rows[from:to]
}

// Handed reports whether a runner was given the task.
func (s *Server) Handed(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id-1].runner != 0
}
