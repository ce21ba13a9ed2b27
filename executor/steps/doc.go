// Package steps runs the steps of one workflow job inside a Place, with
// github.com/nektos/act as the engine.
//
// It reads the workflow, says what cc-ci can't run in it, evaluates what must
// be known before a deployment (Evaluate, JobIf, Image), and then drives act
// over the steps (Run). act sees no engine and no host: every process goes to
// Place.Exec, every file is reached through the bind-mounted folders, and these
// only below their roots, since steps may put symlinks and devices there.
//
// It must never pass anything of the runner's own environment to a step, never
// forward act's debug text, which holds secrets, and never talk to a container
// engine. All that depends on how this version of act works inside is in
// quirks.go, each with a test that fails when act changes.
package steps
