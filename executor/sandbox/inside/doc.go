// Package inside is what cc-ci does within a job's sandbox: the container's first
// process, which starts each step's command on request, and the two small
// programs that steps and the host run there, checkout and clean.
//
// The first process listens on a unix socket in a folder that the host shares. It
// starts each command in a session of its own, passes on what the command writes
// and how it ends, and reaps whatever loses its parent. What a command leaves
// running in the background when it ends by itself stays: a server that one step
// starts is there for the next. A command that is stopped is taken down with all
// that it started, except what made itself a daemon (its parent gone and a session
// of its own), which lives as long as the sandbox.
//
// Everything here runs as root beside a stranger's code and trusts nothing it
// finds in the container. It must never need the network, a shell or any file of
// the image, and never know Docker, Gitea or act.
package inside
