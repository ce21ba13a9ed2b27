package executor

import (
	"fmt"
	"strings"
	"time"
)

// timeline is how long each phase took, in the order they began.
type timeline struct {
	spans []span
}

type span struct {
	name string
	took time.Duration
	note string
}

func (t *timeline) add(name string, took time.Duration) {
	t.spans = append(t.spans, span{name: name, took: took})
}

// note adds a word to the span last added: "pull 0.0 warm".
func (t *timeline) note(word string) {
	if len(t.spans) > 0 {
		t.spans[len(t.spans)-1].note = word
	}
}

// String is the log's last line but one: seconds, in the order of the job.
func (t *timeline) String() string {
	words := make([]string, len(t.spans))
	for i, s := range t.spans {
		words[i] = fmt.Sprintf("%s %.1f", s.name, s.took.Seconds())
		if s.note != "" {
			words[i] += " " + s.note
		}
	}
	return strings.Join(words, " · ")
}
