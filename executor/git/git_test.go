package git_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/git"
)

// A server's own authority is enough, the token goes to that server only, and
// neither of both is in what git says or keeps.
func TestAccess(t *testing.T) {
	const token = "s3cret-token"
	var asked sync.Map // path → password
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, password, _ := q.BasicAuth()
		asked.Store(q.URL.Path, password)
		http.Error(w, "no such repository", http.StatusNotFound)
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		access git.Access
		want   string // in the error
		sent   string // the password that the server saw
	}{
		{"an unknown authority isn't trusted", git.Access{}, "certificate", ""},
		{"the authority of the file is", git.Access{CAFile: ca}, "not found", ""},
		{"the token goes where it belongs", git.Access{CAFile: ca, URL: server.URL + "/own", Token: token}, "not found", token},
		{"and nowhere else", git.Access{CAFile: ca, URL: server.URL + "/other", Token: token}, "not found", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			asked.Clear()
			r := git.New(t.TempDir(), c.access)
			if _, err := r.Run(t.Context(), nil, "init", "--quiet"); err != nil {
				t.Fatal(err)
			}
			_, err := r.Run(t.Context(), nil, "fetch", server.URL+"/own/recipe")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
			if got, ok := asked.Load("/own/recipe/info/refs"); ok && got != c.sent {
				t.Errorf("the server was sent %q, want %q", got, c.sent)
			} else if !ok && c.sent != "" {
				t.Error("the server wasn't asked")
			}
			config, err := os.ReadFile(filepath.Join(r.Dir, ".git", "config"))
			if err != nil || strings.Contains(string(config), token) {
				t.Errorf("the repository keeps the token (%v):\n%s", err, config)
			}
		})
	}
}

func TestRunSaysWhyNot(t *testing.T) {
	over := errors.New("the job is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if _, err := git.New(t.TempDir(), git.Access{}).Run(ctx, nil, "init"); !errors.Is(err, over) {
		t.Errorf("a context's cause: got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := git.New(t.TempDir(), git.Access{}).Run(t.Context(), nil, "init"); !errors.Is(err, git.ErrMissing) {
		t.Errorf("without git: got %v", err)
	}
}

// A server that takes a connection and says nothing doesn't hold a job past its
// time, nor does the child by which git talks to it.
func TestRunEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := git.New(t.TempDir(), git.Access{})
	if _, err := r.Run(t.Context(), nil, "init", "--quiet"); err != nil {
		t.Fatal(err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, late)
	defer cancel()
	begun := time.Now()
	if _, err := r.Run(ctx, nil, "fetch", "http://"+silent.Addr().String()+"/recipe"); !errors.Is(err, late) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it took %s: something held the outputs open", took)
	}
}

// A repository of a few kilobytes can hold a file of any size: what git prints of
// it isn't all taken into memory.
func TestRunBoundsOutput(t *testing.T) {
	r := git.New(t.TempDir(), git.Access{})
	file, err := os.Create(filepath.Join(r.Dir, "zeros"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Truncate(200<<20), file.Close()); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "zeros"},
		{"-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=zeros"},
		{"archive", "--format=tar", "HEAD"},
	} {
		all, err = r.Run(t.Context(), nil, args...)
	}
	if err == nil || !strings.Contains(err.Error(), "MiB") || all != nil {
		t.Errorf("got %d bytes and %v, want an error that names the bound", len(all), err)
	}
}
