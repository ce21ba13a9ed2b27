package supply

import (
	"context"
	"strings"
)

// jobPackages is what workflows may take for granted in the job image.
var jobPackages = []string{"bash", "ca-certificates", "curl", "git", "jq", "nodejs"}

// JobImage makes the image that jobs run in by default: a small Debian.
func (s *Supply) JobImage(ctx context.Context) (Image, error) {
	const suite = "bookworm"
	changes := []string{
		"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"ENV LANG=C.UTF-8",
		`CMD ["bash"]`,
	}
	args := []string{
		"--variant=minbase", "--include=" + strings.Join(jobPackages, ","),
		"--aptopt=Acquire::Retries 3", "--aptopt=APT::Install-Recommends false",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--quiet",
	}
	content := fingerprint(append(changes, append(args, suite)...)...)
	path, err := s.keep("images", "cc-ci-job-"+content+".tar", "making the job image's Debian "+suite, func(path string) error {
		_, err := run(ctx, "", nil, "mmdebstrap", append(args, suite, path)...)
		return err
	})
	return Image{Ref: "cc-ci-job:latest", Tar: path, Changes: changes, Content: content}, err
}
