package lab

import (
	"context"
	"errors"
)

// TraefikFacts describes the lab's Traefik.
type TraefikFacts struct{}

func (l *Lab) traefikUp(context.Context) error { return errors.New("todo") }
