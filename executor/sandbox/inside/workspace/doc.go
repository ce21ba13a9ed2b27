// Package workspace fills and empties a job's folders from within its sandbox,
// where they are a container's root's: what "cc-ci sandbox checkout" and "cc-ci
// sandbox clean" do. A job's own steps wrote what it finds, so it follows no
// link out of a folder.
package workspace
