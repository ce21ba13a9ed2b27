package lab

import (
	"context"
	"errors"
)

// GiteaFacts describes the lab's Gitea.
type GiteaFacts struct{}

func (l *Lab) giteaUp(context.Context, goods) error { return errors.New("todo") }
