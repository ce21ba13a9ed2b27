package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

// sendLog sends rows when they are due until the Reporter closes, until ctx ends
// in mid-call, or until Gitea takes no more of them.
//
//  1. Ask how long until rows are due, and up to which.
//  2. Wait that long, or until something changes; then ask again.
//  3. Send them. After that the states may go, whether it went well or not.
//  4. After an error wait, longer each time, and go on.
func (r *Reporter) sendLog(ctx context.Context) {
	var last time.Time
	troubles := outage{log: r.opts.Log, what: "the job's log"}
	delay := r.opts.Pace.Retry
	for {
		wait, limit := r.due(last)
		if wait != 0 {
			if !r.pause(wait, r.logKick) {
				return
			}
			continue
		}
		last = time.Now()
		err := r.sendRows(ctx, limit, false)
		if ctx.Err() != nil {
			return
		}
		r.passOn(err)
		troubles.note(err)
		switch {
		case err == nil:
			delay = r.opts.Pace.Retry
		case gitea.Final(err):
			r.giveUp(err)
			return
		default:
			if !r.pause(delay, nil) {
				return
			}
			delay = min(2*delay, r.opts.Pace.RetryMax)
		}
	}
}

// pause waits, for ever if the time is negative, or until kick, and reports
// whether the Reporter is still open.
func (r *Reporter) pause(wait time.Duration, kick <-chan struct{}) bool {
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-r.closing:
		return false
	case <-kick:
	case <-over:
	}
	return true
}

// due returns how long until rows must be sent, negative if there are none, and
// up to which index.
//
// Gitea ignores the end of a log that brings no new row (before 1.27), so the
// newest row is kept back for a while: the job's last row is then still here
// when the job ends. While a step runs more rows are sure to come, and the very
// first row is what somebody waits for; these are never kept back.
func (r *Reporter) due(last time.Time) (wait time.Duration, limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next, latency := r.rows.next, r.opts.Pace.Latency
	limit = next
	keepBack := r.newest.Add(latency).Sub(now)
	if next > 1 && keepBack > 0 && !r.states.anyRunning() {
		limit--
	}
	if limit <= r.taken {
		r.urgent = false
		r.passOnLocked(nil)
		if next > r.taken {
			return keepBack, limit
		}
		return -1, limit
	}
	switch {
	case r.offered == 0 || r.full():
		return 0, limit
	case r.urgent:
		return max(0, last.Add(r.opts.Pace.Gap).Sub(now)), limit
	}
	return max(0, r.waiting.Add(latency).Sub(now)), limit
}

// sendRows sends one batch of the rows that Gitea doesn't have, none past limit.
// noMore ends the log if the batch reaches its end.
func (r *Reporter) sendRows(ctx context.Context, limit int64, noMore bool) error {
	r.mu.Lock()
	b := r.rows.from(r.rows.acked, limit)
	r.taken = b.end()
	r.offered = max(r.offered, b.end())
	noMore = noMore && b.end() == r.rows.next
	if b.end() >= limit {
		r.urgent, r.fresh, r.waiting = false, 0, r.newest
	}
	r.mu.Unlock()

	req := &runnerv1.UpdateLogRequest{TaskId: r.opts.Task, Index: b.first, NoMore: noMore}
	// The rows are encoded already: as fields that this message doesn't know they
	// are sent as they are, and Gitea reads them as what they are.
	req.ProtoReflect().SetUnknown(b.wire)
	ack, err := r.gitea.UpdateLog(ctx, req)

	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.taken = r.rows.acked
		return err
	}
	// Gitea can't have rows that it was never sent.
	r.rows.ack(min(ack, r.offered))
	r.taken = r.rows.acked
	if ack <= b.first {
		return fmt.Errorf("%w: of the rows from %d to %d Gitea has %d", errNoProgress, b.first, b.end(), ack)
	}
	return nil
}

// errNoProgress: Gitea answered, and has no more rows than before. It is right
// to try again, from where Gitea is, but not at once.
var errNoProgress = errors.New("no row was taken")

// passOn lets the states go that wait for rows to be sent; after an error too,
// since a state without its rows is better than none.
func (r *Reporter) passOn(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passOnLocked(err)
}

func (r *Reporter) passOnLocked(err error) {
	// The newest row may be kept back.
	if r.dirty && (err != nil || r.rows.acked >= r.told-1) {
		r.dirty = false
		wake(r.stateKick)
	}
}

// giveUp ends the log before the job: Gitea takes no more rows.
func (r *Reporter) giveUp(err error) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if !errors.Is(err, gitea.ErrArchived) {
		r.opts.Stop(fmt.Errorf("%w: %w", executor.ErrCancelled, err))
	}
}
