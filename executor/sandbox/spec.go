package sandbox

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
)

// ActPath is where the folder Spec.Act is in the container.
const ActPath = "/var/run/act"

// DefaultGrace is how long a cancelled command may take over its end.
const DefaultGrace = 4 * time.Second

// DefaultPids is how many processes a sandbox may have at once: many times what a
// build needs, and a fork bomb's end.
const DefaultPids = 4096

// sharedMemory is the size of /dev/shm in bytes. Browsers need more than the
// engine's 64 MiB; what is used counts as the container's memory.
const sharedMemory = 512 << 20

// Spec is what a sandbox is made of. Paths of the host are absolute.
type Spec struct {
	// Image is the job's image; it must be on the engine already.
	Image string
	// Binary is a statically linked cc-ci for the image's machine; "" is the
	// program that runs.
	Binary string
	// RunDir is a folder for the sockets; nothing else is in it.
	RunDir string
	// Act is act's scratch folder, ActPath in the container.
	Act string
	// Workspace is the workspace's folder, WorkspacePath in the container.
	Workspace     string
	WorkspacePath string
	// Clone is the job's clone of its repository, /.cc-ci/clone in the container,
	// where it is read-only; "" for none.
	Clone string
	// CAFile is a PEM file of certificate authorities that steps shall trust
	// beside the image's; "" for none.
	CAFile string
	// Env is set for the first process and part of Env().
	Env map[string]string
	// ExtraHosts gives names an address, or "host-gateway" for the host's.
	ExtraHosts map[string]string
	// Router is an address as "127.0.0.1:8443" on which the container forwards to
	// the socket router.sock in RunDir; "" for none.
	Router string
	// Memory and CPUs bound what the container uses, in bytes and processors; 0
	// is no bound. Pids bounds its processes; 0 is DefaultPids.
	Memory int64
	CPUs   float64
	Pids   int64
	// Grace is how long a cancelled command may take over its end: it gets SIGINT
	// at once, SIGTERM after half of it and SIGKILL after all of it. 0 is
	// DefaultGrace.
	Grace time.Duration
}

// complete returns the spec with its defaults, or what is wrong with it.
func (s Spec) complete() (Spec, error) {
	if s.Image == "" {
		return s, errors.New("a sandbox needs an image")
	}
	if !path.IsAbs(s.WorkspacePath) {
		return s, fmt.Errorf("the workspace's path in the sandbox is %q, which doesn't begin at the root", s.WorkspacePath)
	}
	for _, folder := range []string{s.RunDir, s.Act, s.Workspace} {
		if !filepath.IsAbs(folder) {
			return s, fmt.Errorf("the sandbox's folder %q isn't given from the root", folder)
		}
	}
	if s.Binary == "" {
		executable, err := os.Executable()
		if err != nil {
			return s, fmt.Errorf("find the cc-ci program for the sandbox: %w", err)
		}
		s.Binary = executable
	}
	if s.Pids == 0 {
		s.Pids = DefaultPids
	}
	if s.Grace == 0 {
		s.Grace = DefaultGrace
	}
	return s, static(s.Binary)
}

// static says why a program wouldn't run in any image: the engine's own message
// would be that the file doesn't exist.
func static(binary string) error {
	program, err := elf.Open(binary)
	if err != nil {
		return fmt.Errorf("the sandbox's first process %s isn't a Linux program: %w", binary, err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("the sandbox's first process %s needs shared libraries, which images don't have: build cc-ci with CGO_ENABLED=0", binary)
		}
	}
	return nil
}

// bind is a file or folder of the host in the container.
type bind struct {
	host, container string
	readOnly        bool
}

// binds lists what the container shares with the host. The first are those that
// HostPath knows.
func (s Spec) binds() (shared, own []bind) {
	shared = []bind{
		{host: s.Workspace, container: path.Clean(s.WorkspacePath)},
		{host: s.Act, container: ActPath},
	}
	if s.Clone != "" {
		shared = append(shared, bind{host: s.Clone, container: inside.Clone, readOnly: true})
	}
	own = []bind{
		{host: s.Binary, container: inside.Binary, readOnly: true},
		{host: s.RunDir, container: inside.RunDir},
	}
	if s.CAFile != "" {
		own = append(own, bind{host: s.CAFile, container: inside.CA, readOnly: true})
	}
	return shared, own
}
