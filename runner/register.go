package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/gitea"
)

// registerTimeout bounds a registration, so that a Gitea which takes the
// connection and never answers doesn't hold the operator's terminal.
const registerTimeout = 30 * time.Second

// What can be wrong with a Gitea or with what it thinks of this runner. The
// errors of Register and Daemon.Run wrap these; their text says what to do.
var (
	ErrUnreachable      = gitea.ErrUnreachable
	ErrCertificate      = gitea.ErrCertificate
	ErrNotGitea         = gitea.ErrNotGitea
	ErrTokenUnknown     = gitea.ErrTokenUnknown
	ErrTokenInvalidated = gitea.ErrTokenInvalidated
	// ErrUnregistered: Gitea no longer knows this runner; somebody deleted it.
	ErrUnregistered = gitea.ErrUnregistered
)

// Registration is what a new runner tells Gitea.
type Registration struct {
	// Instance is Gitea's address, as in a browser: https://git.example.org.
	Instance string
	// Token is a registration token of the instance, an organisation or a
	// repository; it decides whose jobs the runner gets.
	Token string
	// Name is shown in Gitea's list of runners; "" is the machine's name.
	Name    string
	Labels  Labels
	Version string
	// CAFile holds certificates to trust besides the system's; "" for none.
	CAFile string
}

// Register makes a new runner in Gitea and returns its identity, which the
// caller must save: Gitea shows the token only this once. Registering twice
// makes two runners. It takes at most 30 seconds.
func Register(ctx context.Context, r Registration) (Identity, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, registerTimeout, errors.New("no answer within 30 s"))
	defer cancel()
	if r.Token == "" {
		return Identity{}, fmt.Errorf("no registration token given: Gitea shows one under Settings → Actions → Runners")
	}
	if r.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return Identity{}, fmt.Errorf("finding a name for the runner: %w; give one with --name", err)
		}
		r.Name = host
	}
	client, err := gitea.New(gitea.Options{Address: r.Instance, CAFile: r.CAFile, Version: r.Version})
	if err != nil {
		return Identity{}, err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return Identity{}, fmt.Errorf("registering the runner: %w", err)
	}
	made, err := client.Register(ctx, r.Name, r.Token, r.Version, r.Labels.Names())
	if err != nil {
		return Identity{}, fmt.Errorf("registering the runner: %w", err)
	}
	return Identity{
		ID:      made.Id,
		UUID:    made.Uuid,
		Name:    made.Name,
		Token:   made.Token,
		Address: client.Address(),
		Labels:  r.Labels.Strings(),
		Version: r.Version,
	}, nil
}
