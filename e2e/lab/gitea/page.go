package gitea

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// Session is a user at Gitea's pages, as with a browser.
type Session struct {
	url  string
	http *http.Client
}

// Visit opens a session of somebody who isn't logged in; they see public
// repositories.
func (c *Client) Visit() *Session {
	jar, _ := cookiejar.New(nil) // never fails
	return &Session{url: c.URL, http: &http.Client{Timeout: c.http.Timeout, Jar: jar}}
}

// Login opens a user's session.
func (c *Client) Login(ctx context.Context, u User) (*Session, error) {
	s := c.Visit()
	form := url.Values{"user_name": {u.Name}, "password": {u.Password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/user/login", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s, send(s.http, req, nil)
}

// Cookies are the session's cookies, for a browser.
func (s *Session) Cookies() []*http.Cookie {
	u, err := url.Parse(s.url)
	if err != nil {
		return nil
	}
	return s.http.Jar.Cookies(u)
}

// Page is what the page of a job shows.
type Page struct {
	Title  string
	Detail string
	Status string // of the run
	Done   bool   // of the run
	Steps  []PageStep

	// Lines are the new lines of each step, as many slices as steps.
	Lines [][]Line
}

// PageStep is a step on a job's page; "Set up job" and "Complete job" are
// steps too.
type PageStep struct{ Summary, Duration, Status string }

// Line is a line of a log.
type Line struct {
	Index     int64
	Message   string
	Timestamp float64 // seconds since 1970
}

type cursor struct {
	Step     int   `json:"step"`
	Cursor   int64 `json:"cursor"`
	Expanded bool  `json:"expanded"`
}

// Reader reads a job's page as the page's script does: each read has the steps
// and the lines that are new.
type Reader struct {
	session *Session
	url     string
	cursors []cursor
}

// Read returns a reader of the page with the job's HTMLURL, with all of its
// steps opened.
func (s *Session) Read(page string) (*Reader, error) {
	u, err := url.Parse(page)
	if err != nil {
		return nil, err
	}
	// The page's address is the one of outside, when there is one.
	return &Reader{session: s, url: s.url + u.Path}, nil
}

// Next reads the page's state and the lines that were added since the last
// time.
func (r *Reader) Next(ctx context.Context) (Page, error) {
	var out struct {
		State struct {
			Run struct {
				Status string
				Done   bool
			}
			CurrentJob struct {
				Title, Detail string
				Steps         []PageStep
			}
		}
		Logs struct {
			StepsLog []struct {
				Step   int
				Cursor int64
				Lines  []Line
			}
		}
	}
	if err := r.session.post(ctx, r.url, map[string]any{"logCursors": r.cursors}, &out); err != nil {
		return Page{}, err
	}
	job := out.State.CurrentJob
	p := Page{
		Title: job.Title, Detail: job.Detail, Status: out.State.Run.Status, Done: out.State.Run.Done,
		Steps: job.Steps, Lines: make([][]Line, len(job.Steps)),
	}
	// Steps are known after the first answer only.
	for i := len(r.cursors); i < len(job.Steps); i++ {
		r.cursors = append(r.cursors, cursor{Step: i, Expanded: true})
	}
	for _, l := range out.Logs.StepsLog {
		if l.Step < len(p.Lines) {
			p.Lines[l.Step] = l.Lines
			r.cursors[l.Step].Cursor = l.Cursor
		}
	}
	return p, nil
}

// Cancel presses the cancel button of the run whose page it is given; the user
// must be allowed to.
func (s *Session) Cancel(ctx context.Context, run string) error {
	u, err := url.Parse(run)
	if err != nil {
		return err
	}
	return s.post(ctx, s.url+u.Path+"/cancel", nil, nil)
}

func (s *Session) post(ctx context.Context, to string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return send(s.http, req, out)
}

// RunPage is the address of the page of the run whose job has the given page.
func RunPage(job string) string {
	run, _, _ := strings.Cut(job, "/jobs/")
	return run
}
