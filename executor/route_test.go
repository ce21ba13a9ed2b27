package executor

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// quiet keeps the handshakes that a case refuses out of the test's output.
var quiet = log.New(io.Discard, "", 0)

// TestProve asks a real HTTPS server, which answers otherwise the first time as
// Traefik does while it hasn't read the labels yet.
func TestProve(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, then int
		statuses    []int
		otherLeaf   bool
		want        string // in the error; "" is success
	}{
		{"an app that answers at once", 200, 200, nil, false, ""},
		{"an app that answers after Traefik's 404", 404, 200, nil, false, ""},
		{"a redirect is an answer and isn't followed", 302, 302, nil, false, ""},
		{"a 404 never counts", 404, 404, nil, false, "status 404"},
		{"a 404 counts where it is asked for", 404, 404, []int{404}, false, ""},
		{"a status asked for shuts the others out", 200, 200, []int{401}, false, "status 200"},
		{"another certificate isn't ours", 200, 200, nil, true, "another certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "hell-abcdef.ci.test" {
					t.Errorf("Host is %q", r.Host)
				}
				if asked.Add(1) == 1 {
					w.WriteHeader(c.first)
					return
				}
				w.WriteHeader(c.then)
			}))
			server.Config.ErrorLog = quiet
			server.StartTLS()
			defer server.Close()
			leaf := sha256.Sum256(server.Certificate().Raw)
			if c.otherLeaf {
				leaf[0]++
			}
			limit := 10 * time.Second
			if c.want != "" {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			r := route{url: "https://hell-abcdef.ci.test/", address: server.Listener.Addr().String(), statuses: c.statuses, leaf: &leaf}
			_, err := r.prove(ctx)
			if c.want == "" && err != nil {
				t.Fatalf("prove: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("prove = %v, want %q", err, c.want)
			}
			if err != nil && routeHint(err, c.statuses) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestProveChecksTheChain(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for _, c := range []struct {
		name  string
		roots *x509.CertPool
		want  string
	}{
		{"a chain that leads to ca_file is taken", trusted, "status 404"},
		{"one that leads nowhere is not", x509.NewCertPool(), "unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := route{url: "https://example.com/", address: server.Listener.Addr().String(), roots: c.roots}
			_, err := r.ask(t.Context(), r.client())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ask = %v, want %q", err, c.want)
			}
		})
	}
}
