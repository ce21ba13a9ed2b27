package capsule_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
)

// Relay passes both ways and passes on the end of what is sent.
func TestRelay(t *testing.T) {
	server, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // ends with the one connection
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		n := 0
		for s := bufio.NewScanner(c); s.Scan(); n++ {
		}
		fmt.Fprintf(c, "%d lines\n", n)
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		capsule.Relay(front, "unix", server.Addr().String())
		close(done)
	}()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "a\nb\n")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := bufio.NewReader(c).ReadString('\n')
	if got != "2 lines\n" {
		t.Errorf("got %q, %v, want 2 lines", got, err)
	}
	front.Close()
	<-done
}

// Clean removes the capsule's folder, and is content when there is none.
func TestClean(t *testing.T) {
	spec := capsule.Spec{Run: filepath.Join(t.TempDir(), "run"), Cgroup: "cc-ci-test-of-clean"}
	if err := os.MkdirAll(filepath.Join(spec.Run, "exec"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := capsule.Clean(spec); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(spec.Run); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	}
}
