package router_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// Rules are read as Traefik reads them; what only Traefik knows is refused by name.
func TestRules(t *testing.T) {
	r := start(t, here)
	c := client(t, r)
	like := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	cases := []struct {
		name, rule string
		path       string
		routed     bool
		note       string
	}{
		{"a host in capitals is the same host", "Host(`" + strings.ToUpper(domain) + "`)", "/", true, ""},
		{"version 2 takes several hosts at once", "Host(`" + domain + "`, `www." + domain + "`)", "/", true, ""},
		{"either of two rules will do", "Host(`x.ci.localhost`) || Host(`" + domain + "`)", "/", true, ""},
		{"both of two rules have to match", "Host(`" + domain + "`) && PathPrefix(`/api`)", "/api/x", true, ""},
		{"matchers are matchers in any case, as for Traefik", "HOST(`" + domain + "`) && path(`/x`)", "/x", true, ""},
		{"the root's dot belongs to no name", "Host(`" + domain + ".`)", "/", true, ""},
		{"a path outside the prefix isn't routed", "Host(`" + domain + "`) && PathPrefix(`/api`)", "/web", false, ""},
		{"and binds closer than or", "Host(`" + domain + "`) || Host(`x`) && Path(`/no`)", "/", true, ""},
		{"parentheses bind closest", "(Host(`" + domain + "`) || Host(`x`)) && Path(`/yes`)", "/", false, ""},
		{"not turns a rule round", "Host(\"" + domain + "\") && !Method(`GET`)", "/", false, ""},
		{"an unknown matcher is named", "ClientIP(`10.0.0.0/8`)", "/", false, "has ClientIP, which cc-ci's own router doesn't know"},
		{"a missing parenthesis is pointed at", "Host(`x`", "/", false, "can't be read: missing"},
		{"words without a matcher are no rule", "everything", "/", false, "isn't made of functions such as Host"},
		{"text after a rule is not swallowed", "Host(`x`) Host(`y`)", "/", false, "can't be read"},
		{"an endless rule is refused", strings.Repeat("(", 1000), "/", false, "can't be read"},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			l := maps.Clone(like)
			l["traefik.http.routers.hello.rule"] = one.rule
			notes := r.Serve(service, l)
			if one.note != "" && (len(notes) != 1 || !strings.Contains(notes[0], one.note)) {
				t.Errorf("notes are %q, want one with %q", notes, one.note)
			}
			if one.note == "" && len(notes) > 0 {
				t.Errorf("unexpected notes: %q", notes)
			}
			if body := get(t, c, "https://"+domain+one.path).body; (body == "hello") != one.routed {
				t.Errorf("got %q, routed should be %v", body, one.routed)
			}
		})
	}
}

// Labels of a service's other uses don't disturb, mistakes are said.
func TestLabels(t *testing.T) {
	cases := []struct {
		name   string
		change map[string]string // "" removes
		routed bool
		note   string
	}{
		{"labels as a recipe has them", nil, true, ""},
		{"a service that isn't enabled is left alone", map[string]string{"traefik.enable": "false"}, false, ""},
		{"names and options are case-insensitive", map[string]string{"traefik.enable": "", "Traefik.Enable": "true"}, true, ""},
		{"a router for plain HTTP is a redirect: nothing to do", map[string]string{"traefik.http.routers.hello.entrypoints": "web"}, false, ""},
		{"a router without entrypoints listens everywhere", map[string]string{"traefik.http.routers.hello.entrypoints": ""}, true, ""},
		{"one of several entrypoints is enough", map[string]string{"traefik.http.routers.hello.entrypoints": "web, web-secure"}, true, ""},
		{"a router names its service", map[string]string{"traefik.http.routers.hello.service": "hello@swarm"}, true, ""},
		{"a service that no label describes", map[string]string{"traefik.http.routers.hello.service": "nobody"}, false, "names the service nobody"},
		{"two services and no name", map[string]string{"traefik.http.services.b.loadbalancer.server.port": "1"}, false, "labels describe 2 services"},
		{"a port that is none", map[string]string{"traefik.http.services.hello.loadbalancer.server.port": "http"}, false, `"http", not a port`},
		{"a scheme only Traefik speaks", map[string]string{"traefik.http.services.hello.loadbalancer.server.scheme": "h2c"}, false, "only http and https"},
		{"a router without a rule", map[string]string{"traefik.http.routers.hello.rule": ""}, false, "no rule"},
		{"middlewares are said to be missing", map[string]string{"traefik.http.routers.hello.middlewares": "auth"}, true, "middlewares (auth) have no effect"},
		{"TCP routers are said to be missing", map[string]string{"traefik.tcp.routers.ssh.rule": "HostSNI(`*`)"}, true, "tcp router ssh left out"},
	}
	r := start(t, here)
	c := client(t, r)
	like := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			l := maps.Clone(like)
			maps.Copy(l, one.change)
			maps.DeleteFunc(l, func(_, value string) bool { return value == "" })
			notes := r.Serve(service, l)
			if got := strings.Join(notes, "\n"); (got != "") != (one.note != "") || !strings.Contains(got, one.note) {
				t.Errorf("notes are %q, want %q", got, one.note)
			}
			if body := get(t, c, "https://"+domain).body; (body == "hello") != one.routed {
				t.Errorf("got %q, routed should be %v", body, one.routed)
			}
		})
	}
}

// Of two rules that match the longer wins, as in Traefik, unless a priority says
// otherwise; whatever order the services came in.
func TestPriority(t *testing.T) {
	r := start(t, here)
	c := client(t, r)
	web := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "web") })
	api := backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "api") })
	api["traefik.http.routers.hello.rule"] += " && PathPrefix(`/api`)"
	serve(t, r, "s_web", web)
	serve(t, r, "s_api", api)
	for path, want := range map[string]string{"/": "web", "/api": "api"} {
		if body := get(t, c, "https://"+domain+path).body; body != want {
			t.Errorf("%s is answered by %q, want %q", path, body, want)
		}
	}
	web["traefik.http.routers.hello.priority"] = "1000"
	serve(t, r, "s_web", web)
	if body := get(t, c, "https://"+domain+"/api").body; body != "web" {
		t.Errorf("with the higher priority on web, %q answers", body)
	}
}

// Labels come from a recipe, which may be hostile.
func FuzzServe(f *testing.F) {
	f.Add("Host(`a`) && (PathPrefix(`/x`) || !Method(`GET`))")
	f.Add("((((")
	f.Add("!!!!Host(`\xff`)")
	r := start(f, here)
	f.Fuzz(func(t *testing.T, rule string) {
		r.Serve(service, labels("80", rule))
	})
}
