package capsule

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
)

// Socket is the path of the unix socket that the named forward leads to.
func (s *Spec) Socket(name string) string {
	return filepath.Join(s.Run, name+".sock")
}

// Port is the port of 127.0.0.1 outside that leads to the named forward's
// socket, and 0 if there is none.
func (s *Spec) Port(name string) int {
	for _, f := range s.Forwards {
		if f.Name == name {
			return f.Port
		}
	}
	return 0
}

// listen opens the forwards' ports and serves them until stop is called. It
// writes the ports that were really opened into spec.
func listen(spec *Spec) (stop func(), err error) {
	var listeners []net.Listener
	var running sync.WaitGroup
	stop = func() {
		for _, l := range listeners {
			_ = l.Close()
		}
		running.Wait()
	}
	for i := range spec.Forwards {
		f := &spec.Forwards[i]
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Port)))
		if err != nil {
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			stop()
			return nil, fmt.Errorf("open a port for %s: %w", f.Name, err)
		}
		f.Port = l.Addr().(*net.TCPAddr).Port
		listeners = append(listeners, l)
		socket := spec.Socket(f.Name)
		running.Go(func() { Relay(l, "unix", socket) })
	}
	return stop, nil
}

// Relay passes every connection that l accepts on to the given address, until
// l is closed. A connection whose other end can't be reached is closed.
func Relay(l net.Listener, network, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer out.Close()
			join(in, out)
		}()
	}
}

// join copies both ways until both are done, passing on each side's end.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(p[0], p[1]) // a broken connection is an end like any other
			if half, ok := p[0].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}
