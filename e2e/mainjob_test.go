package e2e_test

import (
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	timelineLine = regexp.MustCompile(`^checkout \d+\.\d · .*converge \d+\.\d · routed \d+\.\d · steps \d+\.\d · teardown \d+\.\d$`)
	addressLine  = regexp.MustCompile(`(?m)^address +(https://\S+)$`)
)

// TestMainJob pushes the example recipe and looks at all that its maintainer
// can see: the API, the log for download, the page in a browser, the engine.
func TestMainJob(t *testing.T) {
	w := newWorld(t)
	w.daemon()
	repo, commit := w.push("hello", w.hello())
	job, log := w.finish(repo, w.job(repo, commit))

	if job.Conclusion != "success" {
		t.Fatalf("the job ended with %q:\n%s", job.Conclusion, log)
	}
	t.Run("the API has the steps and their ends", func(t *testing.T) {
		want := []string{
			"Run actions/checkout@v4", "The front page greets, with its config, secret and store",
			"It answers over HTTPS, with a certificate that is valid", "Tests in node reach it, too",
		}
		if len(job.Steps) != len(want) {
			t.Fatalf("steps are %+v, want %q", job.Steps, want)
		}
		for i, step := range job.Steps {
			if step.Name != want[i] || step.Conclusion != "success" {
				t.Errorf("step %d is %q with %q, want %q with success", i, step.Name, step.Conclusion, want[i])
			}
		}
	})
	t.Run("the log tells the whole way and ends with timeline and receipt", func(t *testing.T) {
		w := &world{T: t}
		w.contains(log, "cc-ci ", "recipe  "+repo, "address https://hell-", "Deploy hello",
			"answers 200", "without network", "secret: present", "ssl_verify_result", "200 https://hell-", "all gone")
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if line := lines[len(lines)-2]; !timelineLine.MatchString(line) {
			t.Errorf("the last line but one is %q", line)
		}
		if line := lines[len(lines)-1]; !strings.HasPrefix(line, "receipt: ") || !strings.Contains(line, "all gone") {
			t.Errorf("the last line is %q", line)
		}
	})
	t.Run("the page has each row under its step", func(t *testing.T) {
		page := must(must(w.client.Login(t.Context(), w.user))(t).Read(job.HTMLURL))(t)
		must(page.Next(t.Context()))(t) // the first answer only names the steps
		shown := must(page.Next(t.Context()))(t)
		for step, want := range map[int]string{0: "address https://", 1: "without network", 2: "secret: present", 4: "200 https://", 5: "receipt: "} {
			var text strings.Builder
			for _, line := range shown.Lines[step] {
				text.WriteString(line.Message + "\n")
			}
			if !strings.Contains(text.String(), want) {
				t.Errorf("under %q there is no %q but\n%s", shown.Steps[step].Summary, want, &text)
			}
		}
	})
	t.Run("the page shows it in a browser", func(t *testing.T) { lookAtPage(t, w, job) })
	t.Run("the address is gone", func(t *testing.T) {
		found := addressLine.FindStringSubmatch(log)
		if found == nil {
			t.Fatal("the log names no address")
		}
		answer := must(must(w.lab.Web())(t).Get(found[1]))(t) //nolint:bodyclose // it is closed below
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s still answers %s", path.Base(found[1]), answer.Status)
		}
	})
}
