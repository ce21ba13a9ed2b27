package swarm

import (
	"fmt"
	"strings"
	"time"
)

// A Receipt says what a job made on the engine and what is left of it.
type Receipt struct {
	// Made is every object that the job was seen to have made.
	Made Census
	// Left is what was still there when the teardown ended; empty is good.
	Left Census
	// Unknown is true when the engine could not be asked, so that Left says
	// nothing.
	Unknown bool
	// NeighboursUntouched is true when every object of others that was there
	// when the teardown began was there when it ended. Neighbours that end
	// meanwhile make it false, which is no fault.
	NeighboursUntouched bool
	// Took is how long the teardown took.
	Took time.Duration
}

// Clean tells whether the job is known to have left nothing.
func (r Receipt) Clean() bool { return !r.Unknown && len(r.Left) == 0 }

// String is the receipt in one line, for the end of the job's log.
func (r Receipt) String() string {
	var b strings.Builder
	b.WriteString("receipt: ")
	if len(r.Made) == 0 {
		b.WriteString("nothing made")
	} else {
		b.WriteString(r.Made.tally() + " made")
	}
	switch {
	case r.Unknown:
		b.WriteString("; the engine did not answer, so what is left is not known")
		return b.String()
	case len(r.Left) > 0:
		names := make([]string, len(r.Left))
		for i, o := range r.Left {
			names[i] = o.String()
		}
		fmt.Fprintf(&b, "; LEFT BEHIND %s: %s", r.Left.tally(), strings.Join(names, ", "))
	case len(r.Made) > 0:
		b.WriteString("; all gone")
	}
	if r.NeighboursUntouched {
		b.WriteString("; neighbours untouched")
	}
	return b.String()
}

// tally counts the objects by kind: "2 services, 2 volumes (1 anonymous)".
func (c Census) tally() string {
	var parts []string
	for _, kind := range kinds {
		count, anonymous := 0, 0
		for _, o := range c {
			if o.Kind == kind {
				count++
				if o.Anonymous {
					anonymous++
				}
			}
		}
		if count == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", count, kind)
		if count > 1 {
			part += "s"
		}
		if anonymous > 0 {
			part += fmt.Sprintf(" (%d anonymous)", anonymous)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
