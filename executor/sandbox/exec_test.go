package sandbox_test

import (
	"context"
	"crypto/tls"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

func needsLibraries(t *testing.T, binary string) bool {
	t.Helper()
	program, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	return program.Section(".interp") != nil
}

func TestExecTellsHowACommandEnded(t *testing.T) {
	box := newSite(t).start()
	_, err := bash(t.Context(), box, "exit 3")
	if exit := (*process.ExitError)(nil); !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("an exit code: %v", err)
	}
	err = box.Exec(t.Context(), process.Command{Argv: []string{"no-such-program"}})
	if start := (*process.StartError)(nil); !errors.As(err, &start) || start.Code != 127 {
		t.Errorf("a program that isn't there: %v", err)
	}
}

func TestCancelledStepIsReallyDead(t *testing.T) {
	s := newSite(t)
	s.spec.Grace = 200 * time.Millisecond
	box := s.start()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	reason := errors.New("the job was cancelled")
	err := box.Exec(ctx, process.Command{
		Argv: []string{"/bin/bash", "-c", "trap '' INT TERM; sleep 4242 & setsid sleep 4242 & echo ready; while :; do sleep 4242; done"},
		Env:  []string{"PATH=/usr/bin:/bin"},
		Stdout: func(b []byte) {
			if strings.Contains(string(b), "ready") {
				cancel(reason)
			}
		},
	})
	var exit *process.ExitError
	if !errors.Is(err, reason) || !errors.As(err, &exit) || exit.Signal != "SIGKILL" {
		t.Errorf("the step ended with %v", err)
	}
	if left, err := bash(t.Context(), box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 424[2]' | wc -l"); left != "0\n" {
		t.Errorf("%q processes of the step live on, %v", left, err)
	}
	if err := box.Exec(ctx, process.Command{Argv: []string{"/bin/true"}}); !errors.Is(err, reason) {
		t.Errorf("a step after the cancellation: %v", err)
	}
}

func TestExecTellsWhenMemoryRanOut(t *testing.T) {
	s := newSite(t)
	s.spec.Memory = 96 << 20
	box := s.start()
	_, err := bash(t.Context(), box, "tail /dev/zero")
	if exit := (*process.ExitError)(nil); !errors.As(err, &exit) || !exit.OOM || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a step that needs too much memory: %v", err)
	}
	_, err = bash(t.Context(), box, "kill -9 $$")
	if exit := (*process.ExitError)(nil); !errors.As(err, &exit) || exit.OOM {
		t.Errorf("a step that kills itself: %v", err)
	}
}

