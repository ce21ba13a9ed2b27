package inside

import (
	"fmt"
	"io"
	"net"
)

// forward listens on a loopback address and joins each connection to one to the
// host's socket. The returned function ends the listening; connections end with
// their peers.
func forward(address, socket string) (stop func() error, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", RouterVariable, address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s=%q: only a loopback address is forwarded", RouterVariable, address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the router: %w", err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed by stop
			}
			go join(client.(*net.TCPConn), socket) // ends when both sides have
		}
	}()
	return listener.Close, nil
}

// join passes bytes between client and the socket both ways until both have ended
// or one breaks.
func join(client *net.TCPConn, socket string) {
	defer client.Close()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return // the client sees a connection that closes at once
	}
	router := conn.(*net.UnixConn)
	defer router.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(router, client)
		_ = router.CloseWrite()
	}()
	_, _ = io.Copy(client, router)
	_ = client.CloseWrite()
	<-sent
}
