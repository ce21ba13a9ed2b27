package inside_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
)

func TestRouterIsForwarded(t *testing.T) {
	address := freeAddress(t)
	f := startFirst(t, nil, inside.RouterVariable+"="+address)
	router, err := net.Listen("unix", filepath.Join(f.run, inside.RouterSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	go func() { // ends with the listener
		for {
			conn, err := router.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				heard, _ := io.ReadAll(conn) // to the client's half close
				_, _ = conn.Write([]byte(strings.ToUpper(string(heard))))
			}()
		}
	}()
	for range 3 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write([]byte("hello"))
		_ = conn.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(conn); string(answer) != "HELLO" {
			t.Errorf("answer %q, %v", answer, err)
		}
		conn.Close()
	}
}

func TestConnectionsCloseWithoutARouter(t *testing.T) {
	address := freeAddress(t)
	startFirst(t, nil, inside.RouterVariable+"="+address)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want the end of the connection", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}

func TestAuthoritiesAreJoined(t *testing.T) {
	dir := t.TempDir()
	own, bundle := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "bundle.pem")
	if err := os.WriteFile(own, []byte("-----OURS-----\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := startFirst(t, []string{"-ca", own, "-bundle", bundle})
	joined, err := os.ReadFile(bundle)
	if err != nil || !strings.HasSuffix(string(joined), "\n-----OURS-----\n") {
		t.Errorf("the bundle ends with %.100q, %v", joined[max(0, len(joined)-100):], err)
	}
	system, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err == nil && !strings.HasPrefix(string(joined), string(system)) {
		t.Error("the system's authorities aren't in the bundle")
	}
	if _, exit := f.sh("true").end(); exit.Err() != nil {
		t.Error(exit.Err())
	}
}
