// Package supply makes what the lab runs and no registry gives: programs built
// from the modules in e2e/tools, Gitea's pages built from npm, and the root
// folders of images. Everything is made once and kept in a folder; the name of
// what is kept tells all that went into it, so that a changed recipe is made
// anew.
//
// It needs the network when something is missing, and so runs outside the
// lab's namespaces. It must never touch a container engine.
package supply
