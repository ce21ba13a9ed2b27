package supply

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress tells on a stream what is being made and how long it has taken so
// far: on a terminal in one line that changes, else in a line every 15 s. Work
// that takes less than half a second is not worth a line. Its methods may be
// called concurrently.
type Progress struct {
	mu      sync.Mutex
	out     io.Writer
	live    bool
	shown   bool // a live line stands on the terminal
	running []*work
	stop    chan struct{}
}

type work struct {
	name  string
	start time.Time
}

// NewProgress reports on f.
func NewProgress(f *os.File) *Progress {
	return &Progress{out: f, live: term.IsTerminal(int(f.Fd()))}
}

// Do runs fn, and tells that it runs and how it ended.
func (p *Progress) Do(name string, fn func() error) error {
	w := p.begin(name)
	err := fn()
	p.end(w, err)
	return err
}

// Say prints a line of its own.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
}

func (p *Progress) begin(name string) *work {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &work{name: name, start: time.Now()}
	p.running = append(p.running, w)
	if p.stop == nil {
		p.stop = make(chan struct{})
		go p.tick(p.stop)
	}
	return w
}

func (p *Progress) end(w *work, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = slices.DeleteFunc(p.running, func(o *work) bool { return o == w })
	took := time.Since(w.start)
	switch {
	case err != nil:
		p.line(fmt.Sprintf("%s failed after %s", w.name, seconds(took)))
	case took >= 500*time.Millisecond:
		p.line(fmt.Sprintf("%s: done in %s", w.name, seconds(took)))
	}
	if len(p.running) == 0 {
		close(p.stop)
		p.stop = nil
	}
}

// tick reports until stop is closed.
func (p *Progress) tick(stop <-chan struct{}) {
	every := 15 * time.Second
	if p.live {
		every = time.Second
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.report()
		}
	}
}

func (p *Progress) report() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 {
		return
	}
	var parts []string
	for _, w := range p.running {
		parts = append(parts, fmt.Sprintf("%s (%s)", w.name, seconds(time.Since(w.start))))
	}
	text := strings.Join(parts, " · ")
	if !p.live {
		p.line(text)
		return
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	p.shown = true
}

// line prints a whole line in place of the live one. The lock is held.
func (p *Progress) line(s string) {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintln(p.out, s)
}

func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
