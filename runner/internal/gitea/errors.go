package gitea

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
)

// What a call's error means, for errors.Is. Everything else is worth another
// try.
var (
	// ErrUnreachable: no answer came from the address.
	ErrUnreachable = errors.New("can't reach Gitea: check the address, and that Gitea runs")
	// ErrCertificate: the address answers, but isn't trusted.
	ErrCertificate = errors.New("the certificate of this Gitea is not trusted: name its authority's file with instance_ca_file")
	// ErrNotGitea: something answers that doesn't speak the Actions protocol.
	ErrNotGitea = errors.New("this is no Gitea with Actions: check the address (with its path, if it has one) and that [actions] ENABLED is true in Gitea's app.ini")
	// ErrTokenUnknown: the registration token isn't one of this instance.
	ErrTokenUnknown = errors.New("the registration token is unknown to Gitea: copy it again from Settings → Actions → Runners → Create new runner")
	// ErrTokenInvalidated: a newer registration token has replaced this one.
	ErrTokenInvalidated = errors.New("a newer registration token has replaced this one: copy the present one from Settings → Actions → Runners → Create new runner")
	// ErrUnregistered: the runner was deleted in Gitea, or its identity is wrong.
	ErrUnregistered = errors.New("this runner is not known to Gitea any more: move the identity file away and run cc-ci register")
	// ErrArchived: the task's log was closed; no further rows can be stored.
	ErrArchived = errors.New("the job's log was closed by Gitea")
	// ErrTaskGone: the task was deleted, or belongs to another runner.
	ErrTaskGone = errors.New("the job is not known to Gitea any more")
)

// Final reports whether trying the same call again can't help. ErrNotGitea isn't
// final: a proxy answers like that while Gitea starts.
func Final(err error) bool {
	for _, final := range []error{ErrUnregistered, ErrArchived, ErrTaskGone, ErrTokenUnknown, ErrTokenInvalidated} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// texts tell Gitea's errors. Gitea answers with gRPC status errors from connect
// handlers, so that whatever their code they arrive as CodeUnknown, and only
// the text says which (Gitea 1.24 to 1.27, routers/api/actions/runner).
var texts = []struct {
	text string
	kind error
}{
	{"unregistered runner", ErrUnregistered},
	{"code = Unauthenticated", ErrUnregistered},
	{"runner has been removed", ErrUnregistered},
	{"registration token not found", ErrTokenUnknown},
	{"registration token has been invalidated", ErrTokenInvalidated},
	{"log file has been archived", ErrArchived},
	{"invalid runner for task", ErrTaskGone},
}

// classify wraps an error of a call with what it means. name is the call's.
func classify(name, address string, err error) error {
	if err == nil {
		return nil
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verification):
		return fmt.Errorf("%s: %w (%w)", address, ErrCertificate, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", name, err)
	}
	text := err.Error()
	for _, known := range texts {
		if strings.Contains(text, known.text) {
			return fmt.Errorf("%s: %w", address, known.kind)
		}
	}
	// A task that is gone; a task's run that is gone makes FetchTask fail with the
	// same words, and there the runner isn't at fault and must go on.
	if name != fetch && strings.Contains(text, "resource does not exist") {
		return fmt.Errorf("%s: %w", address, ErrTaskGone)
	}
	return fmt.Errorf("%s: %s: %w", address, name, errors.Join(transport(err), err))
}

// transport tells an address that doesn't answer from one that answers in
// another language. It returns nil for answers of Gitea's own.
func transport(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return ErrUnreachable
	case connect.CodeUnimplemented:
		return ErrNotGitea
	}
	if strings.Contains(err.Error(), "invalid content-type") {
		return ErrNotGitea
	}
	return nil
}
