// Command cc-ci tests Co-op Cloud recipes: it runs the jobs of a Gitea instance
// that ask for cc-ci, or one of a recipe on this machine, each against a
// deployment of its own on Docker Swarm.
//
// This package only reads flags and files, opens the parts and joins them. What
// a job is, how it runs and how it is reported lives in the packages beside it.
package main
