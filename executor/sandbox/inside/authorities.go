package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// systemBundles are where distributions keep the authorities they trust: Debian
// and Alpine, Fedora, openSUSE, older Alpine.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// authorities joins the image's certificate authorities and one of ours in a
// file: the variables that name a bundle replace the image's, they don't add to
// it.
type authorities struct {
	own, bundle string

	mu      sync.Mutex
	written bool
	from    string // the image's bundle when last written; "" for none
	at      time.Time
}

// refresh writes the bundle, if there is an authority of ours, and if it isn't
// written yet or the image's has changed: a step may install one.
func (a *authorities) refresh() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, at := imageBundle()
	if a.written && from == a.from && at.Equal(a.at) {
		return nil
	}
	own, err := os.ReadFile(a.own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the certificate authority: %w", err)
	}
	var image []byte
	if from != "" {
		if image, err = os.ReadFile(from); err != nil {
			return fmt.Errorf("read the image's certificate authorities: %w", err)
		}
	}
	// Whoever reads it meanwhile sees the old or the new.
	fresh := a.bundle + ".new"
	if err := os.WriteFile(fresh, bytes.Join([][]byte{image, own}, []byte("\n")), 0o644); err != nil {
		return fmt.Errorf("write the certificate authorities: %w", err)
	}
	if err := os.Rename(fresh, a.bundle); err != nil {
		return err
	}
	a.written, a.from, a.at = true, from, at
	return nil
}

// imageBundle finds the image's authorities and when they were last changed.
func imageBundle() (path string, changed time.Time) {
	for _, path := range systemBundles {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, info.ModTime()
		}
	}
	return "", time.Time{}
}
