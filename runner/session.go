package runner

import (
	"context"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

type pace struct{}

type session struct {
	identity Identity
	client   *gitea.Client
}

func (d *Daemon) open() (*session, error)                         { return nil, errTODO }
func (s *session) declare(ctx, force context.Context) error       { return nil }
func (s *session) serve(ctx context.Context, force context.Context) error { return nil }
