package main

import (
	"time"

	"github.com/docker/docker/api/types/events"
)

// What the tests see of the program.
type Figure = figure

var DeployTime = deployTime

// Columns are a figure's cells in the table.
func (f *Figure) Columns() []string { return f.columns() }

// Gaps are those between the ten steps of a log for download.
func Gaps(log string) ([]float64, error) {
	all, err := rows(log)
	if err != nil {
		return nil, err
	}
	return (&sighting{log: all}).gaps()
}

// WriteInto writes a report of one figure into a document.
func WriteInto(path string, f Figure) error {
	return (&report{Machine: "a machine", Official: "v1", Command: "make bench", Figures: []figure{f}}).writeInto(path)
}

// Event is one of the engine's.
func Event(at time.Duration, action events.Action, attributes map[string]string) events.Message {
	return events.Message{Action: action, TimeNano: int64(at) + 1, Actor: events.Actor{Attributes: attributes}}
}
