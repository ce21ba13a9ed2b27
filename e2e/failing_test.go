package e2e_test

import (
	"strings"
	"testing"
)

// TestFailingStep: the job fails with the step, later steps are skipped unless
// they ask for failures, and everything is still taken down.
func TestFailingStep(t *testing.T) {
	w := newWorld(t)
	w.daemon()
	repo, commit := w.push("hello", w.recipe(`
- run: echo before
- run: exit 7
- run: echo never
- if: failure()
  run: echo because of a failure
`)...)
	job, log := w.finish(repo, w.job(repo, commit))
	if job.Conclusion != "failure" {
		t.Errorf("the job ended with %q", job.Conclusion)
	}
	// Gitea 1.26's API gives every step the job's own conclusion; the page knows
	// better. Its "Complete job" ends as the job does.
	page := must(must(must(w.client.Login(t.Context(), w.user))(t).Read(job.HTMLURL))(t).Next(t.Context()))(t)
	var ends []string
	for _, step := range page.Steps {
		ends = append(ends, step.Status)
	}
	if got, want := strings.Join(ends, " "), "success success failure skipped success failure"; got != want {
		t.Errorf("the steps ended with %q, want %q", got, want)
	}
	w.contains(log, "before", "because of a failure", "steps ", "receipt: ", "all gone")
	if strings.Contains(log, "\nnever") {
		t.Error("a step ran after the failed one")
	}
}

// TestCrashLoopingRecipe: a service that ends at once fails the job long before
// its deadline, with the attempts and the service's last words.
func TestCrashLoopingRecipe(t *testing.T) {
	w := newWorld(t)
	w.daemon("timeouts: {converge: 3m}")
	repo, commit := w.push("crash", small(map[string]string{"compose.yml": compose(
		"image: cc-ci-lab/hello:1\nenvironment: [HELLO_FAIL=crash]\ndeploy:\n  restart_policy: {condition: any, delay: 0s}")}))
	job, log := w.finish(repo, w.job(repo, commit))
	if job.Conclusion != "failure" {
		t.Errorf("the job ended with %q", job.Conclusion)
	}
	w.contains(log, "::error::converge: ", "crash loop", "exit 1", "crashing, as HELLO_FAIL asks for", "receipt: ", "all gone")
	if took := job.CompletedAt.Sub(job.StartedAt); took.Minutes() > 2 {
		t.Errorf("the verdict took %s", took)
	}
}
