// Package mask takes secrets out of log lines, those for Gitea and those for a
// terminal alike. It knows values and lines, not where they come from, and it
// must let no value through that it was given before the line.
package mask

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// shown stands in the log where a secret was.
const shown = "***"

// shortestPart is the shortest line of a value with several that is masked on
// its own: a key's lines are, the braces of a JSON document aren't.
const shortestPart = 4

// Masker replaces secrets in lines. It may be used by several goroutines; the
// zero Masker knows no secret.
type Masker struct {
	mu     sync.Mutex
	values map[string]struct{}
	table  atomic.Pointer[table]
}

// Add makes values secret for all later calls of Line. Of a value with several
// lines each line is, since a log shows them one by one.
func (m *Masker) Add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.values)
	if m.values == nil {
		m.values = make(map[string]struct{})
	}
	for _, value := range values {
		for _, part := range parts(value) {
			m.values[part] = struct{}{}
		}
	}
	if len(m.values) != before {
		m.table.Store(newTable(m.values))
	}
}

// parts are the pieces of a value that may stand in a line.
func parts(value string) []string {
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		return nil
	}
	if !strings.Contains(value, "\n") {
		return []string{value}
	}
	var found []string
	for line := range strings.SplitSeq(value, "\n") {
		if line = strings.TrimSpace(line); len(line) >= shortestPart {
			found = append(found, line)
		}
	}
	return found
}

// Line returns the line with *** for every secret in it. Secrets that overlap
// are covered together, so that no end of one is left.
func (m *Masker) Line(line string) string {
	t := m.table.Load()
	if t == nil {
		return line
	}
	start, end := t.find(line, 0)
	if start < 0 {
		return line
	}
	var out strings.Builder
	out.Grow(len(line))
	done := 0
	for start >= 0 {
		out.WriteString(line[done:start])
		out.WriteString(shown)
		done = end
		start, end = t.find(line, done)
	}
	out.WriteString(line[done:])
	return out.String()
}

// table finds values by their first two bytes.
type table struct {
	// pairs has a bit for each pair of bytes that a value begins with: nearly
	// every place of a line is told apart from a secret by this one look.
	pairs [1 << 16 / 64]uint64
	// byPair are the values of a pair, longest first. A value of one byte is
	// under each pair that begins with it.
	byPair map[uint16][]string
	// single are the values of one byte, which may end a line.
	single [256]bool
}

func newTable(values map[string]struct{}) *table {
	t := &table{byPair: make(map[uint16][]string)}
	for value := range values {
		if len(value) > 1 {
			t.add(pairOf(value[0], value[1]), value)
			continue
		}
		t.single[value[0]] = true
		for second := range 256 {
			t.add(pairOf(value[0], byte(second)), value)
		}
	}
	for _, same := range t.byPair {
		slices.SortFunc(same, func(a, b string) int { return len(b) - len(a) })
	}
	return t
}

func (t *table) add(pair uint16, value string) {
	t.pairs[pair/64] |= 1 << (pair % 64)
	t.byPair[pair] = append(t.byPair[pair], value)
}

func pairOf(first, second byte) uint16 { return uint16(first)<<8 | uint16(second) }

// find returns the bounds of the first run of overlapping secrets at or after
// from, or -1.
func (t *table) find(line string, from int) (start, end int) {
	start, end = -1, -1
	for i := from; i < len(line); i++ {
		if start >= 0 && i >= end {
			return start, end
		}
		if n := t.at(line, i); n > 0 {
			if start < 0 {
				start = i
			}
			end = max(end, i+n)
		}
	}
	return start, end
}

// at is the length of the longest secret that begins at i, or 0.
func (t *table) at(line string, i int) int {
	if i+1 == len(line) {
		if t.single[line[i]] {
			return 1
		}
		return 0
	}
	pair := pairOf(line[i], line[i+1])
	if t.pairs[pair/64]&(1<<(pair%64)) == 0 {
		return 0
	}
	for _, value := range t.byPair[pair] {
		if strings.HasPrefix(line[i:], value) {
			return len(value)
		}
	}
	return 0
}
