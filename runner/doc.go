// Package runner is Gitea's side of cc-ci: it registers the runner, declares
// its labels, fetches tasks, hands them to an executor as jobs and reports what
// becomes of them.
//
// It is the only package that knows the Actions protocol; an executor sees jobs,
// rows and results. It must never speak to a Docker engine, read a recipe or run
// a step, and no secret of a job or of the runner may reach its own log.
//
// The parts that speak the protocol's types are internal: gitea is the client,
// report sends one job's log and states, mask keeps secrets out of both. Package
// giteatest is a Gitea for tests.
package runner
