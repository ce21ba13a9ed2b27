package router

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Domain is the base domain of a Router's names. Browsers and curl send names
// below localhost to this machine without asking a name server.
const Domain = "ci.localhost"

// Resolver tells where a swarm service can be reached from this host.
type Resolver interface {
	// GatewayAddress returns the address at which a running task of service
	// answers this host. Its error is shown to whoever asked for the page.
	GatewayAddress(ctx context.Context, service string) (netip.Addr, error)
}

// Router is a running HTTPS router. Its methods may be called concurrently.
type Router struct {
	server      *http.Server
	port        int
	ca          []byte
	fingerprint [sha256.Size]byte
	serving     sync.WaitGroup     // one for each listener's goroutine
	abandon     context.CancelFunc // ends what Shutdown doesn't know: upgraded connections

	mu     sync.RWMutex
	routes map[string][]route // by swarm service
}

// Start makes a certificate and listens on the port of 127.0.0.1, a free one for
// 0. The Router serves until Close; nothing is routed before Serve.
func Start(resolver Resolver, port int) (*Router, error) {
	certificate, ca, err := issue(Domain, time.Now())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening for the router: %w", err)
	}
	base, abandon := context.WithCancel(context.Background())
	r := &Router{
		abandon:     abandon,
		port:        listener.Addr().(*net.TCPAddr).Port,
		ca:          ca,
		fingerprint: sha256.Sum256(certificate.Certificate[0]),
		routes:      map[string][]route{},
	}
	r.server = &http.Server{
		Handler:           &proxy{find: r.find, names: r.names, forward: newForwarder(resolver)},
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a browser's refused handshakes are no news
	}
	r.listen(listener)
	return r, nil
}

// Port is the port of 127.0.0.1 the router listens on: part of every app's URL.
func (r *Router) Port() int { return r.port }

// CA is the throw-away authority's certificate as PEM: who trusts it can verify
// the router's answers.
func (r *Router) CA() []byte { return slices.Clone(r.ca) }

// Fingerprint is the SHA-256 of the router's certificate, for the route's proof.
func (r *Router) Fingerprint() [sha256.Size]byte { return r.fingerprint }

// Serve routes to a swarm service what its Traefik labels ask for, instead of
// what they asked for before; no labels route nothing. The notes are one line
// each for the log: what doesn't work, or not as it would behind Traefik.
func (r *Router) Serve(service string, labels map[string]string) (notes []string) {
	routes, notes := readRoutes(service, labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(routes) == 0 {
		delete(r.routes, service)
	} else {
		r.routes[service] = routes
	}
	return notes
}

// ListenUnix serves on a unix socket at path too, with TLS as on the port: the
// way in for a sandbox, whose own 127.0.0.1 is not this host's. Closing what it
// returns removes the socket; the router's Close does so too.
func (r *Router) ListenUnix(path string) (io.Closer, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	r.listen(listener)
	return listener, nil
}

// listen serves on listener in a goroutine of its own, which ends when the
// listener is closed, by its owner or by Close.
func (r *Router) listen(listener net.Listener) {
	r.serving.Go(func() {
		_ = r.server.ServeTLS(listener, "", "") // ends with ErrServerClosed or net.ErrClosed
	})
}

// Close ends all listeners and connections, letting requests in flight finish
// until ctx ends; web sockets are cut.
func (r *Router) Close(ctx context.Context) error {
	defer r.abandon()
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.server.Close())
	}
	r.serving.Wait()
	return err
}

// find returns the route a request takes.
func (r *Router) find(host string, request *http.Request) (route, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var best route
	found := false
	for _, routes := range r.routes {
		for _, candidate := range routes {
			// Names break ties, since the order of a map would change between requests.
			better := cmp.Or(cmp.Compare(candidate.priority, best.priority), cmp.Compare(best.service, candidate.service)) > 0
			if (!found || better) && candidate.matches(host, request) {
				best, found = candidate, true
			}
		}
	}
	return best, found
}

// names returns every host name that is routed, sorted.
func (r *Router) names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for _, routes := range r.routes {
		for _, one := range routes {
			names = append(names, one.hosts()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
