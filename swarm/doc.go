// Package swarm is the engine's side of a job: it deploys a resolved app to
// Docker Swarm, waits until it serves or says why it never will, and takes
// everything down again, with proof.
//
// Three rules hold everywhere in it:
//
//   - Every object is created through one function, which labels it with its
//     [Owner] and undoes the creation when the owner is already gone. Nothing
//     here, or in any other package, creates a Docker object another way.
//   - Clean-up touches an object only if its labels, or the stack name in its
//     lease, say whose it is. It never prunes, and never goes by age, name
//     pattern or process id.
//   - Whether a job lives is told by the lock on its lease file, which the
//     kernel frees on any death, and by nothing else.
//
// The package sees containers and volumes of the engine it is connected to.
// On a swarm of several nodes, those of other nodes go with their service, but
// do not appear in a census.
package swarm
