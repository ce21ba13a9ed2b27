package supply

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Image is an image to be: a root folder as a tar file, and the instructions,
// as in a Dockerfile, that an import applies to it.
type Image struct {
	Ref     string
	Tar     string
	Changes []string
	Content string // tells two images of the same name apart
}

// entry is a file, or a folder when it has no source, of a small image.
type entry struct {
	path   string
	source string
	mode   int64
}

// authorities is where Debian keeps the certificate authorities' certificates.
const authorities = "/etc/ssl/certs/ca-certificates.crt"

// HelloImages makes the images of the example recipe's two services.
func (s *Supply) HelloImages(ctx context.Context) ([]Image, error) {
	hello, err := s.program(ctx, "cc-ci-lab/hello:1", "hello", []string{
		`ENTRYPOINT ["/hello"]`, `CMD ["serve"]`, "EXPOSE 8080",
	}, entry{path: "/etc/", mode: 0o755})
	if err != nil {
		return nil, err
	}
	store, err := s.program(ctx, "cc-ci-lab/hello-store:1", "store", []string{
		`ENTRYPOINT ["/store"]`, `CMD ["serve"]`, "EXPOSE 7000", `VOLUME ["/data"]`,
	}, entry{path: "/data/", mode: 0o755})
	return []Image{hello, store}, err
}

// program makes an image of nothing but the static program built from
// e2e/lab/images/name.
func (s *Supply) program(ctx context.Context, ref, name string, changes []string, more ...entry) (Image, error) {
	dir, err := os.MkdirTemp("", "cc-ci-lab-image-*")
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, name)
	telling := "building the program of " + ref
	err = s.Progress.Do(telling, func() error {
		_, err := run(ctx, s.Repo, []string{"CGO_ENABLED=0", "GOWORK=off"}, "go", "build", "-trimpath", "-buildvcs=false",
			"-ldflags=-s -w", "-o", binary, "./e2e/lab/images/"+name)
		return err
	})
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", telling, err)
	}
	entries := append([]entry{{path: "/tmp/", mode: 0o1777}}, more...)
	return s.small(ref, changes, append(entries, entry{"/" + name, binary, 0o755}))
}

// TraefikImage makes an image of the Traefik binary under the paths that the
// image of Docker Hub has.
func (s *Supply) TraefikImage(ctx context.Context) (Image, error) {
	binary, err := s.Tool(ctx, Traefik)
	if err != nil {
		return Image{}, err
	}
	return s.small("cc-ci-lab/traefik:3.6.12", []string{
		"ENV PATH=/usr/local/bin", `ENTRYPOINT ["/usr/local/bin/traefik"]`, "EXPOSE 80", "EXPOSE 443",
	}, []entry{
		{path: "/tmp/", mode: 0o1777},
		{"/usr/local/bin/traefik", binary, 0o755},
		{authorities, authorities, 0o644},
	})
}

// small makes an image of a few files.
func (s *Supply) small(ref string, changes []string, entries []entry) (Image, error) {
	content, err := contentOf(entries)
	if err != nil {
		return Image{}, err
	}
	content = fingerprint(append(changes, content)...)
	file := strings.NewReplacer("/", "-", ":", "-").Replace(ref) + "-" + content + ".tar"
	path, err := s.keep("images", file, "packing "+ref, func(path string) error { return pack(path, entries) })
	return Image{Ref: ref, Tar: path, Changes: changes, Content: content}, err
}

// contentOf is a hash of the entries and their files.
func contentOf(entries []entry) (string, error) {
	sum := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(sum, "%s %o\n", e.path, e.mode)
		if e.source == "" {
			continue
		}
		f, err := os.Open(e.source)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// pack writes the entries as a tar file.
func pack(path string, entries []entry) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	for _, e := range entries {
		if err := add(w, e); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Close(), f.Close())
}

func add(w *tar.Writer, e entry) error {
	name := strings.TrimPrefix(e.path, "/")
	if e.source == "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: e.mode})
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: e.mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
