package gitea_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/giteatest"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

func open(t *testing.T) (*giteatest.Server, *gitea.Client) {
	t.Helper()
	server := giteatest.New(t, giteatest.V124)
	known := server.Enrol("test", "cc-ci")
	client, err := gitea.New(gitea.Options{Address: server.URL, UUID: known.Uuid, Token: known.Token, Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return server, client
}

// Log rows are sent compressed; questions for tasks, which are small, aren't.
func TestLogsAreCompressed(t *testing.T) {
	server, client := open(t)
	id := server.Queue(giteatest.Job{})
	if _, _, err := client.Fetch(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var encoding, agent string
	var size int64
	server.Fault(giteatest.UpdateLog, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		encoding, agent, size = r.Header.Get("Content-Encoding"), r.Header.Get("User-Agent"), r.ContentLength
		next.ServeHTTP(w, r)
	})
	row := strings.Repeat("the same again ", 1000)
	ack, err := client.UpdateLog(t.Context(), &runnerv1.UpdateLogRequest{TaskId: id, Rows: []*runnerv1.LogRow{{Content: row}}})
	if err != nil || ack != 1 || server.Page(id).Rows[0] != row {
		t.Fatalf("UpdateLog = %d, %v", ack, err)
	}
	if encoding != "gzip" || size <= 0 || size > int64(len(row)/10) {
		t.Errorf("%d bytes were sent as %d with encoding %q", len(row), size, encoding)
	}
	if agent != "cc-ci/1" {
		t.Errorf("the User-Agent is %q", agent)
	}
}

// Gitea's errors are known by their text, since all come with the same code.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		what  string
		call  func(t *testing.T) error
		want  error
		final bool
	}{
		{"a runner that was deleted", func(t *testing.T) error {
			server, client := open(t)
			server.Delete("00000000-0000-4000-8000-000000000001")
			return client.Declare(t.Context(), "1", nil)
		}, gitea.ErrUnregistered, true},
		{"a task that doesn't exist", func(t *testing.T) error {
			_, client := open(t)
			_, err := client.UpdateLog(t.Context(), &runnerv1.UpdateLogRequest{TaskId: 7})
			return err
		}, gitea.ErrTaskGone, true},
		{"a task of another runner", func(t *testing.T) error {
			server, client := open(t)
			id := server.Queue(giteatest.Job{})
			_, err := client.UpdateTask(t.Context(), &runnerv1.UpdateTaskRequest{State: &runnerv1.TaskState{Id: id}})
			return err
		}, gitea.ErrTaskGone, true},
		{"a log that was closed", func(t *testing.T) error {
			server, client := open(t)
			id := server.Queue(giteatest.Job{})
			if _, _, err := client.Fetch(t.Context(), 0); err != nil {
				return err
			}
			server.GiveUp(id)
			_, err := client.UpdateLog(t.Context(), &runnerv1.UpdateLogRequest{TaskId: id, Rows: []*runnerv1.LogRow{{Content: "x"}}})
			return err
		}, gitea.ErrArchived, true},
		{"a proxy without Gitea behind it", func(t *testing.T) error {
			server, client := open(t)
			server.Fault(giteatest.FetchTask, giteatest.Status(502))
			_, _, err := client.Fetch(t.Context(), 0)
			return err
		}, gitea.ErrUnreachable, false},
		{"a proxy that wants a password isn't Gitea deleting the runner", func(t *testing.T) error {
			server, client := open(t)
			server.Fault(giteatest.FetchTask, giteatest.Status(401))
			_, _, err := client.Fetch(t.Context(), 0)
			return err
		}, nil, false},
		{"a run that is gone makes fetching fail, and isn't the runner's fault", func(t *testing.T) error {
			server, client := open(t)
			server.Fault(giteatest.FetchTask, giteatest.Fail("Internal", "pick task: CreateTaskForRunner: run with id 3: resource does not exist"))
			_, _, err := client.Fetch(t.Context(), 0)
			return err
		}, nil, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := c.call(t)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || gitea.Final(err) != c.final {
				t.Errorf("the error is %v, final: %v; want %v, final: %v", err, gitea.Final(err), c.want, c.final)
			}
		})
	}
}
