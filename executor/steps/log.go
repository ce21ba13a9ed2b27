package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nektos/act/pkg/model"
	"github.com/sirupsen/logrus"
)

// recorder turns act's log entries into a Sink's rows and step states. act logs
// from the job's goroutine, a Place's output comes from another.
type recorder struct {
	sink  Sink
	steps []*model.Step
	names []string       // for headings: uses: as the workflow has it
	ids   map[string]int // act's step id to index
	ask   questions

	mu       sync.Mutex
	step     int // the one last started; -1 before the first
	open     bool
	result   string
	stopped  bool   // the open step was interrupted
	stage    string // act's, of the last entry
	outlives bool   // the open step goes on when the job is cancelled
	deadline time.Time
	span     time.Duration
	title    string // of a pre or post stage that has no row yet
}

// questions are what a recorder must know of a step when it starts.
type questions interface {
	// limit is its timeout-minutes; 0 for none.
	limit(step int) time.Duration
	// outlives tells whether it goes on when the job is cancelled.
	outlives(step int) bool
	// inputs are its with: lines, expressions evaluated.
	inputs(step int) []string
}

// errStepTimeout is the end of a step's timeout-minutes.
type errStepTimeout struct{ limit time.Duration }

func (e *errStepTimeout) Error() string {
	return fmt.Sprintf("The step ran longer than its timeout-minutes allow (%v) and was stopped.", e.limit)
}

// reportedText is how an error that the log has already looks in act's messages.
const reportedText = "\U0010FFFD reported"

// errReported fails a step whose reason the log has already.
var errReported = errors.New(reportedText)

// Levels implements logrus.Hook.
func (r *recorder) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (r *recorder) Fire(entry *logrus.Entry) error {
	e := readEntry(entry)
	r.follow(e)
	switch {
	case e.result != "":
		if e.stage == "Main" && len(e.path) == 1 {
			r.setResult(e.result)
		}
	case entry.Level > logrus.InfoLevel:
		// Debug text holds secrets.
	case e.command != "":
		r.command(e, entry)
	case e.raw:
		r.row(entry.Time, entry.Message)
	case entry.Level <= logrus.WarnLevel:
		r.trouble(e, entry)
	case strings.HasPrefix(entry.Message, runPrefix) && len(e.path) == 1:
		r.heading(e, entry.Time)
	}
	return nil
}

// runPrefix begins the message with which act starts a step.
const runPrefix = "\u2B50 Run "

// fields are those of an entry's that matter here.
type fields struct {
	stage   string   // Pre, Main, Post; "" outside of steps
	path    []string // step ids: the job's step, then those inside composite actions
	phase   bool     // set up or complete job
	raw     bool     // a process wrote it
	command string
	result  string
	at      time.Time
}

func readEntry(entry *logrus.Entry) fields {
	f := fields{at: entry.Time}
	f.stage, _ = entry.Data["stage"].(string)
	f.path, _ = entry.Data["stepID"].([]string)
	_, f.phase = entry.Data["stepid"]
	f.raw, _ = entry.Data["raw_output"].(bool)
	f.command, _ = entry.Data["command"].(string)
	if result, ok := entry.Data["stepResult"].(fmt.Stringer); ok {
		f.result = result.String()
	}
	return f
}

// follow starts and finishes steps as entries pass from one to the next. A step
// is finished with the first entry after it, since its summary and what is wrong
// with its command files come after its result.
func (r *recorder) follow(e fields) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.stage != "Main" || len(e.path) == 0 {
		if e.stage != "" || e.phase {
			r.finish(e.at)
			r.stage = e.stage
		}
		return
	}
	r.stage = e.stage
	// Steps run in order, each once.
	if step, ok := r.ids[e.path[0]]; ok && step > r.step {
		r.finish(e.at)
		r.step, r.open, r.result, r.stopped, r.deadline, r.outlives = step, true, "", false, time.Time{}, false
		r.sink.StepStarted(step, e.at)
	}
}

// finish closes the open step; mu is held.
func (r *recorder) finish(at time.Time) {
	if !r.open {
		return
	}
	result := r.result
	switch {
	case r.stopped:
		result = "cancelled"
	case result == "":
		result = "failure"
	}
	r.open = false
	r.sink.StepFinished(r.step, at, result)
}

