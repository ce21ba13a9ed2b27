// Package abra knows what a Co-op Cloud recipe means. It turns a recipe's
// folder and an env into an [App]: everything Docker has to be told, in
// Docker's API types, and [Finding] values for the recipe's author: what is
// wrong, in which file and line, why, and what to do.
//
// A recipe comes from a pull request, so it is hostile input. This package
// reads files of the recipe's folder only (symlinks out of it are refused),
// never runs anything of the recipe (abra.sh is read as text), never talks to
// an engine or a network, and refuses, on the app as resolved (after
// interpolation and merging), whatever would let it reach out of its place:
// the host, another stack, or a route that isn't its own. The rules and the
// allow-lists are in policy_service.go, policy_objects.go and, for Traefik's
// labels, package traefik.
package abra
