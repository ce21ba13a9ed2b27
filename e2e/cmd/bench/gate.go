package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// A gate stands between a runner and Gitea and counts the runner's requests.
type gate struct {
	URL      string
	requests atomic.Int64
	server   *http.Server
}

// openGate opens a gate to the Gitea at this URL, on a free port of the address.
func openGate(to, address string) (*gate, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		// A runner that ends breaks its requests off.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	g := &gate{URL: "http://" + listener.Addr().String()}
	g.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = g.server.Serve(listener) }() // ends when the gate is closed
	return g, nil
}

// Close closes the gate and breaks off requests that are under way.
func (g *gate) Close() error { return g.server.Close() }