func TestExecTellsWhenTheSandboxGoesAway(t *testing.T) {
	for what, c := range map[string]struct {
		away func(*site, *sandbox.Sandbox) error
		want func(error) bool
	}{
		"killed": {
			func(s *site, box *sandbox.Sandbox) error {
				return s.engine.Client().ContainerKill(context.Background(), box.ID(), "SIGKILL")
			},
			func(err error) bool {
				died := (*sandbox.DiedError)(nil)
				return errors.As(err, &died) && died.Code == 137 && !died.OOM
			},
		},
		"removed": {
			func(s *site, box *sandbox.Sandbox) error {
				return s.engine.Client().ContainerRemove(context.Background(), box.ID(), container.RemoveOptions{Force: true})
			},
			func(err error) bool {
				died := (*sandbox.DiedError)(nil) // it may be seen between its end and its removal
				return errors.As(err, &died) || errors.Is(err, sandbox.ErrRemoved)
			},
		},
		"closed": {
			func(_ *site, box *sandbox.Sandbox) error { return box.Close(context.Background()) },
			func(err error) bool { return errors.Is(err, sandbox.ErrClosed) },
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			box := s.start()
			away := make(chan error, 1)
			err := box.Exec(t.Context(), process.Command{
				Argv:   []string{"/bin/sh", "-c", "echo ready; exec sleep 4242"},
				Env:    []string{"PATH=/usr/bin:/bin"},
				Stdout: func([]byte) { go func() { away <- c.away(s, box) }() },
			})
			if err := <-away; err != nil {
				t.Fatal(err)
			}
			if !c.want(err) {
				t.Errorf("the step ended with %v", err)
			}
			if again := box.Exec(t.Context(), process.Command{Argv: []string{"/bin/true"}}); !c.want(again) {
				t.Errorf("the next step ended with %v", again)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	s := newSite(t)
	box := s.start()
	for range 2 {
		if err := box.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	s.wantNothingLeft()
}

// The socket's path has a bound, the folders' haven't.
func TestSocketBehindALongPath(t *testing.T) {
	s := newSite(t)
	s.spec.RunDir = filepath.Join(s.spec.RunDir, strings.Repeat("long/", 40))
	if err := os.MkdirAll(s.spec.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if output, err := bash(t.Context(), s.start(), "echo hello"); output != "hello\n" {
		t.Errorf("%q, %v", output, err)
	}
}

// A step owns the folder of the sockets: it must not send the host elsewhere.
func TestSocketThatAStepReplaced(t *testing.T) {
	s := newSite(t)
	box := s.start()
	elsewhere := filepath.Join(s.spec.Act, "elsewhere.sock")
	listener, err := net.Listen("unix", elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := bash(t.Context(), box, "ln -sf "+elsewhere+" /.cc-ci/run/init.sock"); err != nil {
		t.Fatal(err)
	}
	if err := box.Exec(t.Context(), process.Command{Argv: []string{"/bin/true"}}); err == nil {
		t.Error("the host followed a step's link")
	}
}

func TestConnectJoinsTheAppsNetworks(t *testing.T) {
	s := newSite(t)
	box := s.start()
	var ids []string
	for i := range 2 {
		made, err := s.engine.Client().NetworkCreate(t.Context(), fmt.Sprintf("%s-app%d", s.owner.Slug, i),
			network.CreateOptions{Driver: "overlay", Attachable: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// Before the sandbox's own clean-up, so Close is called here too.
			if err := errors.Join(box.Close(context.Background()), s.engine.Client().NetworkRemove(context.Background(), made.ID)); err != nil {
				t.Error(err)
			}
		})
		ids = append(ids, made.ID)
	}
	before, err := bash(t.Context(), box, `while read -r _ to via _; do if [ $to = 00000000 ]; then echo $via; fi; done < /proc/net/route`)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := box.Connect(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	t.Logf("two networks joined in %s", time.Since(begun))
	found, err := s.engine.Client().ContainerInspect(t.Context(), box.ID())
	if err != nil || len(found.NetworkSettings.Networks) != 3 {
		t.Errorf("the sandbox is in %v, %v", found.NetworkSettings.Networks, err)
	}
	if after, err := bash(t.Context(), box, `while read -r _ to via _; do if [ $to = 00000000 ]; then echo $via; fi; done < /proc/net/route`); after != before || after == "" {
		t.Errorf("the way out was %q and is %q, %v", before, after, err)
	}
}

// Steps trust the authority that is given to them and still those of the image.
func TestStepsTrustTheAuthority(t *testing.T) {
	s := newSite(t)
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	server.Listener.Close()
	server.Listener = listener
	server.StartTLS() // its certificate is for example.com
	defer server.Close()
	s.spec.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(s.spec.CAFile, block, 0o644); err != nil {
		t.Fatal(err)
	}
	s.spec.ExtraHosts = map[string]string{"example.com": "host-gateway"}
	box := s.start()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url := "https://example.com:" + port + "/"
	for what, script := range map[string]string{
		"curl": "curl -sS --max-time 10 " + url,
		"node": "node -e 'require(\"https\").get(\"" + url + "\", r => r.pipe(process.stdout))'",
	} {
		if output, err := bash(t.Context(), box, script); output != "hello\n" {
			t.Errorf("%s: %q, %v", what, output, err)
		}
	}
	count := "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; grep -c BEGIN $SSL_CERT_FILE"
	output, err := bash(t.Context(), box, count)
	var image, joined int
	if _, scan := fmt.Sscan(output, &image, &joined); scan != nil || joined != image+1 || image < 50 {
		t.Errorf("the bundle: %q, %v", output, err)
	}
	// An image's authorities may come or change while the job runs.
	if output, err := bash(t.Context(), box, "cat $NODE_EXTRA_CA_CERTS >> /etc/ssl/certs/ca-certificates.crt"); err != nil {
		t.Fatal(output, err)
	}
	if output, err = bash(t.Context(), box, count); err != nil || output != fmt.Sprintf("%d\n%d\n", image+1, image+2) {
		t.Errorf("the bundle after a change: %q, %v", output, err)
	}
}

func TestStepsReachTheRouter(t *testing.T) {
	s := newSite(t)
	s.spec.RunDir = filepath.Join(shortDir(t), "run")
	if err := os.Mkdir(s.spec.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(s.spec.RunDir, "router.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Host) }))
	server.Listener.Close()
	server.Listener = listener
	server.TLS = &tls.Config{}
	server.StartTLS()
	defer server.Close()
	s.spec.Router = "127.0.0.1:8443"
	output, err := bash(t.Context(), s.start(), "curl -sSk --max-time 10 https://hello.ci.localhost:8443/")
	if output != "hello.ci.localhost:8443\n" {
		t.Errorf("%q, %v", output, err)
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sbx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func BenchmarkExec(b *testing.B) {
	box := newSite(b).start()
	for b.Loop() {
		if err := box.Exec(b.Context(), process.Command{Argv: []string{"/bin/true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecBash(b *testing.B) {
	box := newSite(b).start()
	for b.Loop() {
		if _, err := bash(b.Context(), box, "echo hello"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOutput is a step that writes a mebibyte.
func BenchmarkOutput(b *testing.B) {
	box := newSite(b).start()
	b.SetBytes(1 << 20)
	for b.Loop() {
		if err := box.Exec(b.Context(), process.Command{Argv: []string{"/usr/bin/head", "-c", "1048576", "/dev/zero"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartAndClose(b *testing.B) {
	s := newSite(b)
	for b.Loop() {
		box, err := sandbox.Start(b.Context(), s.engine, s.owner, s.spec)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := box.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
