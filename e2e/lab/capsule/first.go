package capsule

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// First is the first thing a program that calls Enter does. In the capsule's
// first process and in its janitor it does their work and never returns;
// everywhere else it does nothing.
func First() {
	var code int
	var err error
	switch os.Getenv(stageEnv) {
	case stageFirst:
		code, err = first()
	case stageJanitor:
		err = sweep()
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// first furnishes the namespaces, starts the program once more and reaps
// whatever ends inside until that one does.
func first() (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	spec, err := specFromEnv()
	if err != nil {
		return 0, err
	}
	if err := furnish(spec.Run); err != nil {
		return 0, err
	}
	main, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(Environ(), stageEnv+"="+stageInside, specEnv+"="+os.Getenv(specEnv)),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return 0, fmt.Errorf("start inside the namespaces: %w", err)
	}
	// Ends with the process.
	go func() {
		for s := range signals {
			_ = main.Signal(s) // it may have ended just now
		}
	}()
	return reap(main.Pid)
}

// reap collects every process that ends until main is one of them.
func reap(main int) (int, error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for what runs inside: %w", err)
		case pid == main && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == main:
			return status.ExitStatus(), nil
		}
	}
}

// furnish makes the new namespaces habitable: a /proc of the new process
// namespace, an empty /run with the capsule's folder, a resolver that fails at
// once since there is no way out, and the network's addresses.
func furnish(run string) error {
	// Slave: the machine's later mounts are seen here, ours never there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach the mounts: %w", err)
	}
	const plain = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("proc", "/proc", "proc", plain|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := emptyRun(run); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", Address + "/32", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// emptyRun mounts an empty /run, keeps the folder run in it, and replaces the
// resolver's configuration.
func emptyRun(run string) error {
	resolv, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		resolv = "" // no resolver to replace
	}
	kept, err := os.Open(run)
	if err != nil {
		return err
	}
	defer kept.Close()
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount an empty /run: %w", err)
	}
	if err := os.MkdirAll(run, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", kept.Fd()), run, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep %s: %w", run, err)
	}
	if resolv == "" {
		return nil
	}
	// Nothing listens there, so that a lookup is refused instead of timing out.
	content := []byte("nameserver " + Address + "\noptions attempts:1 timeout:1\n")
	if strings.HasPrefix(resolv, "/run/") {
		if err := os.MkdirAll(filepath.Dir(resolv), 0o755); err != nil {
			return err
		}
		return os.WriteFile(resolv, content, 0o644)
	}
	ours := "/run/resolv.conf"
	if err := os.WriteFile(ours, content, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(ours, resolv, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("replace %s: %w", resolv, err)
	}
	return nil
}
