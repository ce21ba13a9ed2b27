package report

import (
	"time"

	"github.com/rs/zerolog"
)

// outage says once that something doesn't reach Gitea, and once that it does
// again, however many calls fail between.
type outage struct {
	log   zerolog.Logger
	what  string
	since time.Time
}

func (o *outage) note(err error) {
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		o.log.Warn().Err(err).Msgf("%s can't be sent to Gitea; trying on", o.what)
	case err == nil && !o.since.IsZero():
		o.log.Info().Dur("after", time.Since(o.since)).Msgf("%s reaches Gitea again", o.what)
		o.since = time.Time{}
	}
}
