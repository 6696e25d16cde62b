package kvgrpc

import (
	"net"
	"testing"
)

// TestBoundedListener: a connection beyond the bound is closed at once, and its
// place is free again when another one ends.
func TestBoundedListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bounded := &boundedListener{Listener: l, most: 1}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := bounded.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn { return no[net.Conn](t)(net.Dial("tcp", l.Addr().String())) }
	first := dial()
	served := <-accepted
	second := dial()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the bound is served")
	}
	for range 2 { // closing twice frees one place
		_ = served.Close()
	}
	third := dial()
	served = <-accepted
	if bounded.open.Load() != 1 {
		t.Errorf("%d are open", bounded.open.Load())
	}
	for _, c := range []net.Conn{first, second, third, served} {
		_ = c.Close()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-accepted
}
