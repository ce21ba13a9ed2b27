// Package report sends one job's log rows, step states and result to Gitea while
// the job runs, and sees them through at its end. It must never block the job,
// lose a row that it took without saying so, change the order of rows, or send a
// secret it was told of.
//
// Row by row the way is: mask, mend, encode once (rows), send in batches (log).
// States go in whole snapshots (heartbeat), after the rows they speak of.
package report
