// Package process says what one command in the sandbox is: how it is asked for,
// how it ended, and the frames in which both travel between the host and the
// sandbox's first process.
//
// One connection carries one command. The host sends a Request, then at most one
// Stop; the first process answers with any number of outputs and one Exit, and
// closes. A connection that the host closes before the Exit kills the command.
//
// The package knows neither Docker nor act, so that both sides of the socket and
// the code that runs steps can share its types without carrying each other's
// dependencies. It must never start a process or open a socket itself.
package process
