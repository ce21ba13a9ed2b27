package router

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/traefik"
)

// route sends the requests that match its rule to a port of a service.
type route struct {
	rule     traefik.Rule
	service  string // the swarm service's full name
	scheme   string // http or https
	port     int
	priority int // the highest matching route wins
}

// readRoutes reads the Traefik labels of one swarm service as Traefik's swarm
// provider would. What can't be honoured becomes a note for the log: either a
// route is left out, or it works but not wholly as behind Traefik.
func readRoutes(service string, labels map[string]string) (routes []route, notes []string) {
	note := func(format string, args ...any) {
		notes = append(notes, service+": "+fmt.Sprintf(format, args...))
	}
	labels = lowered(labels)
	if enabled, _ := strconv.ParseBool(labels["traefik.enable"]); !enabled {
		return nil, nil
	}
	routers, backends := group(labels, "traefik.http.routers."), group(labels, "traefik.http.services.")
	for _, name := range slices.Sorted(maps.Keys(routers)) {
		options := routers[name]
		if !secure(options["entrypoints"]) {
			continue
		}
		r, err := newRoute(service, options, backends)
		if err != nil {
			note("router %s left out: %s", name, err)
			continue
		}
		if m := options["middlewares"]; m != "" {
			note("router %s: middlewares (%s) have no effect without Traefik", name, m)
		}
		routes = append(routes, r)
	}
	for _, kind := range []string{"tcp", "udp"} {
		for _, name := range slices.Sorted(maps.Keys(group(labels, "traefik."+kind+".routers."))) {
			note("%s router %s left out: only Traefik serves those", kind, name)
		}
	}
	return routes, notes
}

func newRoute(service string, options map[string]string, backends map[string]map[string]string) (route, error) {
	if options["rule"] == "" {
		return route{}, fmt.Errorf("it has no rule")
	}
	parsed, err := readRule(options["rule"])
	if err != nil {
		return route{}, err
	}
	backend, err := backendOf(options["service"], backends)
	if err != nil {
		return route{}, err
	}
	port, err := strconv.Atoi(backend["loadbalancer.server.port"])
	if err != nil || port < 1 || port > 65535 {
		return route{}, fmt.Errorf("loadbalancer.server.port is %q, not a port", backend["loadbalancer.server.port"])
	}
	scheme := cmp.Or(backend["loadbalancer.server.scheme"], "http")
	if scheme != "http" && scheme != "https" {
		return route{}, fmt.Errorf("loadbalancer.server.scheme is %q; only http and https work without Traefik", scheme)
	}
	priority, _ := strconv.Atoi(options["priority"])
	return route{
		rule: parsed, service: service, scheme: scheme, port: port,
		priority: cmp.Or(priority, len(options["rule"])), // Traefik's default
	}, nil
}

// backendOf finds the options of the Traefik service a router names, or of the
// only one there is.
func backendOf(name string, backends map[string]map[string]string) (map[string]string, error) {
	name, _, _ = strings.Cut(name, "@") // app@swarm
	if b, ok := backends[strings.ToLower(name)]; ok {
		return b, nil
	}
	if name != "" {
		return nil, fmt.Errorf("it names the service %s, which no label describes", name)
	}
	if len(backends) == 1 {
		for _, only := range backends {
			return only, nil
		}
	}
	return nil, fmt.Errorf("labels describe %d services: it must name one of them", len(backends))
}

// lowered lowers the labels' names, in which Traefik doesn't tell case.
func lowered(labels map[string]string) map[string]string {
	low := make(map[string]string, len(labels))
	for label, value := range labels {
		low[strings.ToLower(label)] = value
	}
	return low
}

// group gathers labels below prefix by their next part: routers.NAME.rule → rule.
func group(labels map[string]string, prefix string) map[string]map[string]string {
	groups := map[string]map[string]string{}
	for label, value := range labels {
		rest, ok := strings.CutPrefix(label, prefix)
		name, option, dotted := strings.Cut(rest, ".")
		if !ok || !dotted {
			continue
		}
		if groups[name] == nil {
			groups[name] = map[string]string{}
		}
		groups[name][option] = value
	}
	return groups
}

// secure tells whether a router listens on the HTTPS entrypoint; without any
// entrypoint it listens on all. Plain HTTP is a redirect, which has no place here.
func secure(entrypoints string) bool {
	if entrypoints == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(entrypoints, ","), func(e string) bool {
		e = strings.TrimSpace(e)
		return e == "web-secure" || e == "websecure"
	})
}
