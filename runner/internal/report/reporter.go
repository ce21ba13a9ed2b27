package report

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/mask"
	"github.com/rs/zerolog"
)

// Gitea takes what a Reporter sends. Errors for which gitea.Final reports true
// end the sending; all others are tried again.
type Gitea interface {
	// UpdateLog returns how many rows of the task Gitea has.
	UpdateLog(ctx context.Context, req *runnerv1.UpdateLogRequest) (int64, error)
	UpdateTask(ctx context.Context, req *runnerv1.UpdateTaskRequest) (*runnerv1.UpdateTaskResponse, error)
}

// Pace are the times a Reporter keeps. All must be positive.
type Pace struct {
	// Latency is how old a row may be before it is sent.
	Latency time.Duration
	// Gap is the least time between two calls of a kind, so that a hurry of short
	// steps is told in a few.
	Gap time.Duration
	// Heartbeat is the time between two states without news; a cancellation in
	// Gitea is seen after as long.
	Heartbeat time.Duration
	// Retry is the pause after a call that failed. It doubles up to RetryMax.
	Retry, RetryMax time.Duration
	// LogAlone is how long Close tries to end a log of which Gitea takes no row
	// although it takes states.
	LogAlone time.Duration
	// Grace is how long Close lets a call under way go on.
	Grace time.Duration
}

// DefaultPace suits a Gitea whose page asks for news once a second.
var DefaultPace = Pace{
	Latency:   300 * time.Millisecond,
	Gap:       50 * time.Millisecond,
	Heartbeat: 2 * time.Second,
	Retry:     250 * time.Millisecond,
	RetryMax:  10 * time.Second,
	LogAlone:  2 * time.Minute,
	Grace:     10 * time.Second,
}

// Options say whose log and states are sent, and how.
type Options struct {
	Task int64
	// Steps is how many steps the job has.
	Steps int
	// Stop ends the job, with a cause for its context. It is called when Gitea has
	// ended it, or doesn't know it any more, and may be called twice.
	Stop context.CancelCauseFunc
	Pace Pace
	Log  zerolog.Logger
}

// fullRows and fullBytes are a batch that is worth sending before its time.
const (
	fullRows  = 4000
	fullBytes = 256 << 10
)

// Reporter is the executor.Reporter of one task.
type Reporter struct {
	gitea  Gitea
	opts   Options
	masker mask.Masker
	begun  time.Time

	mu     sync.Mutex
	rows   rows
	states states
	// taken is the end of the rows in the last batch, offered the end of those in
	// any, whether Gitea took them or not.
	taken, offered int64
	// fresh estimates the bytes of rows not taken yet; waiting and newest are when
	// the first and the last of them came.
	fresh           int
	waiting, newest time.Time
	// urgent asks for rows to be sent at once, dirty for the states once Gitea has
	// the rows up to told, of which they speak.
	urgent, dirty bool
	told          int64
	// closed takes no more rows: the job is over, or Gitea has closed its log.
	closed bool

	logKick, stateKick chan struct{}
	closing            chan struct{}
	loops              sync.WaitGroup
	abort              context.CancelFunc
}

var _ executor.Reporter = (*Reporter)(nil)

// Start begins to report a task. The caller must Close the Reporter.
func Start(api Gitea, opts Options) *Reporter {
	ctx, abort := context.WithCancel(context.Background())
	r := &Reporter{
		gitea:     api,
		opts:      opts,
		begun:     time.Now(),
		states:    newStates(opts.Steps),
		logKick:   make(chan struct{}, 1),
		stateKick: make(chan struct{}, 1),
		closing:   make(chan struct{}),
		abort:     abort,
	}
	r.loops.Go(func() { r.sendLog(ctx) })
	r.loops.Go(func() { r.sendStates(ctx) })
	return r
}

// Row appends a line to the log. Line breaks in it make several rows, and so
// does a length over 64 KiB; bytes that aren't UTF-8 are replaced.
func (r *Reporter) Row(at time.Time, line string) {
	line = strings.TrimRight(r.masker.Line(line), "\r\n")
	if !utf8.ValidString(line) {
		line = strings.ToValidUTF8(line, string(utf8.RuneError))
	}
	r.mu.Lock()
	kick := r.append(at, line)
	r.mu.Unlock()
	if kick {
		wake(r.logKick)
	}
}

// append adds a line's rows and reports whether the sender must look up.
func (r *Reporter) append(at time.Time, line string) bool {
	if r.closed {
		return false
	}
	before, wasFull := r.rows.next, r.full()
	if len(line) <= lineBytes && strings.IndexByte(line, '\n') < 0 {
		r.rows.add(at, line)
	} else {
		for part := range strings.SplitSeq(line, "\n") {
			r.addLong(at, strings.TrimSuffix(part, "\r"))
		}
	}
	r.fresh += len(line)
	r.newest = time.Now()
	if before == r.taken {
		r.waiting = r.newest
		return true
	}
	return !wasFull && r.full()
}

// addLong adds a line as rows that Gitea doesn't cut off, each ending with a
// whole character.
func (r *Reporter) addLong(at time.Time, line string) {
	for len(line) > lineBytes {
		cut := lineBytes
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		r.rows.add(at, line[:cut])
		line = line[cut:]
	}
	r.rows.add(at, line)
}

// full reports whether there is a batch worth sending before its time.
func (r *Reporter) full() bool {
	return r.fresh >= fullBytes || r.rows.next-r.taken >= fullRows
}

// StepStarted tells that a step begins: later rows are its.
func (r *Reporter) StepStarted(step int, at time.Time) {
	r.mu.Lock()
	r.rows.sayCut(at)
	changed := r.states.start(step, at, r.rows.next)
	r.mu.Unlock()
	r.changed(changed)
}

// StepFinished tells how a step ended.
func (r *Reporter) StepFinished(step int, at time.Time, result executor.Result) {
	r.mu.Lock()
	r.rows.sayCut(at)
	changed := r.states.finish(step, at, result, r.rows.next)
	r.mu.Unlock()
	r.changed(changed)
}

// changed has the rows so far sent, and then the states that speak of them.
func (r *Reporter) changed(changed bool) {
	if !changed {
		return
	}
	r.mu.Lock()
	r.dirty, r.told = true, r.rows.next
	r.mu.Unlock()
	r.Flush()
}

// Mask keeps values out of all later rows.
func (r *Reporter) Mask(values ...string) { r.masker.Add(values...) }

// Flush has the rows so far sent without waiting for their time.
func (r *Reporter) Flush() {
	r.mu.Lock()
	r.urgent = true
	r.mu.Unlock()
	wake(r.logKick)
}

// wake makes the owner of a channel look up once more, now or when it is done
// with what it does.
func wake(kick chan struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}
