package traefik

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Own is what labels may claim.
type Own struct {
	// Domain is the one host of the app.
	Domain string
	// Stack must begin every name of a router, service or middleware, since
	// Traefik puts those of all stacks into one place and drops both of two that
	// differ under one name.
	Stack string
	// Proxy is the network Traefik reaches services on.
	Proxy string
	// Services are the short names of the app's services.
	Services []string
}

// Problem is a label that asks for too much, or for nothing.
type Problem struct {
	Label   string // as written
	Warning bool   // else the label is refused
	Text    string
	Hint    string
}

// Verdict is what the labels of one service come to.
type Verdict struct {
	Problems []Problem // sorted by label
	// Routed tells that a router sends the app's own domain to the service.
	Routed bool
}

// Judge reads one service's labels. Keys are taken in any case, since Traefik
// finds fields in any case.
func Judge(labels map[string]string, own Own) Verdict {
	j := judge{own: own, routers: map[string]*router{}}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if lower := strings.ToLower(label); lower == "traefik" || strings.HasPrefix(lower, "traefik.") {
			j.label(label, strings.Split(lower, "."), labels[label])
		}
	}
	j.finish()
	slices.SortStableFunc(j.Problems, func(a, b Problem) int { return cmp.Compare(a.Label, b.Label) })
	return j.Verdict
}

type judge struct {
	Verdict
	own     Own
	enabled string // the label that enables, or ""
	routers map[string]*router
	fields  bool // there is a label of traefik.http
}

type router struct {
	label string // one of its labels
	rule  bool
	own   bool
}

func (j *judge) refuse(label, hint, text string, args ...any) {
	j.Problems = append(j.Problems, Problem{Label: label, Text: fmt.Sprintf(text, args...), Hint: hint})
}

func (j *judge) warn(label, hint, text string, args ...any) {
	j.Problems = append(j.Problems, Problem{Label: label, Warning: true, Text: fmt.Sprintf(text, args...), Hint: hint})
}