// end closes the open step and reports the steps that were never reached.
func (r *recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.finish(now)
	for step := r.step + 1; step < len(r.steps); step++ {
		r.sink.StepStarted(step, now)
		r.sink.StepFinished(step, now, "skipped")
	}
	r.step = len(r.steps)
}

func (r *recorder) setResult(result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result = result
}

// interrupted notes that the open step was ended by the job's cancellation.
func (r *recorder) interrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// row passes text on, a row per line.
func (r *recorder) row(at time.Time, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.title != "" {
		r.sink.Row(at, r.title)
		r.title = ""
	}
	for line := range strings.SplitSeq(strings.TrimRight(restore(text), "\r\n"), "\n") {
		r.sink.Row(at, strings.TrimSuffix(line, "\r"))
	}
}

// group writes lines under a heading that can be folded. They are indented, so
// that none of them is taken for a command.
func (r *recorder) group(title string, lines []string) {
	now := time.Now()
	r.row(now, "::group::"+title)
	for _, line := range lines {
		r.row(now, "  "+line)
	}
	r.row(now, "::endgroup::")
}

// command passes on what a process told the runner with ::command::.
func (r *recorder) command(e fields, entry *logrus.Entry) {
	raw, _ := entry.Data["raw"].(string)
	switch e.command {
	case "add-mask":
		value, _ := entry.Data["arg"].(string)
		r.sink.Mask(restore(value))
	case "summary":
		text, _ := entry.Data["content"].(string)
		r.group("Summary", strings.Split(strings.TrimRight(restore(text), "\n"), "\n"))
	case "set-env", "add-path":
		if entry.Level == logrus.ErrorLevel {
			r.row(entry.Time, "::error::"+entry.Message)
		}
	case "set-output", "save-state", "stop-commands", "debug", "add-matcher", "remove-matcher":
	default:
		// With stop-commands the command that resumes is the token itself.
		if arg, _ := entry.Data["arg"].(string); raw != "" && (arg != "" || known(e.command)) {
			r.row(entry.Time, raw)
		}
	}
}

// known are the commands that the Actions page shows, and the one act makes of
// commands between stop-commands and its token.
func known(command string) bool {
	switch command {
	case "group", "endgroup", "notice", "warning", "error", "ignored", "command":
		return true
	}
	return false
}

// trouble passes on act's own warnings and errors.
func (r *recorder) trouble(e fields, entry *logrus.Entry) {
	kind := "::error::"
	if entry.Level == logrus.WarnLevel {
		kind = "::warning::"
	}
	for line := range strings.SplitSeq(entry.Message, "\n") {
		line = strings.Trim(line, " \u274C\t\r")
		if line == "" || strings.Contains(line, reportedText) || line == context.Canceled.Error() {
			continue
		}
		r.row(entry.Time, kind+line)
		if entry.Level <= logrus.ErrorLevel && e.stage == "Main" && len(e.path) == 1 {
			r.fail()
		}
	}
}

// fail makes the open step a failure which act took for a success: one whose
// command files can't be read.
func (r *recorder) fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result == "success" {
		r.result = "failure"
	}
}

// heading begins a step's rows. A run: step's comes later, from the
// environment, with the script's expressions evaluated.
func (r *recorder) heading(e fields, at time.Time) {
	step, ok := r.ids[e.path[0]]
	if !ok {
		return
	}
	if e.stage != "Main" {
		r.mu.Lock()
		r.title = e.stage + " " + r.names[step]
		r.mu.Unlock()
		return
	}
	limit, outlives := r.ask.limit(step), r.ask.outlives(step)
	r.mu.Lock()
	r.outlives = outlives
	if limit > 0 {
		r.deadline, r.span = at.Add(limit), limit
	}
	r.mu.Unlock()
	if r.steps[step].Uses != "" {
		r.group(r.names[step], r.ask.inputs(step))
	} else if r.names[step] != "" {
		r.group(r.names[step], []string{"served from the job's own clone of the repository"})
	}
}

// limited ends with the open step's timeout-minutes.
func (r *recorder) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open || r.deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, r.deadline, &errStepTimeout{r.span})
}

// endures tells whether what runs now goes on when the job is cancelled: pre
// and post stages, and steps that ask for it.
func (r *recorder) endures() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stage != "Main" || r.outlives
}
