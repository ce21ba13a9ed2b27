package e2e_test

import (
	"context"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

var update = flag.Bool("update", false, "write the screenshot of the Actions page anew")

// browserLimit is how long a page may take to show what a test wants of it.
const browserLimit = 2 * time.Minute

// lookAtPage opens a finished job's page as its maintainer does: steps, groups,
// lines, and no error of the page's own.
func lookAtPage(t *testing.T, w *world, job gitea.Job) {
	ctx, errors := browser(t)
	session := must(w.client.Login(t.Context(), w.user))(t)
	var steps, groups []string
	var lines int
	var picture []byte
	err := chromedp.Run(ctx,
		setCookies(w.lab.Facts.Gitea.URL, session.Cookies()),
		chromedp.EmulateViewport(1280, 860),
		chromedp.Navigate(job.HTMLURL),
		chromedp.WaitVisible(".job-step-section", chromedp.ByQuery),
		openStep(0), openStep(2),
		chromedp.WaitVisible(".job-log-group-summary", chromedp.ByQuery),
		chromedp.Evaluate(texts(".step-summary-msg"), &steps),
		chromedp.Evaluate(texts(".job-log-group-summary"), &groups),
		chromedp.Evaluate(`document.querySelectorAll(".job-log-line").length`, &lines),
		chromedp.FullScreenshot(&picture, 100),
	)
	if err != nil {
		t.Fatalf("looking at the page: %v; it complained of %q", err, errors.all())
	}
	if want := "Set up job"; len(steps) != 6 || steps[0] != want || steps[5] != "Complete job" {
		t.Errorf("the page's steps are %q, want Set up job, four and Complete job", steps)
	}
	if len(groups) == 0 || !strings.Contains(strings.Join(groups, "\n"), "Deploy hello") {
		t.Errorf("the page's groups are %q, want one that deploys", groups)
	}
	if lines < 10 {
		t.Errorf("the page shows %d lines", lines)
	}
	if complaints := errors.all(); len(complaints) > 0 {
		t.Errorf("the page complains: %q", complaints)
	}
	if *update {
		file := filepath.Join(w.lab.Repo, "docs", "actions-page.png")
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// texts is a script that gives the texts of all elements that match.
func texts(selector string) string {
	return `Array.from(document.querySelectorAll("` + selector + `"), e => e.textContent.trim())`
}

// openStep unfolds a step and waits for its lines.
func openStep(index int) chromedp.Action {
	step := `document.querySelectorAll(".job-step-section")[` + string(rune('0'+index)) + `]`
	return chromedp.Tasks{
		chromedp.Evaluate(step+`.querySelector(".job-step-summary").click()`, nil),
		chromedp.Poll(step+`.querySelector(".job-log-line") !== null`, nil),
	}
}

// browser starts a headless Chromium that ends with the test.
func browser(t *testing.T) (context.Context, *complaints) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // it runs as root, in the lab's namespace
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.UserDataDir(profile(t)),
		chromedp.WSURLReadTimeout(browserLimit),
	)
	ctx, stopWaiting := context.WithTimeout(context.Background(), browserLimit)
	t.Cleanup(stopWaiting)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	t.Cleanup(stopBrowser)
	seen := &complaints{}
	chromedp.ListenTarget(ctx, seen.listen)
	return ctx, seen
}

// profile is a folder for the browser. Its processes write to it until a moment
// after they were killed, which a t.TempDir does not forgive.
func profile(t *testing.T) string {
	t.Helper()
	dir := must(os.MkdirTemp("", "e2e-browser"))(t)
	t.Cleanup(func() {
		for end := time.Now().Add(10 * time.Second); os.RemoveAll(dir) != nil; {
			if time.Now().After(end) {
				t.Errorf("the browser's folder %s can't be removed", dir)
				return
			}
			runtime.Gosched()
		}
	})
	return dir
}

// complaints are the errors that a page's script ran into.
type complaints struct {
	mu   sync.Mutex
	list []string
}

func (c *complaints) listen(event any) {
	var text string
	switch e := event.(type) {
	case *cdp.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	case *cdp.EventConsoleAPICalled:
		if e.Type != cdp.APITypeError {
			return
		}
		for _, arg := range e.Args {
			text += string(arg.Value) + arg.Description + " "
		}
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, text)
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list
}

func setCookies(url string, cookies []*http.Cookie) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for _, cookie := range cookies {
			if err := network.SetCookie(cookie.Name, cookie.Value).WithURL(url).Do(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