// plain is the form of a label this package reads: anything else (an index
// where none belongs, an empty part) is refused unread.
var plain = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+(\[[0-9]+\])?)*$`)

// label judges one label; path is its key in lower case, cut at the dots.
func (j *judge) label(label string, path []string, value string) {
	if !plain.MatchString(strings.Join(path, ".")) {
		j.refuse(label, "write it as in Traefik's documentation", "the label's name isn't one that Traefik reads, and it would drop all of the service's labels")
		return
	}
	if !strings.HasPrefix(label, "traefik.") {
		j.refuse(label, "write traefik in lower case", "Traefik drops all of a service's labels for this one: its name must begin with traefik. in lower case")
		return
	}
	switch section := path[1]; {
	case section == "enable" && len(path) == 2:
		if !slices.Contains([]string{"", "false", "0", "f"}, strings.ToLower(value)) {
			j.enabled = label
		}
	case section == "docker" || section == "swarm":
		if path[len(path)-1] == "network" && value != j.own.Proxy {
			j.warn(label, fmt.Sprintf("write %s, or leave the label out", j.own.Proxy), "Traefik isn't on the network %s", value)
		}
	case section == "http" && len(path) >= 5:
		j.fields = true
		j.http(label, path, value)
	case strings.HasPrefix(section, "tcp"), strings.HasPrefix(section, "udp"):
		j.refuse(label, "route over HTTP, or reach the service from a step by its name", "a TCP or UDP router takes a port of the whole host")
	case strings.HasPrefix(section, "http"), strings.HasPrefix(section, "tls"):
		j.refuse(label, "remove it", "it changes Traefik for all apps, or nothing that Traefik knows")
	default:
		j.warn(label, "remove it", "Traefik v3 doesn't know this label")
	}
}

// http judges traefik.http.<kind>.<name>.<field>….
func (j *judge) http(label string, path []string, value string) {
	kind, name, field := path[2], path[3], strings.Join(path[4:], ".")
	if !slices.Contains([]string{"routers", "services", "middlewares"}, kind) {
		j.refuse(label, "remove it", "cc-ci allows labels for routers, services and middlewares only")
		return
	}
	if !j.ownName(name) {
		j.refuse(label, "name it ${STACK_NAME}, or begin its name with that",
			"the name %s isn't the app's own: Traefik puts the names of all apps into one place, so it could be another's", name)
	}
	switch kind {
	case "routers":
		j.router(label, name, field, value)
	case "services":
		j.service(label, field, value)
	case "middlewares":
		j.middleware(label, field, value)
	}
}

// ownName reports whether a name of a router, service or middleware is the
// app's, whatever its case.
func (j *judge) ownName(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), strings.ToLower(j.own.Stack))
}

func (j *judge) router(label, name, field, value string) {
	r := j.routers[name]
	if r == nil {
		r = &router{label: label}
		j.routers[name] = r
	}
	switch {
	case field == "rule":
		r.rule = strings.TrimSpace(value) != ""
		r.own = r.rule && j.rule(label, value)
	case field == "service":
		j.reference(label, "service", value)
	case field == "middlewares":
		for ref := range strings.SplitSeq(value, ",") {
			j.reference(label, "middleware", strings.TrimSpace(ref))
		}
	case field == "entrypoints":
		for point := range strings.SplitSeq(value, ",") {
			if point = strings.TrimSpace(point); point != "web" && point != "web-secure" {
				j.warn(label, "write web-secure", "there is no entrypoint %s: Co-op Cloud's are web and web-secure", point)
			}
		}
	case field == "tls.certresolver":
		if value != "" {
			j.refuse(label, "write ${LETS_ENCRYPT_ENV}, which is empty here", "it asks Let's Encrypt for a certificate, and their limits count for everyone; the wildcard certificate serves")
		}
	case field == "tls.options":
		j.reference(label, "set of TLS options", value)
	case strings.HasPrefix(field, "tls.domains["):
		if canonical(value) != canonical(j.own.Domain) {
			j.refuse(label, "leave it out", "it asks for a certificate for another host")
		}
	case field == "rulesyntax", field == "priority", field == "tls", strings.HasPrefix(field, "observability."):
	default:
		j.refuse(label, "remove it", "it isn't a field of a router that cc-ci knows to be harmless")
	}
}

// rule judges a router's rule and reports whether it is for the own domain.
func (j *judge) rule(label, rule string) bool {
	only, err := OnlyHost(rule, j.own.Domain)
	switch {
	case err != nil:
		j.refuse(label, "write Host(`${DOMAIN}`)", "the rule %s", err)
	case !only:
		j.refuse(label, "write Host(`${DOMAIN}`), with && before further conditions",
			"the rule matches other hosts than %s, the job's own, so it could take another app's visitors", j.own.Domain)
	}
	return err == nil && only
}

// reference judges a name that a label refers to.
func (j *judge) reference(label, kind, ref string) {
	name, provider, qualified := strings.Cut(ref, "@")
	switch {
	case ref == "" || j.ownName(name) && (!qualified || provider == "swarm" || provider == "docker"):
	case kind == "set of TLS options" && name == "default":
	case qualified:
		j.refuse(label, "define it in this recipe's own labels", "the %s %s belongs to Traefik's operator, who may not have it here", kind, ref)
	default:
		j.refuse(label, "define it in this recipe's own labels, its name beginning with ${STACK_NAME}", "the %s %s isn't the app's own", kind, ref)
	}
}

func (j *judge) service(label, field, value string) {
	const lb = "loadbalancer."
	field, ok := strings.CutPrefix(field, lb)
	switch {
	case !ok:
		j.refuse(label, "use loadbalancer", "labels can describe a load balancer only")
	case field == "server.port", field == "server.scheme", field == "server.weight", field == "passhostheader", field == "strategy",
		field == "sticky", strings.HasPrefix(field, "sticky."), strings.HasPrefix(field, "responseforwarding."):
	case field == "healthcheck.path":
		if !strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//") || strings.Contains(value, `\`) {
			j.refuse(label, "write a path: /healthz", "as an address it would make Traefik ask another server")
		}
	case field == "healthcheck", strings.HasPrefix(field, "healthcheck."):
	case strings.HasPrefix(field, "server.") || strings.HasPrefix(field, "servers["):
		j.refuse(label, "use loadbalancer.server.port", "it would send visitors, or Traefik, to a server that isn't the app's")
	default:
		j.refuse(label, "remove it", "it isn't a field of a load balancer that cc-ci knows to be harmless")
	}
}

// harmless are the middlewares that only change this router's requests and
// answers.
var harmless = []string{
	"addprefix", "stripprefix", "stripprefixregex", "replacepath", "replacepathregex", "ipallowlist", "ipwhitelist", "headers",
	"ratelimit", "redirectregex", "redirectscheme", "inflightreq", "buffering", "circuitbreaker", "compress", "passtlsclientcert",
	"retry", "contenttype", "grpcweb",
}

func (j *judge) middleware(label, field, value string) {
	kind, rest, _ := strings.Cut(field, ".")
	switch {
	case strings.HasSuffix(rest, "usersfile"), strings.HasPrefix(rest, "tls."), strings.HasPrefix(rest, "redis."):
		j.refuse(label, "put the value into the label", "it reads a file of Traefik's, or lets it call another server")
	case slices.Contains(harmless, kind), kind == "basicauth", kind == "digestauth":
	case field == "chain.middlewares":
		for ref := range strings.SplitSeq(value, ",") {
			j.reference(label, "middleware", strings.TrimSpace(ref))
		}
	case field == "errors.service":
		j.reference(label, "service", value)
	case kind == "errors":
	case field == "forwardauth.address":
		j.forwardAuth(label, value)
	case kind == "forwardauth":
	default:
		j.refuse(label, "remove it", "it isn't a middleware that cc-ci knows to be harmless")
	}
}

// forwardAuth lets Traefik ask the app itself, nobody else.
func (j *judge) forwardAuth(label, address string) {
	u, err := url.Parse(address)
	if err == nil {
		host := strings.ToLower(u.Hostname())
		service, ours := strings.CutPrefix(host, strings.ToLower(j.own.Stack)+"_")
		if host == j.own.Domain || ours && slices.Contains(j.own.Services, service) {
			return
		}
	}
	j.refuse(label, "write http://${STACK_NAME}_<service>:PORT/… or https://${DOMAIN}/…", "it makes Traefik call a server that isn't the app's")
}

// finish judges what no label says: routers without a rule.
func (j *judge) finish() {
	for _, name := range slices.Sorted(maps.Keys(j.routers)) {
		r := j.routers[name]
		if !r.rule {
			j.refuse(r.label, "add the label traefik.http.routers."+name+".rule=Host(`${DOMAIN}`)", "the router %s has no rule: Traefik would make one from the service's name (or as its operator configured), not from the job's domain", name)
		}
		j.Routed = j.Routed || r.own && j.enabled != ""
	}
	if j.enabled != "" && len(j.routers) == 0 {
		j.refuse(j.enabled, "add the label traefik.http.routers.${STACK_NAME}.rule=Host(`${DOMAIN}`)", "Traefik is enabled without a router: it would make one with a rule from the service's name (or as its operator configured), not from the job's domain")
	}
	if j.enabled == "" && len(j.routers) > 0 {
		first := slices.Sorted(maps.Keys(j.routers))[0]
		j.warn(j.routers[first].label, "add the label traefik.enable=true", "Traefik doesn't see this service, since traefik.enable isn't true")
	}
}
