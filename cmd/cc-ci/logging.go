package main

import (
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

// newLog returns the program's own log: for a person on a terminal, as JSON for
// whoever collects it otherwise.
func newLog(w io.Writer, settings config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(settings.Level)
	if err != nil {
		return zerolog.Nop(), usage(fmt.Errorf("log.level: %w", err))
	}
	console := settings.Format == "console" || settings.Format == "auto" && isTerminal(w)
	if console {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !colourful(w), TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}
