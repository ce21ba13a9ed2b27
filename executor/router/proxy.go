package router

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// dialTimeout bounds finding and reaching a task. It is on this machine.
const dialTimeout = 10 * time.Second

// proxy answers each request from the service its route names.
type proxy struct {
	find    func(host string, r *http.Request) (route, bool)
	names   func() []string
	forward http.RoundTripper
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	to, ok := p.find(strings.ToLower(host), r)
	if !ok {
		p.notFound(w, host, r)
		return
	}
	backend := &httputil.ReverseProxy{
		Transport:     p.forward,
		FlushInterval: -1, // event streams must not wait for a buffer
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(&url.URL{Scheme: to.scheme, Host: net.JoinHostPort(to.service, strconv.Itoa(to.port))})
			out.Out.URL.RawQuery = out.In.URL.RawQuery // else what Go can't parse is cut out
			out.Out.Host = out.In.Host                 // as Traefik's passHostHeader
			out.SetXForwarded()
			if _, port, err := net.SplitHostPort(out.In.Host); err == nil {
				out.Out.Header.Set("X-Forwarded-Port", port)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			badGateway(w, to, err)
		},
	}
	backend.ServeHTTP(w, r)
}

func (p *proxy) notFound(w http.ResponseWriter, host string, r *http.Request) {
	text := fmt.Sprintf("404: cc-ci's router has no route for %s%s.\n", host, r.URL.Path)
	if names := p.names(); len(names) > 0 {
		text += "It has routes for " + strings.Join(names, ", ") + ".\n"
	} else {
		text += "It has none at all: no service has Traefik labels, or none is deployed.\n"
	}
	answer(w, http.StatusNotFound, text)
}

func badGateway(w http.ResponseWriter, to route, err error) {
	answer(w, http.StatusBadGateway, fmt.Sprintf(
		"502: cc-ci's router has no answer from the service %s on port %d:\n%s\n"+
			"The port is that of the label loadbalancer.server.port: does the app listen on it, on all interfaces?\n",
		to.service, to.port, err))
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may be gone
}

// newForwarder returns a transport whose hosts are swarm services: it looks up
// a task's address for each new connection, so that a replaced task is found
// without any cache to go stale.
func newForwarder(resolver Resolver) *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		service, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		ip, err := resolver.GatewayAddress(ctx, service)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
	}
	return &http.Transport{
		DialContext:        dial,
		IdleConnTimeout:    5 * time.Second, // an idle connection must not hold up an app's graceful stop
		DisableCompression: true,
		// The app's own certificate is one it made itself; the way there doesn't
		// leave this machine.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec
	}
}
