package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// Bounds of waits. They only end tests that hang: nothing is measured here.
const (
	pickupLimit = 60 * time.Second
	jobLimit    = 4 * time.Minute
)

// A world is one test's own corner of the lab: an organisation with a user, and
// a client that is the user.
type world struct {
	*testing.T
	lab    *lab.Lab
	admin  *gitea.Client
	client *gitea.Client
	user   gitea.User
	org    string
	engine *swarm.Engine
	binary string
}

var worlds atomic.Int64

// newWorld makes a corner with a name of its own, so that tests can run side by
// side and again in a lab that stays up.
func newWorld(t *testing.T) *world {
	t.Helper()
	l := lab.Current(t)
	w := &world{T: t, lab: l, binary: filepath.Join(l.Repo, "bin", "cc-ci")}
	if _, err := os.Stat(w.binary); err != nil {
		t.Fatalf("%v: make build makes it, and make test calls that", err)
	}
	name := fmt.Sprintf("w%d-%x", worlds.Add(1), time.Now().UnixNano()&0xffffff)
	w.org = "org-" + name
	var err error
	if w.admin, err = l.Gitea(); err != nil {
		t.Fatal(err)
	}
	w.user = must(w.admin.CreateUser(t.Context(), "user-"+name))(t)
	if err := w.admin.CreateOrg(t.Context(), w.org, w.user.Name); err != nil {
		t.Fatal(err)
	}
	w.client = must(w.admin.As(t.Context(), w.user))(t)
	if w.engine, err = swarm.Open(t.Context(), l.Facts.DockerHost); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.engine.Close() })
	w.unchanged()
	return w
}

// as is the same world in a subtest.
func (w *world) as(t *testing.T) *world {
	sub := *w
	sub.T = t
	return &sub
}

// must makes a test end on an error: must(f())(t).
func must[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// push makes a repository of these files and returns its name and the commit.
func (w *world) push(name string, files ...fs.FS) (repo, commit string) {
	w.Helper()
	repo = w.org + "/" + name
	if err := w.client.CreateRepo(w.Context(), w.org, name); err != nil {
		w.Fatal(err)
	}
	return repo, must(w.client.Push(w.Context(), repo, "main", "a push", files...))(w)
}

// hello is the example recipe, from the repository.
func (w *world) hello() fs.FS {
	return os.DirFS(filepath.Join(w.lab.Repo, "examples", "recipes", "hello"))
}

// recipe is the example recipe with a workflow of these steps, and other files
// in place of its own.
func (w *world) recipe(steps string, others ...string) []fs.FS {
	files := map[string]string{".gitea/workflows/ci.yml": workflow(steps)}
	for i := 0; i+1 < len(others); i += 2 {
		files[others[i]] = others[i+1]
	}
	return []fs.FS{w.hello(), gitea.Files(files)}
}

// workflow is a workflow of one job with these steps.
func workflow(steps string) string {
	return "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps:\n" + indent(steps, "      ")
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimLeft(text, "\n")) {
		b.WriteString(by + line)
	}
	return b.String() + "\n"
}

// job waits for the only job of a commit.
func (w *world) job(repo, commit string) gitea.Job {
	w.Helper()
	jobs, err := w.client.AwaitJobs(w.Context(), repo, commit, pickupLimit)
	if err != nil {
		w.Fatal(err)
	}
	if len(jobs) != 1 {
		w.Fatalf("the commit has %d jobs, want one", len(jobs))
	}
	return jobs[0]
}

// finish waits for a job's end and returns it with its log as Gitea gives it
// for download, without the times.
func (w *world) finish(repo string, job gitea.Job) (gitea.Job, string) {
	w.Helper()
	ended, err := w.client.AwaitEnd(w.Context(), repo, job.ID, jobLimit)
	if err != nil {
		w.Fatalf("%v\n%s", err, w.logSoFar(repo, job))
	}
	return ended, stripTimes(must(w.client.Log(w.Context(), repo, job.ID))(w))
}

func (w *world) logSoFar(repo string, job gitea.Job) string {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	text, err := w.client.Log(ctx, repo, job.ID)
	if err != nil {
		return err.Error()
	}
	return text
}

func stripTimes(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		_, text, _ := strings.Cut(line, " ")
		b.WriteString(text)
	}
	return b.String()
}

// awaitLine waits until the job's page shows a line that contains text.
func (w *world) awaitLine(job gitea.Job, text string) {
	w.Helper()
	ctx, stop := context.WithTimeout(w.Context(), jobLimit)
	defer stop()
	reader := must(must(w.client.Login(ctx, w.user))(w).Read(job.HTMLURL))(w)
	var seen strings.Builder
	w.poll(ctx, fmt.Sprintf("a line with %q", text), func() bool {
		page := must(reader.Next(ctx))(w)
		for _, lines := range page.Lines {
			for _, line := range lines {
				fmt.Fprintln(&seen, line.Message)
				if strings.Contains(line.Message, text) {
					return true
				}
			}
		}
		if page.Done {
			w.Fatalf("the job ended without a line with %q; it says\n%s", text, &seen)
		}
		return false
	})
}

// poll asks until the answer is yes; the context's end is the test's.
func (w *world) poll(ctx context.Context, what string, ask func() bool) {
	w.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			w.Fatalf("waiting for %s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// contains fails the test unless the log has all of these, in this order.
func (w *world) contains(log string, wants ...string) {
	w.Helper()
	rest := log
	for _, want := range wants {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			w.Errorf("the log lacks %q (in this order: %q):\n%s", want, wants, log)
			return
		}
		rest = after
	}
}

// unchanged notes what is on the engine and fails the test if its end finds
// anything else there.
func (w *world) unchanged() {
	w.Helper()
	before := must(w.engine.CensusAll(w.Context()))(w)
	w.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		after := must(w.engine.CensusAll(ctx))(w)
		if more := after.Without(before); len(more) > 0 {
			w.Errorf("left on the engine: %v", more)
		}
		if less := before.Without(after); len(less) > 0 {
			w.Errorf("taken from the engine though it was there before: %v", less)
		}
	})
}
