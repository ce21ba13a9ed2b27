// Package sandbox is the host's side of the container in which a job's steps run:
// it starts the container, runs commands in it, joins it to the app's networks and
// takes it down.
//
// The container's first process is cc-ci itself, bind-mounted into whatever image
// the job names (package inside). A command costs a connection to that process'
// socket and a fork, not an exec of the engine's.
//
// Steps run as root in the container, whatever user the image names, since the
// folders they share with the host are the job's own and the next thing many do is
// apt-get install. The container has the engine's default capabilities but two:
// NET_RAW (packet sockets have been the way into kernels; a ping that its image
// marks with that capability doesn't run) and MKNOD (devices, which it could not
// open anyway). It is never privileged, has no namespace of the host's and no
// Docker socket. It may gain privileges through set-user-ID programs: they lead to
// root, which it is already, and sudo needs them.
//
// The package must never join a container to a network where other jobs live, and
// never follow a link that a step made to a file outside the job's folders.
package sandbox
