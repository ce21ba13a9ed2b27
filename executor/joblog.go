package executor

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// joblog writes the rows of the phases: one group each, closed before the next
// opens. It may be used from several goroutines.
type joblog struct {
	report Reporter
	now    func() time.Time

	mu   sync.Mutex
	open bool
}

// rowf appends one row, or several when the text has newlines.
func (l *joblog) rowf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(fmt.Sprintf(format, args...))
}

func (l *joblog) write(text string) {
	at := l.now()
	for line := range strings.Lines(text) {
		l.report.Row(at, strings.TrimRight(line, "\r\n"))
	}
}

// group opens a group and closes the one that is open.
func (l *joblog) group(title string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	l.write("::group::" + title)
	l.open = true
}

// end closes the open group, if there is one.
func (l *joblog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
}

func (l *joblog) close() {
	if l.open {
		l.write("::endgroup::")
		l.open = false
	}
}

// fault tells what went wrong outside any group, so that no page folds it away.
func (l *joblog) fault(f *Fault) {
	l.end()
	blame := ""
	if f.Infra {
		blame = " (the runner's side, not the recipe's)"
	}
	l.rowf("::error::%s%s: %s", f.Phase, blame, strings.ReplaceAll(f.What, "\n", "\n  "))
	if f.Hint != "" {
		l.rowf("  → %s", f.Hint)
	}
	l.report.Flush()
}
