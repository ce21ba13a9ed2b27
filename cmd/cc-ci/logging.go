package main

import (
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

// newLog returns the program's own log: for a person on a terminal, as JSON for
// whoever collects it otherwise. What libraries have to say goes there, too.
func newLog(w io.Writer, settings config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(settings.Level)
	if err != nil {
		return zerolog.Nop(), usage(fmt.Errorf("log.level: %w", err))
	}
	console := settings.Format == "console" || settings.Format == "auto" && isTerminal(w)
	if console {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !colourful(w), TimeFormat: time.TimeOnly}
	}
	log := zerolog.New(w).Level(level).With().Timestamp().Logger()
	hooks := logrus.LevelHooks{}
	hooks.Add(libraries{log})
	logrus.StandardLogger().ReplaceHooks(hooks)
	return log, nil
}

// libraries passes on what docker/cli and others tell logrus' standard logger.
// It is about recipes (a deprecated key), of which the preflight says what
// matters in the job's log, so here it is for debugging.
type libraries struct{ log zerolog.Logger }

// Levels implements logrus.Hook.
func (l libraries) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (l libraries) Fire(entry *logrus.Entry) error {
	l.log.Debug().Stringer("as", entry.Level).Msg(entry.Message)
	return nil
}

// muteLibraries keeps libraries from writing to the standard error by themselves.
func muteLibraries() { logrus.SetOutput(io.Discard) }
