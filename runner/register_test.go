package runner_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/giteatest"
)

func labels(t testing.TB, written ...string) runner.Labels {
	t.Helper()
	parsed, err := runner.ParseLabels(written...)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestRegister(t *testing.T) {
	server := giteatest.New(t, giteatest.V124)
	id, err := runner.Register(t.Context(), runner.Registration{
		Instance: server.URL + "/", Token: giteatest.RegistrationToken, Name: "here", Version: "1",
		Labels: labels(t, "cc-ci:docker://image"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "here" || id.UUID == "" || id.Token == "" || id.Address != server.URL || id.Labels[0] != "cc-ci:docker://image" {
		t.Errorf("identity is %+v", id)
	}
	if got := server.Labels(id.UUID); len(got) != 1 || got[0] != "cc-ci" {
		t.Errorf("Gitea has the labels %q, want the name only", got)
	}
}

func TestRegisterErrors(t *testing.T) {
	server := giteatest.New(t, giteatest.V124)
	gone := httptest.NewServer(nil)
	gone.Close()
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome") }))
	t.Cleanup(html.Close)
	secure := httptest.NewUnstartedServer(nil)
	// The handshake is meant to fail.
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)

	for _, c := range []struct {
		what            string
		instance, token string
		want            error
		says            string
	}{
		{"nobody listens", gone.URL, giteatest.RegistrationToken, runner.ErrUnreachable, "check the address"},
		{"no such host", "http://gitea.invalid", giteatest.RegistrationToken, runner.ErrUnreachable, "gitea.invalid"},
		{"another server, or Actions are off", page.URL, giteatest.RegistrationToken, runner.ErrNotGitea, "ENABLED"},
		{"a server with a page for everything", html.URL, giteatest.RegistrationToken, runner.ErrNotGitea, "no Gitea"},
		{"a certificate that nobody knows", secure.URL, giteatest.RegistrationToken, runner.ErrCertificate, "ca_file"},
		{"a wrong token", server.URL, "s3cret-but-wrong", runner.ErrTokenUnknown, "copy it again"},
		{"a token that was replaced", server.URL, giteatest.OldRegistrationToken, runner.ErrTokenInvalidated, "newer"},
		{"no token", server.URL, "", nil, "no registration token"},
		{"no scheme", "git.example.org", giteatest.RegistrationToken, nil, "https://git.example.org"},
		{"a password in the address", "https://u:s3cret-but-wrong@git.example.org", giteatest.RegistrationToken, nil, "leave out user"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, err := runner.Register(t.Context(), runner.Registration{
				Instance: c.instance, Token: c.token, Name: "here", Labels: labels(t, "cc-ci"),
			})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("Register: %v; want %v with %q", err, c.want, c.says)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// A certificate in ca_file is trusted.
func TestRegisterTrustsCAFile(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := runner.Register(t.Context(), runner.Registration{
		Instance: secure.URL, Token: "t", Name: "here", Labels: labels(t, "cc-ci"), CAFile: file,
	})
	if !errors.Is(err, runner.ErrNotGitea) {
		t.Errorf("Register: %v; want the answer of the server behind the certificate", err)
	}
}
