package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Run is a workflow's run.
type Run struct {
	ID         int64
	RunNumber  int64  `json:"run_number"`
	HTMLURL    string `json:"html_url"`
	HeadSHA    string `json:"head_sha"`
	Event      string
	Path       string // workflow file and ref
	Status     string // queued, in_progress, completed, …
	Conclusion string // success, failure, cancelled, skipped; empty before the end
}

// Job is a job of a run.
type Job struct {
	ID          int64
	RunID       int64  `json:"run_id"`
	HTMLURL     string `json:"html_url"`
	Name        string
	Status      string
	Conclusion  string
	RunnerName  string `json:"runner_name"`
	Steps       []Step
	CreatedAt   time.Time `json:"created_at"`
	StartedAt   time.Time `json:"started_at"`
	CompletedAt time.Time `json:"completed_at"`
}

// Step is a step of a job, as the API tells it.
type Step struct {
	Name       string
	Number     int64
	Status     string
	Conclusion string
}

// Dispatch starts a workflow by its file's name, on a branch, and returns the
// run's ID.
func (c *Client) Dispatch(ctx context.Context, repo, file, branch string, inputs map[string]string) (run int64, err error) {
	var out struct {
		ID int64 `json:"workflow_run_id"`
	}
	err = c.do(ctx, http.MethodPost,
		"/api/v1/repos/"+repoPath(repo)+"/actions/workflows/"+url.PathEscape(file)+"/dispatches?return_run_details=true",
		map[string]any{"ref": "refs/heads/" + branch, "inputs": inputs}, &out)
	return out.ID, err
}

// Runs lists the repository's runs, the newest first.
func (c *Client) Runs(ctx context.Context, repo string) ([]Run, error) {
	var out struct {
		Runs []Run `json:"workflow_runs"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/repos/"+repoPath(repo)+"/actions/runs?limit=50", nil, &out)
	return out.Runs, err
}

// Jobs lists the jobs of a run.
func (c *Client) Jobs(ctx context.Context, repo string, run int64) ([]Job, error) {
	var out struct{ Jobs []Job }
	err := c.do(ctx, http.MethodGet, "/api/v1/repos/"+repoPath(repo)+"/actions/runs/"+itoa(run)+"/jobs", nil, &out)
	return out.Jobs, err
}

// Job tells how a job stands.
func (c *Client) Job(ctx context.Context, repo string, job int64) (Job, error) {
	var out Job
	err := c.do(ctx, http.MethodGet, "/api/v1/repos/"+repoPath(repo)+"/actions/jobs/"+itoa(job), nil, &out)
	return out, err
}

// Log downloads the log of a job, with a time before each line.
func (c *Client) Log(ctx context.Context, repo string, job int64) (string, error) {
	var out string
	err := c.do(ctx, http.MethodGet, "/api/v1/repos/"+repoPath(repo)+"/actions/jobs/"+itoa(job)+"/logs", nil, &out)
	return out, err
}

// AwaitJobs waits, up to the limit, until a commit has a run, and returns the
// newest one's jobs.
func (c *Client) AwaitJobs(ctx context.Context, repo, commit string, limit time.Duration) ([]Job, error) {
	var jobs []Job
	err := await(ctx, limit, "a run of commit "+commit, func() (bool, error) {
		runs, err := c.Runs(ctx, repo)
		if err != nil {
			return false, err
		}
		for _, r := range runs {
			if r.HeadSHA == commit {
				jobs, err = c.Jobs(ctx, repo, r.ID)
				return len(jobs) > 0, err
			}
		}
		return false, nil
	})
	return jobs, err
}

// AwaitEnd waits, up to the limit, for a job's end and returns how it stands
// then.
func (c *Client) AwaitEnd(ctx context.Context, repo string, job int64, limit time.Duration) (Job, error) {
	var j Job
	err := await(ctx, limit, fmt.Sprintf("the end of job %d", job), func() (done bool, err error) {
		j, err = c.Job(ctx, repo, job)
		return j.Status == "completed", err
	})
	return j, err
}

// await asks every 50 ms until the answer is yes or an error.
func await(ctx context.Context, limit time.Duration, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait %s for %s: %w", limit, what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
