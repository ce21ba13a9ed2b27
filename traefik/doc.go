// Package traefik knows what Traefik v3.6 makes of labels and rules, as text:
// it reads a router's rule, and judges whether a service's labels can take a
// route, a name or a service that isn't the app's own. It asks nobody, and it
// must never take for harmless what it doesn't know.
package traefik
