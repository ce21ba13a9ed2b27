package local

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/mask"
)

// The words a terminal understands; all are empty when there is none.
type styles struct{ bold, dim, red, green, yellow, cyan, reset string }

var colours = styles{
	bold: "\x1b[1m", dim: "\x1b[2m", red: "\x1b[31m", green: "\x1b[32m",
	yellow: "\x1b[33m", cyan: "\x1b[36m", reset: "\x1b[0m",
}

// Terminal prints a job's log as it comes. Its methods may be called from
// several goroutines; a write that fails is lost, as the reader is gone.
type Terminal struct {
	steps  []string
	style  styles
	masker mask.Masker

	mu      sync.Mutex
	out     io.Writer
	grouped bool // rows are indented below a group's title
	began   map[int]time.Time
	pending string // a step's title, until it is known not to be skipped
}

var _ executor.Reporter = (*Terminal)(nil)

// NewTerminal returns a Terminal that writes to out, with colours if asked for.
// The steps are their names by index.
func NewTerminal(out io.Writer, colour bool, steps []string) *Terminal {
	t := &Terminal{out: out, steps: steps, began: map[int]time.Time{}}
	if colour {
		t.style = colours
	}
	return t
}

// Row prints one line; Gitea's log commands are shown as its page shows them.
func (t *Terminal) Row(_ time.Time, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line = t.masker.Line(line)
	command, rest, ok := readCommand(line)
	switch {
	case !ok:
		t.print("", line)
	case command == "group":
		t.grouped = false
		t.print(t.style.bold, rest)
		t.grouped = true
	case command == "endgroup":
		t.grouped = false
	case command == "error":
		t.print(t.style.red, "error: "+rest)
	case command == "warning":
		t.print(t.style.yellow, "warning: "+rest)
	case command == "notice":
		t.print(t.style.cyan, rest)
	case command == "debug", command == "add-mask":
		// The first is for those who ask for it, the second would show its secret.
	default:
		t.print("", line)
	}
}

// readCommand reads ::name key=value,…::text and ##[name]text.
func readCommand(line string) (name, text string, ok bool) {
	if rest, found := strings.CutPrefix(line, "##["); found {
		return strings.Cut(rest, "]")
	}
	rest, found := strings.CutPrefix(line, "::")
	if !found {
		return "", "", false
	}
	head, text, found := strings.Cut(rest, "::")
	name, _, _ = strings.Cut(head, " ")
	return name, text, found
}

// StepStarted prints a step's name, with the step's first line.
func (t *Terminal) StepStarted(step int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grouped = false
	t.began[step] = at
	t.pending = "▶ " + t.name(step)
}

// StepFinished prints how a step ended and how long it took.
func (t *Terminal) StepFinished(step int, at time.Time, result executor.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grouped = false
	sign, colour := "✗", t.style.red
	switch result {
	case executor.Success:
		sign, colour = "✓", t.style.green
	case executor.Skipped:
		t.pending = ""
		t.print(t.style.dim, "○ "+t.name(step)+" (skipped)")
		return
	case executor.Cancelled:
		sign, colour = "■", t.style.yellow
	}
	took := ""
	if began, ok := t.began[step]; ok {
		took = fmt.Sprintf(" · %.1f s", at.Sub(began).Seconds())
	}
	if result != executor.Success {
		took = " (" + string(result) + ")" + took
	}
	t.print(colour, sign+" "+t.name(step)+took)
}

// Mask keeps values out of all later lines.
func (t *Terminal) Mask(values ...string) { t.masker.Add(values...) }

// Flush does nothing: every line is printed at once.
func (t *Terminal) Flush() {}

// Finish prints the job's outcome.
func (t *Terminal) Finish(outcome executor.Outcome, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grouped = false
	colour := t.style.red
	switch outcome.Result {
	case executor.Success, executor.Skipped:
		colour = t.style.green
	case executor.Cancelled:
		colour = t.style.yellow
	}
	line := fmt.Sprintf("%s in %.1f s", outcome.Result, took.Seconds())
	if outcome.Err != nil {
		line += ": " + t.masker.Line(outcome.Err.Error())
	}
	t.print(t.style.bold+colour, line)
}

func (t *Terminal) name(step int) string {
	if step >= 0 && step < len(t.steps) {
		return t.masker.Line(t.steps[step])
	}
	return fmt.Sprintf("step %d", step+1)
}

func (t *Terminal) print(style, line string) {
	if title := t.pending; title != "" {
		t.pending = ""
		t.print(t.style.bold, title)
	}
	indent, reset := "", ""
	if t.grouped {
		indent = "  "
	}
	if style != "" {
		reset = t.style.reset
	}
	fmt.Fprintf(t.out, "%s%s%s%s\n", indent, style, line, reset)
}
