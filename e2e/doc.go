// Package e2e holds the end-to-end tests: the real binary against a real Gitea,
// a real swarm and a real Traefik in the lab of package e2e/lab. They assert
// what users see: Gitea's API and log download, its pages in a browser, and
// what is on the engine. Run them with make test.
package e2e
