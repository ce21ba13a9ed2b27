package executor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	routeTick = 50 * time.Millisecond
	routeAsk  = 10 * time.Second
)

// route is what the proof asks for: that this app, and not Traefik's own 404 or
// default certificate, answers at the job's address.
type route struct {
	url      string // https://domain[:port]/path
	address  string // host:port dialled instead of looking the domain up
	statuses []int
	roots    *x509.CertPool     // nil: the system's
	leaf     *[sha256.Size]byte // nil: any certificate that verifies
}

// errWrongCertificate: what answers isn't our wildcard certificate.
var errWrongCertificate = errors.New("another certificate than the configured wildcard answers")

// prove asks until the app answers or ctx ends; the error then says what the
// last answer was. There is nothing that could end the wait earlier: Traefik
// answers 404 until it has read the new labels.
func (r route) prove(ctx context.Context) (int, error) {
	client := r.client()
	defer client.CloseIdleConnections()
	tick := time.NewTicker(routeTick)
	defer tick.Stop()
	var last error
	for {
		status, err := r.ask(ctx, client)
		if err == nil {
			return status, nil
		}
		// A question that the deadline cut off says nothing about the app.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return status, fmt.Errorf("%w; the last answer: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

func (r route) ask(ctx context.Context, client *http.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, routeAsk)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", r.url, err)
	}
	req.Header.Set("User-Agent", "cc-ci")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if !r.accepts(resp.StatusCode) {
		return resp.StatusCode, fmt.Errorf("status %s", resp.Status)
	}
	return resp.StatusCode, nil
}

// accepts tells whether a status counts as an answer of the app. A 404 never
// does unless asked for, since it may be Traefik's.
func (r route) accepts(status int) bool {
	if r.statuses != nil {
		return slices.Contains(r.statuses, status)
	}
	return status >= 200 && status <= 399
}

func (r route) client() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	config := &tls.Config{RootCAs: r.roots, MinVersion: tls.VersionTLS12}
	if r.leaf != nil {
		config.InsecureSkipVerify = true // the fingerprint is compared instead, which is stricter
		config.VerifyConnection = r.verifyLeaf
	}
	return &http.Client{
		// A redirect is an answer of the app; where it leads is the app's business.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: config,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, r.address)
			},
		},
	}
}

func (r route) verifyLeaf(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 || sha256.Sum256(state.PeerCertificates[0].Raw) != *r.leaf {
		return errWrongCertificate
	}
	return nil
}

// routeHint says what to do about the last error of a proof.
func routeHint(err error, statuses []int) string {
	switch text := err.Error(); {
	case errors.Is(err, errWrongCertificate) || strings.Contains(text, errWrongCertificate.Error()):
		return "Traefik serves another certificate: compare the runner's setting certificate with what Traefik's file provider loads"
	case strings.Contains(text, "connection refused"):
		return "nothing listens on Traefik's port on this host: is Traefik running?"
	case strings.Contains(text, "status 404") && statuses == nil:
		return "404 is Traefik's answer when no router matches: is traefik.enable=true set, is the rule Host(`${DOMAIN}`), does the service join the proxy network and name the right loadbalancer.server.port? If the app's own page answers 404, set CC_CI_HEALTH_PATH or CC_CI_HEALTH_STATUS: 404"
	case strings.Contains(text, "status 502"), strings.Contains(text, "status 504"):
		return "Traefik finds no open port on the service: check loadbalancer.server.port, and that the app listens on all addresses"
	case strings.Contains(text, "status "):
		return "if this status is right for the app, set CC_CI_HEALTH_STATUS or another CC_CI_HEALTH_PATH in the job's env"
	}
	return "see the services' logs above"
}

// loadFingerprint reads the first certificate of a PEM file.
func loadFingerprint(path string) (*[sha256.Size]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the wildcard certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("reading the wildcard certificate %s: no PEM certificate in it", path)
	}
	sum := sha256.Sum256(block.Bytes)
	return &sum, nil
}

// loadRoots returns the system's authorities and those of a PEM file.
func loadRoots(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("reading ca_file %s: no PEM certificate in it", path)
	}
	return pool, nil
}
