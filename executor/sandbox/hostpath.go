package sandbox

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// HostPath maps a path in the container to the file on this host, ok false when it
// isn't in a folder that both share. Links are followed as they are seen in the
// container, so that one which a step made never leads to a file of the host's;
// whoever opens the result while steps run should still open it through an
// os.Root, since a step may change it meanwhile.
func (s *Sandbox) HostPath(container string) (host string, ok bool) {
	if !path.IsAbs(container) {
		return "", false
	}
	at, rest, links := "/", split(container), 0
	for len(rest) > 0 {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		found, below := s.lookUp(next)
		at = next
		if !below {
			continue
		}
		info, err := os.Lstat(found)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(found)
		if links++; err != nil || links > maxLinks {
			return "", false
		}
		if at = path.Dir(next); path.IsAbs(target) {
			at = "/"
		}
		rest = append(split(target), rest...)
	}
	host, _ = s.lookUp(at)
	return host, host != ""
}

// lookUp finds the host's file behind a path without links, "" for none. below
// tells that it is within a shared folder, not the folder itself, which is the
// host's to choose.
func (s *Sandbox) lookUp(container string) (host string, below bool) {
	for _, b := range s.shared {
		if container == b.container {
			return b.host, false
		}
		if rest, ok := strings.CutPrefix(container, b.container+"/"); ok {
			return filepath.Join(b.host, filepath.FromSlash(rest)), true
		}
	}
	return "", false
}

// split returns a path's parts without empty ones.
func split(p string) []string {
	return strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
}
