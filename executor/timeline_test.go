package executor

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	var line timeline
	line.add("queued", 410*time.Millisecond)
	line.add("pull", 2*time.Millisecond)
	line.note("warm")
	line.add("converge", 3449*time.Millisecond)
	if got, want := line.String(), "queued 0.4 · pull 0.0 warm · converge 3.4"; got != want {
		t.Errorf("timeline = %q, want %q", got, want)
	}
}
