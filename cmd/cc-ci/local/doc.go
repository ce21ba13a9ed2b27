// Package local is what cc-ci run has in Gitea's place: a job made of a folder
// and its workflow, a terminal for a log, folders of the user's own, and an
// engine made ready for as long as it is needed.
//
// It never talks to a Gitea, and it creates nothing on an engine except, through
// package swarm, what jobs need around them.
package local
