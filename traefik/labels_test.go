package traefik_test

import (
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/traefik"
)

const stack = "hell-k3x9q2_ci_example_org"

var claims = traefik.Own{Domain: own, Stack: stack, Proxy: "proxy", Services: []string{"app", "auth"}}

// base are the labels that abra recipe new writes.
func base() map[string]string {
	return map[string]string{
		"traefik.enable": "true",
		"traefik.http.services.STACK.loadbalancer.server.port": "8080",
		"traefik.http.routers.STACK.rule":                      "Host(`OWN`)",
		"traefik.http.routers.STACK.entrypoints":               "web-secure",
		"traefik.http.routers.STACK.tls.certresolver":          "",
	}
}

func judge(labels map[string]string) traefik.Verdict {
	filled := map[string]string{}
	replace := strings.NewReplacer("STACK", stack, "OWN", own)
	for k, v := range labels {
		filled[replace.Replace(k)] = replace.Replace(v)
	}
	return traefik.Judge(filled, claims)
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		sentence, label, value string
		want                   string // in the problem's text; "" for none
		warning                bool
	}{
		{"the labels of abra recipe new are fine", "traefik.enable", "true", "", false},
		{"the proxy may be named", "traefik.docker.network", "proxy", "", false},
		{"another network isn't Traefik's", "traefik.swarm.network", "internal", "isn't on the network", true},
		{"a second router of the app's own host", "traefik.http.routers.STACK-admin.rule", "Host(`OWN`) && PathPrefix(`/admin`)", "", false},
		{"a router for another host", "traefik.http.routers.STACK-x.rule", "Host(`x.org`)", "other hosts", false},
		{"the same in capitals", "traefik.HTTP.Routers.STACK-x.RULE", "Host(`x.org`)", "other hosts", false},
		{"a root in capitals makes Traefik drop all", "TRAEFIK.http.routers.STACK.priority", "1", "lower case", false},
		{"a router under another name", "traefik.http.routers.nextcloud.rule", "Host(`OWN`)", "isn't the app's own", false},
		{"a service under another name", "traefik.http.services.nextcloud.loadbalancer.server.port", "80", "isn't the app's own", false},
		{"a middleware under another name", "traefik.http.middlewares.security.headers.stsseconds", "0", "isn't the app's own", false},
		{"a router without a rule", "traefik.http.routers.STACK-x.priority", "9", "has no rule", false},
		{"a router with a blank rule", "traefik.http.routers.STACK-x.rule", " ", "has no rule", false},
		{"Traefik's own API as the service", "traefik.http.routers.STACK.service", "api@internal", "Traefik's operator", false},
		{"another app's service", "traefik.http.routers.STACK.service", "nextcloud", "isn't the app's own", false},
		{"another app's service by its provider", "traefik.http.routers.STACK.service", "nextcloud@swarm", "Traefik's operator", false},
		{"the own service by its provider", "traefik.http.routers.STACK.service", "STACK@swarm", "", false},
		{"the own name in the file provider", "traefik.http.routers.STACK.service", "STACK@file", "Traefik's operator", false},
		{"a middleware of a file", "traefik.http.routers.STACK.middlewares", "STACK-a,security@file", "Traefik's operator", false},
		{"own middlewares", "traefik.http.routers.STACK.middlewares", "STACK-a, STACK-b@docker", "", false},
		{"a resolver asks Let's Encrypt", "traefik.http.routers.STACK.tls.certresolver", "production", "Let's Encrypt", false},
		{"a certificate for another host", "traefik.http.routers.STACK.tls.domains[0].main", "*.example.org", "for another host", false},
		{"a certificate for the own host", "traefik.http.routers.STACK.tls.domains[0].main", "OWN", "", false},
		{"Traefik's default TLS options", "traefik.http.routers.STACK.tls.options", "default@file", "", false},
		{"an entrypoint of Traefik's own", "traefik.http.routers.STACK.entrypoints", "traefik", "no entrypoint", true},
		{"the parents of a router", "traefik.http.routers.STACK.parentrefs", "a", "knows to be harmless", false},
		{"a server elsewhere", "traefik.http.services.STACK.loadbalancer.server.url", "http://10.0.0.1", "isn't the app's", false},
		{"a server elsewhere, by index", "traefik.http.services.STACK.loadbalancer.servers[0].url", "http://10.0.0.1", "isn't the app's", false},
		{"a health check elsewhere", "traefik.http.services.STACK.loadbalancer.healthcheck.path", "http://10.0.0.1/", "another server", false},
		{"a health check elsewhere, without a scheme", "traefik.http.services.STACK.loadbalancer.healthcheck.path", "//10.0.0.1/", "another server", false},
		{"a health check of the app", "traefik.http.services.STACK.loadbalancer.healthcheck.path", "/healthz", "", false},
		{"a transport of the operator's", "traefik.http.services.STACK.loadbalancer.serverstransport", "x@file", "harmless", false},
		{"a weighted service", "traefik.http.services.STACK.weighted.services[0].name", "nextcloud", "load balancer", false},
		{"headers", "traefik.http.middlewares.STACK-h.headers.customrequestheaders.X-Y", "1", "", false},
		{"a users' file of Traefik's", "traefik.http.middlewares.STACK-a.basicauth.usersfile", "/etc/passwd", "file of Traefik's", false},
		{"users in the label", "traefik.http.middlewares.STACK-a.basicauth.users", "a:b", "", false},
		{"a plugin", "traefik.http.middlewares.STACK-p.plugin.x.y", "1", "harmless", false},
		{"a chain with another's middleware", "traefik.http.middlewares.STACK-c.chain.middlewares", "x@file", "operator", false},
		{"an error page of another's service", "traefik.http.middlewares.STACK-e.errors.service", "other", "isn't the app's own", false},
		{"authentication by the app", "traefik.http.middlewares.STACK-f.forwardauth.address", "http://STACK_auth:9000/verify", "", false},
		{"authentication by the app's address", "traefik.http.middlewares.STACK-f.forwardauth.address", "https://OWN/verify", "", false},
		{"authentication by Traefik's own network", "traefik.http.middlewares.STACK-f.forwardauth.address", "http://127.0.0.1:8080/", "isn't the app's", false},
		{"an address that only begins like the app's", "traefik.http.middlewares.STACK-f.forwardauth.address", "http://STACK_auth@10.0.0.1/", "isn't the app's", false},
		{"authentication with a file of Traefik's", "traefik.http.middlewares.STACK-f.forwardauth.tls.ca", "/x", "file of Traefik's", false},
		{"a TCP router", "traefik.tcp.routers.STACK.rule", "HostSNI(`*`)", "port of the whole host", false},
		{"a UDP router", "traefik.udp.routers.STACK.entrypoints", "x", "port of the whole host", false},
		{"the default TLS store", "traefik.tls.stores.default.defaultcertificate.certfile", "x", "for all apps", false},
		{"models of entrypoints", "traefik.http.models.x.middlewares", "x", "routers, services and middlewares", false},
		{"a label of Traefik v1", "traefik.frontend.rule", "Host:x.org", "doesn't know", true},
		{"an index where none belongs", "traefik.http.routers.STACK[0].rule.x", "Host(`x.org`)", "harmless", false},
		{"an empty part", "traefik.http..routers.STACK.rule", "Host(`x.org`)", "isn't one that Traefik reads", false},
		{"half a label", "traefik.http.routers", "x", "nothing that Traefik knows", false},
		{"other software's labels are none of this", "backupbot.backup", "true", "", false},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			labels := base()
			labels[test.label] = test.value
			problems := judge(labels).Problems
			if test.want == "" {
				if len(problems) > 0 {
					t.Fatalf("refused: %+v", problems)
				}
				return
			}
			for _, p := range problems {
				if strings.Contains(p.Text, test.want) && p.Warning == test.warning {
					return
				}
			}
			t.Fatalf("no problem says %q: %+v", test.want, problems)
		})
	}
}

func TestJudgeEnabled(t *testing.T) {
	for _, test := range []struct {
		sentence string
		labels   map[string]string
		routed   bool
		problem  string
	}{
		{"a service as abra recipe new makes it is routed", base(), true, ""},
		{"no labels: no route, no problem", nil, false, ""},
		{"enabled without a router gets Traefik's default rule", map[string]string{"traefik.enable": "true"}, false, "without a router"},
		{"any true counts", map[string]string{"traefik.enable": "T"}, false, "without a router"},
		{"disabled is fine", map[string]string{"traefik.enable": "false"}, false, ""},
		{"a router that isn't enabled", map[string]string{"traefik.http.routers.STACK.rule": "Host(`OWN`)"}, false, "doesn't see"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			verdict := judge(test.labels)
			if verdict.Routed != test.routed {
				t.Errorf("routed is %v", verdict.Routed)
			}
			if (test.problem == "") != (len(verdict.Problems) == 0) || test.problem != "" && !strings.Contains(verdict.Problems[0].Text, test.problem) {
				t.Errorf("the problems are %+v", verdict.Problems)
			}
		})
	}
}
