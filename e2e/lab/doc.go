// Package lab brings up, on one machine, all that a recipe's test needs on its
// way: a container engine in swarm mode, Traefik with a wildcard certificate,
// and Gitea with Actions and its real pages. The end-to-end tests and `make
// lab` run on it.
//
// All of it runs in a capsule (package capsule): `go run ./e2e/cmd/lab exec --
// CMD` starts one, brings the lab up in it, runs CMD there and takes it down.
// State is kept in one folder, .cache/lab in the repository or the one named by
// CC_CI_LAB_STATE; two labs with the same folder wait for each other, two with
// different ones are independent of each other. Between runs only images stay.
//
// Tests take what they need with Engine and Current; those don't bring anything
// up but describe the lab that the test runs in.
//
// The package must never use an engine or server that it did not start.
package lab
