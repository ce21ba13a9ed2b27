package lab_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

// The engine is a swarm's manager and has the images that a registry would.
func TestEngine(t *testing.T) {
	c, err := client.NewClientWithOpts(client.WithHost(lab.Engine(t)), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !info.Swarm.ControlAvailable {
		t.Error("the engine is no swarm manager")
	}
	for _, ref := range []string{"cc-ci-job:latest", "cc-ci-lab/hello:1", "cc-ci-lab/hello-store:1"} {
		if _, err := c.ImageInspect(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
}

// Traefik answers under the base domain with a certificate of the lab's
// authority, and a request by HTTP is sent to HTTPS.
func TestTraefik(t *testing.T) {
	l := lab.Current(t)
	web, err := l.Web()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := web.Get("https://nobody." + lab.BaseDomain + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a name without an app: status %d, want 404", resp.StatusCode)
	}
	resp, err = web.Get("http://nobody." + lab.BaseDomain + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, want := resp.Header.Get("Location"), "https://nobody."+lab.BaseDomain+"/x"; got != want {
		t.Errorf("by HTTP: sent to %q, want %q", got, want)
	}
}

// Gitea serves its pages with their script, and its API.
func TestGitea(t *testing.T) {
	l := lab.Current(t)
	api, err := l.Gitea()
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, l.Facts.Gitea.URL+"/explore/repos")
	script := regexp.MustCompile(`/assets/js/index[^"]*\.js`).FindString(page)
	if script == "" {
		t.Fatalf("no script in the page:\n%s", page)
	}
	if got := get(t, l.Facts.Gitea.URL+script); len(got) < 10_000 {
		t.Errorf("%s has %d bytes, which is no whole script", script, len(got))
	}
	if err := api.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

const workflow = `on: [push, workflow_dispatch]
jobs:
  test:
    runs-on: nobody-has-this
    steps:
      - run: "true"
`

// A push and a dispatch start a workflow, the job's page can be read, and its
// cancel button works.
func TestGiteaActions(t *testing.T) {
	ctx := t.Context()
	root, err := lab.Current(t).Gitea()
	if err != nil {
		t.Fatal(err)
	}
	user, err := root.CreateUser(ctx, "lab-user")
	must(t, err)
	must(t, root.CreateOrg(ctx, "lab-org", user.Name))
	api, err := root.As(ctx, user)
	must(t, err)
	must(t, api.CreateRepo(ctx, "lab-org", "thing"))
	const repo = "lab-org/thing"

	files := gitea.Files(map[string]string{".gitea/workflows/ci.yml": workflow, "README.md": "# Thing\n"})
	commit, err := api.Push(ctx, repo, "main", "A thing", files)
	must(t, err)
	jobs, err := api.AwaitJobs(ctx, repo, commit, 20*time.Second)
	must(t, err)
	if len(jobs) != 1 || jobs[0].Name != "test" || jobs[0].Status != "queued" {
		t.Fatalf("jobs after the push: %+v, want one queued job named test", jobs)
	}

	session, err := api.Login(ctx, user)
	must(t, err)
	page, err := session.Read(jobs[0].HTMLURL)
	must(t, err)
	shown, err := page.Next(ctx)
	must(t, err)
	if shown.Status != "waiting" || shown.Title != "test" {
		t.Errorf("the page shows %+v, want the job test waiting", shown)
	}
	must(t, session.Cancel(ctx, gitea.RunPage(jobs[0].HTMLURL)))
	end, err := api.AwaitEnd(ctx, repo, jobs[0].ID, 10*time.Second)
	must(t, err)
	if end.Conclusion != "cancelled" {
		t.Errorf("after the cancel button the job is %q", end.Conclusion)
	}

	run, err := api.Dispatch(ctx, repo, "ci.yml", "main", nil)
	must(t, err)
	jobs, err = api.Jobs(ctx, repo, run)
	must(t, err)
	if len(jobs) != 1 {
		t.Errorf("%d jobs after the dispatch, want 1", len(jobs))
	}
	// A second push replaces all.
	second, err := api.Push(ctx, repo, "main", "No workflow", gitea.Files(map[string]string{"README.md": "# Thing 2\n"}))
	must(t, err)
	if second == commit || len(second) != 40 || strings.TrimSpace(second) != second {
		t.Errorf("the second push made commit %q", second)
	}
	token, err := root.RegistrationToken(ctx, "lab-org")
	must(t, err)
	if len(token) < 20 {
		t.Errorf("registration token %q", token)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
