// Package capsule runs a program in a network, mount and process namespace of
// its own, so that whatever it starts can be taken away as one.
//
// The first process of the process namespace belongs to the capsule. When it
// goes, for whatever reason, the kernel kills everything inside and drops the
// namespaces' mounts and interfaces; nothing depends on an orderly end. The
// first process is killed when the one outside dies, and the one outside is
// asked to end when its own parent dies.
//
// Inside, /run is empty but for the capsule's own folder, which is the same
// inside and outside; the network has a loopback interface and one address
// (Address) and no way out. The way in is a Forward: a port of 127.0.0.1
// outside that is passed on to a unix socket in the shared folder.
//
// The package must never change anything of the machine's own network, mounts
// or control groups other than its own folder under /run and its own control
// group.
package capsule
