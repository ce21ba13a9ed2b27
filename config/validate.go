package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"git.autonomic.zone/recipe-maintainers/cc-ci/spell"
)

// minPoll keeps a typing mistake from becoming an attack on the Gitea instance.
const minPoll = 200 * time.Millisecond

// validate reports values that have the right type and can't be meant.
func (c *Config) validate(d *decoder) {
	check := func(key string, err error) {
		if err != nil {
			d.add(d.lines[key], key, "%s", err)
		}
	}
	check("state_dir", absolute(c.StateDir))
	check("work_dir", absolute(c.WorkDir))
	if d.lines["identity"] > 0 {
		check("identity", absolute(c.Identity))
	}
	check("capacity", between(c.Capacity, 1, 64))
	check("base_domain", domain(c.BaseDomain))
	check("job_image", image(c.JobImage))
	check("docker_host", host(c.DockerHost))
	check("proxy_network", network(c.ProxyNetwork))
	check("https_port", between(c.HTTPSPort, 1, 65535))
	check("ca_file", certificates(c.CAFile))
	check("certificate", certificates(c.Certificate))
	check("instance_ca_file", certificates(c.InstanceCAFile))
	check("endpoint_mode", oneOf(c.EndpointMode, "auto", "vip", "dnsrr"))
	check("log.level", oneOf(c.Log.Level, "debug", "info", "warn", "error"))
	check("log.format", oneOf(c.Log.Format, "auto", "console", "json"))
	check("poll.interval", atLeast(c.Poll.Interval, minPoll))
	for key, t := range c.Timeouts.byKey() {
		check(key, atLeast(t, time.Second))
	}
	check("sandbox.pids", between(c.Sandbox.PIDs, 0, 1<<22))
	if c.Sandbox.Memory != 0 && c.Sandbox.Memory < 64<<20 {
		check("sandbox.memory", fmt.Errorf("%s is too little for a shell and git; want at least 64MiB, or 0 for no limit", c.Sandbox.Memory))
	}
	if !(c.Sandbox.CPUs >= 0 && c.Sandbox.CPUs <= 1024) { // so written, NaN is out too
		check("sandbox.cpus", fmt.Errorf("%g is not between 0, for no limit, and 1024", c.Sandbox.CPUs))
	}
}

func (t *Timeouts) byKey() map[string]time.Duration {
	return map[string]time.Duration{
		"timeouts.checkout":  t.Checkout,
		"timeouts.preflight": t.Preflight,
		"timeouts.pull":      t.Pull,
		"timeouts.converge":  t.Converge,
		"timeouts.route":     t.Route,
		"timeouts.job":       t.Job,
		"timeouts.report":    t.Report,
		"timeouts.teardown":  t.Teardown,
		"timeouts.shutdown":  t.Shutdown,
	}
}

func absolute(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	return nil
}

func between(n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%d is not between %d and %d", n, low, high)
	}
	return nil
}

func atLeast(t, least time.Duration) error {
	if t < least {
		return fmt.Errorf("%s is too short; want at least %s", t, least)
	}
	return nil
}

func oneOf(word string, right ...string) error {
	if slices.Contains(right, word) {
		return nil
	}
	if near := spell.Nearest(word, right); near != "" {
		return fmt.Errorf("no such value %q, did you mean %s?", word, near)
	}
	return fmt.Errorf("no such value %q; there are %s", word, strings.Join(right, ", "))
}

var (
	domainLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
)

// domain wants a bare host name: no scheme, port or wildcard. It is lower case
// because Traefik's rules and certificates are compared with it.
func domain(name string) error {
	labels := strings.Split(name, ".")
	if len(labels) < 2 || len(name) > 200 {
		return fmt.Errorf("%q is not a domain like ci.example.org", name)
	}
	for _, l := range labels {
		if len(l) > 63 || !domainLabel.MatchString(l) {
			return fmt.Errorf("%q is not a domain like ci.example.org: %q can't be part of one", name, l)
		}
	}
	return nil
}

func image(ref string) error {
	if _, err := reference.ParseNormalizedNamed(ref); err != nil {
		return fmt.Errorf("%q is not an image reference: %w", ref, err)
	}
	return nil
}

func host(address string) error {
	u, err := url.Parse(address)
	if err != nil || !slices.Contains([]string{"unix", "tcp"}, u.Scheme) || u.Host+u.Path == "" {
		return fmt.Errorf("%q is not an engine's address like unix:///var/run/docker.sock", address)
	}
	return nil
}

func network(name string) error {
	if !networkName.MatchString(name) {
		return fmt.Errorf("%q is not a network's name", name)
	}
	return nil
}

// certificates wants path, unless empty, to be PEM with at least one certificate
// and every certificate readable.
func certificates(path string) error {
	if path == "" {
		return nil
	}
	if err := absolute(path); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%s: certificate %d: %w", path, found+1, err)
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("%s holds no PEM certificate", path)
	}
	return nil
}
