package router

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/traefik"
)

// known are the matchers that recipes use. A request's host is without port
// and in lower case.
var known = map[string]func(values []string, host string, r *http.Request) bool{
	"host":   func(values []string, host string, _ *http.Request) bool { return slices.Contains(values, host) },
	"path":   func(values []string, _ string, r *http.Request) bool { return slices.Contains(values, r.URL.Path) },
	"method": func(values []string, _ string, r *http.Request) bool { return slices.Contains(values, r.Method) },
	"pathprefix": func(values []string, _ string, r *http.Request) bool {
		return slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(r.URL.Path, v) })
	},
}

// readRule reads a rule of known matchers. Any other is an error that names it.
func readRule(text string) (traefik.Rule, error) {
	rule, err := traefik.ParseRule(text)
	if err != nil {
		return traefik.Rule{}, fmt.Errorf("its rule %s %w", text, err)
	}
	for m := range rule.Matchers() {
		if known[strings.ToLower(m.Name)] == nil {
			return traefik.Rule{}, fmt.Errorf("its rule %s has %s, which cc-ci's own router doesn't know; it knows Host, Path, PathPrefix and Method", text, m.Name)
		}
	}
	return rule, nil
}

// matches tells whether a request is meant.
func (r route) matches(host string, request *http.Request) bool {
	return r.rule.Holds(func(m traefik.Matcher) bool {
		return known[strings.ToLower(m.Name)](m.Values, host, request)
	})
}

// hosts are the names given to Host, for messages.
func (r route) hosts() (names []string) {
	for m := range r.rule.Matchers() {
		if m.Is("Host") {
			names = append(names, m.Values...)
		}
	}
	return names
}
