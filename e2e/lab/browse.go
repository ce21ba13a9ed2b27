package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

// The forwards into the lab, for the user's browser.
const (
	giteaForward = "gitea"
	appsForward  = "apps"
)

// Forwards are the ways from 127.0.0.1 outside into the lab: Gitea, and the
// apps under http://<slug>.localhost.
func Forwards() []capsule.Forward {
	return []capsule.Forward{{Name: giteaForward, Port: 3000}, {Name: appsForward, Port: 8080}}
}

// Browse serves the forwards until ctx ends. The URLs are those to open outside.
func (l *Lab) Browse(ctx context.Context, c *capsule.Spec) (*Outside, error) {
	gitea, err := net.Listen("unix", c.Socket(giteaForward))
	if err != nil {
		return nil, err
	}
	apps, err := net.Listen("unix", c.Socket(appsForward))
	if err != nil {
		return nil, errors.Join(err, gitea.Close())
	}
	web, err := l.Web()
	if err != nil {
		return nil, errors.Join(err, gitea.Close(), apps.Close())
	}
	o := &Outside{gitea: c.Port(giteaForward), apps: c.Port(appsForward)}
	server := &http.Server{Handler: o.proxy(web.Transport)}
	context.AfterFunc(ctx, func() {
		_ = gitea.Close()
		_ = server.Close()
	})
	go capsule.Relay(gitea, "tcp", giteaAddress) // ends when gitea is closed
	go func() { _ = server.Serve(apps) }()       // ends when server is closed
	return o, nil
}

// Outside tells the URLs of the lab's parts in a browser outside.
type Outside struct{ gitea, apps int }

// Gitea turns a URL of the lab's Gitea into the one outside.
func (o *Outside) Gitea(url string) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return fmt.Sprintf("http://127.0.0.1:%d/%s", o.gitea, path)
}

// App turns the URL of an app into the one outside.
func (o *Outside) App(url string) string {
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	return fmt.Sprintf("http://%s.localhost:%d/%s", strings.TrimSuffix(host, "."+BaseDomain), o.apps, path)
}

// proxy passes http://<slug>.localhost on to https://<slug>.<base domain>, and
// redirects there back.
func (o *Outside) proxy(via http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Transport: via,
		Rewrite: func(r *httputil.ProxyRequest) {
			host, _, _ := strings.Cut(r.In.Host, ":")
			host = strings.TrimSuffix(host, ".localhost") + "." + BaseDomain
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", host, host
		},
		ModifyResponse: func(r *http.Response) error {
			if to := r.Header.Get("Location"); strings.HasPrefix(to, "https://") && strings.Contains(to, "."+BaseDomain) {
				r.Header.Set("Location", o.App(to))
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// dialApp reaches Traefik for every name below the base domain.
func (l *Lab) dialApp(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(host, "."+BaseDomain) {
		addr = net.JoinHostPort(l.Facts.Address, port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}
