package router_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/router"
)

const (
	service = "hell-k3x9q2_ci_localhost_app"
	domain  = "hell-k3x9q2." + router.Domain
)

// address stands in for the engine: each service is on this host.
type address func(service string) (netip.Addr, error)

func (a address) GatewayAddress(_ context.Context, service string) (netip.Addr, error) {
	return a(service)
}

func here(string) (netip.Addr, error) { return netip.MustParseAddr("127.0.0.1"), nil }

func start(t testing.TB, resolver address) *router.Router {
	t.Helper()
	r, err := router.Start(resolver, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// client trusts only the router's own authority and finds every name on its port.
func client(t *testing.T, r *router.Router) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.CA()) {
		t.Fatal("the authority is no PEM certificate")
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", r.Port()))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// answer is a response and its whole body.
type answer struct {
	status int
	proto  string
	tls    *tls.ConnectionState
	body   string
}

func get(t *testing.T, c *http.Client, url string) answer {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Proto, response.TLS, string(body)}
}

// backend starts a server and returns the Traefik labels a recipe would have for it.
func backend(t *testing.T, handler http.HandlerFunc) map[string]string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return labels(port(server), "Host(`"+domain+"`)")
}

func port(s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

func labels(port, rule string) map[string]string {
	return map[string]string{
		"traefik.enable": "true",
		"traefik.http.services.hello.loadbalancer.server.port": port,
		"traefik.http.routers.hello.rule":                      rule,
		"traefik.http.routers.hello.entrypoints":               "web-secure",
		"traefik.http.routers.hello.tls.certresolver":          "",
	}
}

func serve(t *testing.T, r *router.Router, service string, labels map[string]string) {
	t.Helper()
	if notes := r.Serve(service, labels); len(notes) > 0 {
		t.Fatalf("unexpected notes: %q", notes)
	}
}

// An app sees a request as it would behind Traefik, and the client sees HTTP/2
// with a certificate that verifies.
func TestRouterForwardsAsTraefikDoes(t *testing.T) {
	r := start(t, here)
	serve(t, r, service, backend(t, func(w http.ResponseWriter, q *http.Request) {
		for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Port"} {
			fmt.Fprintf(w, "%s=%s\n", name, q.Header.Get(name))
		}
		fmt.Fprintf(w, "%s %s %s", q.Method, q.Host, q.URL)
	}))
	host := fmt.Sprintf("%s:%d", domain, r.Port())
	got := get(t, client(t, r), "https://"+host+"/a%2Fb?c=d;e")
	want := fmt.Sprintf("X-Forwarded-Proto=https\nX-Forwarded-Host=%s\nX-Forwarded-For=127.0.0.1\nX-Forwarded-Port=%d\nGET %s /a%%2Fb?c=d;e",
		host, r.Port(), host)
	if got.body != want {
		t.Errorf("the app saw\n%s\nwant\n%s", got.body, want)
	}
	if got.proto != "HTTP/2.0" {
		t.Errorf("the client got %s, want HTTP/2", got.proto)
	}
	if sum := sha256.Sum256(got.tls.PeerCertificates[0].Raw); sum != r.Fingerprint() {
		t.Errorf("the certificate's fingerprint is %x, Fingerprint says %x", sum, r.Fingerprint())
	}
}

func TestRouterAnswersForWhatItCannotForward(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	cases := []struct {
		name    string
		resolve address
		host    string
		status  int
		says    string
	}{
		{"a name without a route is a 404 that lists the routes", here, "other." + router.Domain,
			404, "no route for other.ci.localhost/.\nIt has routes for " + domain},
		{"a port nobody listens on is a 502 that says so", here, domain,
			502, "service " + service + " on port " + port(closed) + ":\ndial tcp 127.0.0.1:" + port(closed) + ": connect: connection refused"},
		{"a service without a task is a 502 with the resolver's words",
			func(string) (netip.Addr, error) { return netip.Addr{}, errors.New("no task is running") }, domain,
			502, "no task is running"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, c.resolve)
			serve(t, r, service, labels(port(closed), "Host(`"+domain+"`)"))
			got := get(t, client(t, r), "https://"+c.host+"/")
			if got.status != c.status || !strings.Contains(got.body, c.says) {
				t.Errorf("got %d %q, want %d with %q", got.status, got.body, c.status, c.says)
			}
		})
	}
}

