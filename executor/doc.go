// Package executor takes one job from announcement to receipt: it checks the
// recipe out, deploys it to an address of its own, runs the workflow's steps
// against it and takes everything down again.
//
// It knows nothing of Gitea's protocol (package runner) nor of compose files
// (package abra), and it never creates a Docker object except through package
// swarm, which labels them. It must never return while something it made is
// neither gone nor handed to the reaper, and never let a recipe's fault look
// like the runner's or the other way round.
package executor
