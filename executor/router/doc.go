// Package router stands in for Traefik where none serves the proxy network: an
// HTTPS reverse proxy inside cc-ci run, for a maintainer's own machine.
//
// It reads the same labels as Traefik, answers at https://<slug>.ci.localhost:PORT
// with a throw-away certificate, and sends requests to the address a task has on
// this host. The daemon never uses it: an app that is tested for production is
// tested behind Traefik. It listens on loopback and on unix sockets only, and it
// holds no Docker client: where a service's task lives it asks a Resolver.
package router