// Labels without any deployment, and a deployment taken away again, are told
// from a wrong name.
func TestRouterForgetsAService(t *testing.T) {
	r := start(t, here)
	serve(t, r, service, backend(t, func(w http.ResponseWriter, _ *http.Request) {}))
	serve(t, r, service, nil)
	if got := get(t, client(t, r), "https://"+domain); got.status != 404 || !strings.Contains(got.body, "none at all") {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

// After an update the service is another task at another address: the next
// connection must go there.
func TestRouterFollowsAReplacedTask(t *testing.T) {
	var current atomic.Pointer[netip.Addr]
	r := start(t, func(string) (netip.Addr, error) { return *current.Load(), nil })
	move := func(ip string) *httptest.Server {
		listener, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, ip) }))
		server.Listener.Close()
		server.Listener = listener
		server.Start()
		t.Cleanup(server.Close)
		addr := netip.MustParseAddr(ip)
		current.Store(&addr)
		serve(t, r, service, labels(port(server), "Host(`"+domain+"`)"))
		return server
	}
	c := client(t, r)
	old := move("127.0.0.1")
	if body := get(t, c, "https://"+domain).body; body != "127.0.0.1" {
		t.Fatalf("got %q from the first task", body)
	}
	old.Close()
	move("127.0.0.2")
	if body := get(t, c, "https://"+domain).body; body != "127.0.0.2" {
		t.Errorf("got %q after the move", body)
	}
}

// A web socket is an HTTP/1.1 upgrade and then bytes both ways.
func TestRouterPassesWebSockets(t *testing.T) {
	r := start(t, here)
	serve(t, r, service, backend(t, func(w http.ResponseWriter, q *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, rw)
	}))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CA())
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port()), &tls.Config{RootCAs: roots, ServerName: domain})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", domain)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", response.Status)
	}
	for _, word := range []string{"ping\n", "pong\n"} {
		io.WriteString(conn, word)
		if got, err := in.ReadString('\n'); got != word {
			t.Fatalf("got %q back for %q: %v", got, word, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := in.ReadString('\n'); err == nil {
		t.Error("the web socket outlived the router")
	}
}

// Each event of a stream arrives when it is sent, not when the stream ends.
func TestRouterStreams(t *testing.T) {
	r := start(t, here)
	release := make(chan struct{})
	serve(t, r, service, backend(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: one\n")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-q.Context().Done():
		}
	}))
	response, err := client(t, r).Get("https://" + domain)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if line != "data: one\n" {
		t.Errorf("got %q, %v", line, err)
	}
	close(release)
}

// The sandbox comes in through a unix socket and verifies the same certificate.
func TestRouterListensOnAUnixSocket(t *testing.T) {
	r := start(t, here)
	serve(t, r, service, backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	path := filepath.Join(t.TempDir(), "router.sock")
	listener, err := r.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, r)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	if body := get(t, c, fmt.Sprintf("https://%s:%d/", domain, r.Port())).body; body != "hello" {
		t.Errorf("got %q", body)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	if response, err := c.Get("https://" + domain); err == nil {
		response.Body.Close()
		t.Error("the socket answers after it was closed")
	}
	if body := get(t, client(t, r), "https://"+domain).body; body != "hello" {
		t.Errorf("the port answers %q after the socket was closed", body)
	}
}

// An app may speak HTTPS itself, with a certificate of its own making.
func TestRouterReachesAnHTTPSBackend(t *testing.T) {
	r := start(t, here)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inner") }))
	t.Cleanup(server.Close)
	l := labels(port(server), "Host(`"+domain+"`)")
	l["traefik.http.services.hello.loadbalancer.server.scheme"] = "https"
	serve(t, r, service, l)
	if body := get(t, client(t, r), "https://"+domain).body; body != "inner" {
		t.Errorf("got %q", body)
	}
}
