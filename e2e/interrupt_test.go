package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestCancelInMidStep: the button on the page stops the step's whole process
// tree, steps that ask for it still run, and everything is taken down.
func TestCancelInMidStep(t *testing.T) {
	w := newWorld(t)
	w.daemon()
	repo, commit := w.push("hello", w.recipe(`
- run: |
    (trap '' INT TERM; sleep 600) &
    echo "step is under way"
    sleep 600
- if: cancelled()
  run: echo cleaning up after a cancel
`)...)
	job := w.job(repo, commit)
	w.awaitLine(job, "step is under way")
	session := must(w.client.Login(t.Context(), w.user))(t)
	run, _, _ := strings.Cut(job.HTMLURL, "/jobs/")
	if err := session.Cancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	ended, _ := w.finish(repo, job)
	if ended.Conclusion != "cancelled" {
		t.Errorf("the job ended with %q", ended.Conclusion)
	}
	// Gitea before 1.27 calls the job ended at once; its log goes on.
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	w.poll(ctx, "the receipt in the log", func() bool { return strings.Contains(w.logSoFar(repo, job), "receipt: ") })
	w.contains(w.logSoFar(repo, job), "cleaning up after a cancel", "was cancelled", "all gone")
}

// TestTwoJobsAtOnce: each job sees its own app and neither the other's.
func TestTwoJobsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.daemon("capacity: 2")
	steps := `
- run: echo "slug $CC_CI_SLUG is up"
- run: |
    for i in $(seq 1 60); do
      [ "$(curl -s "$CC_CI_URL/" | grep -c '^secret: present')" = 1 ] || exit 1
      curl -s "http://store:7000/seen-$CC_CI_SLUG" > /dev/null || true
      sleep 0.05
    done
`
	one, first := w.push("one", w.recipe(steps)...)
	two, second := w.push("two", w.recipe(steps)...)
	a, b := w.job(one, first), w.job(two, second)
	w.awaitLine(a, "is up")
	w.awaitLine(b, "is up")
	a, logA := w.finish(one, a)
	b, logB := w.finish(two, b)
	if a.Conclusion != "success" || b.Conclusion != "success" {
		t.Errorf("the jobs ended with %q and %q:\n%s\n%s", a.Conclusion, b.Conclusion, logA, logB)
	}
	if a.StartedAt.After(b.CompletedAt) || b.StartedAt.After(a.CompletedAt) {
		t.Error("the jobs ran one after the other")
	}
	slugA, slugB := addressLine.FindString(logA), addressLine.FindString(logB)
	if slugA == "" || slugA == slugB {
		t.Errorf("the addresses are %q and %q", slugA, slugB)
	}
}

// TestKilledDaemon: what a daemon leaves when it is killed in mid-job, the next
// one takes down at its start, and a run of cc-ci reap shows it before.
func TestKilledDaemon(t *testing.T) {
	w := newWorld(t)
	d := w.daemon()
	repo, commit := w.push("hello", w.recipe("- run: echo step is under way && sleep 600")...)
	job := w.job(repo, commit)
	w.awaitLine(job, "step is under way")
	d.kill()
	slug := strings.TrimPrefix(addressLine.FindStringSubmatch(stripTimes(w.logSoFar(repo, job)))[1], "https://")
	slug, _, _ = strings.Cut(slug, ".")

	out, code := w.cli("reap", "--dry-run", "--config", d.config)
	if code != 0 || !strings.Contains(out, slug) || !strings.Contains(out, "would be removed") {
		t.Errorf("cc-ci reap --dry-run: exit code %d\n%s", code, out)
	}
	d.start()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	w.poll(ctx, "the next daemon to clear up", func() bool {
		census := must(w.engine.CensusAll(ctx))(t)
		for _, object := range census {
			if strings.HasPrefix(object.Name, slug) {
				return false
			}
		}
		return true
	})
	out, code = w.cli("reap", "--config", d.config)
	if code != 0 || strings.Contains(out, slug) {
		t.Errorf("cc-ci reap afterwards: exit code %d\n%s", code, out)
	}

	// The runner is as good as new.
	again, second := w.push("again", w.recipe("- run: echo alive")...)
	if job, log := w.finish(again, w.job(again, second)); job.Conclusion != "success" {
		t.Errorf("the next job ended with %q:\n%s", job.Conclusion, log)
	}
}
