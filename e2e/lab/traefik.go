package lab

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	traefikstack "git.autonomic.zone/recipe-maintainers/cc-ci/stacks/traefik"
)

// BaseDomain is the domain below which the lab's apps live. It has no DNS:
// every name below it is the lab's Address.
const BaseDomain = "ci.cc-ci.test"

// TraefikFacts describes the lab's Traefik. It listens on the ports 80 and 443
// of every address in the lab.
type TraefikFacts struct {
	// BaseDomain is the domain of which Traefik has the wildcard certificate.
	BaseDomain string

	// CAFile is the certificate of the authority that has issued it, PEM.
	CAFile string

	// Fingerprint is the wildcard certificate's SHA-256, in lower-case hex.
	Fingerprint string
}

// traefikUp deploys Traefik as a host does, with a certificate of its own, and
// waits until it answers with that.
func (l *Lab) traefikUp(ctx context.Context) error {
	c, err := makeCertificate(filepath.Join(l.State, "tls"), BaseDomain)
	if err != nil {
		return err
	}
	stack := filepath.Join(l.State, "traefik")
	if err := os.RemoveAll(stack); err != nil {
		return err
	}
	if err := os.CopyFS(stack, traefikstack.Files); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "docker", "stack", "deploy", "--detach=true", "-c", filepath.Join(stack, "compose.yml"), "traefik")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+l.Facts.DockerHost, "TRAEFIK_IMAGE="+traefikImage,
		"DOCKER_SOCKET="+strings.TrimPrefix(l.Facts.DockerHost, "unix://"), "TLS_CERT_FILE="+c.Cert, "TLS_KEY_FILE="+c.Key)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("deploy Traefik: %w\n%s", err, out)
	}
	l.Facts.Traefik = &TraefikFacts{BaseDomain: BaseDomain, CAFile: c.CA, Fingerprint: c.Fingerprint}
	err = l.dockerd.await(ctx, time.Minute, func(ctx context.Context) error { return l.traefikAnswers(ctx) })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, l.serviceLog("traefik_app"))
	}
	return nil
}

// traefikImage is the image that package supply makes.
const traefikImage = "cc-ci-lab/traefik:3.6.12"

// traefikAnswers is nil when Traefik answers on 443 with the wildcard
// certificate, whatever it answers.
func (l *Lab) traefikAnswers(ctx context.Context) error {
	d := tls.Dialer{Config: &tls.Config{ServerName: "up." + BaseDomain, InsecureSkipVerify: true}} // the fingerprint is compared
	conn, err := d.DialContext(ctx, "tcp", l.Facts.Address+":443")
	if err != nil {
		return err
	}
	defer conn.Close()
	sum := sha256.Sum256(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
	if got := hex.EncodeToString(sum[:]); got != l.Facts.Traefik.Fingerprint {
		return fmt.Errorf("Traefik answers with another certificate, %s", got)
	}
	return nil
}

// serviceLog is the end of a service's tasks and log, to explain a failure.
func (l *Lab) serviceLog(service string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var text strings.Builder
	for _, args := range [][]string{{"service", "ps", "--no-trunc", service}, {"service", "logs", "--tail=20", service}} {
		cmd := exec.CommandContext(ctx, "docker", args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+l.Facts.DockerHost)
		out, err := cmd.CombinedOutput()
		text.Write(out)
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	return text.String()
}

// Web returns a client that trusts the lab's authority and finds every name
// below the base domain at Traefik, without DNS.
func (l *Lab) Web() (*http.Client, error) {
	if l.Facts.Traefik == nil {
		return nil, errors.New("the lab is up without Traefik")
	}
	ca, err := os.ReadFile(l.Facts.Traefik.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: no certificate", l.Facts.Traefik.CAFile)
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{DialContext: l.dialApp, TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
