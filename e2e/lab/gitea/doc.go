// Package gitea drives a real Gitea in tests: through its API, by git, and
// through what its pages ask the server, so that a test sees what a user sees.
// It knows Gitea 1.26.
//
// It is for the throw-away Gitea of the lab only.
package gitea
