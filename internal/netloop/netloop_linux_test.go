package netloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers what it reads, on the loop, and takes itself to a goroutine when a
// message begins with '!', to the loop's if it begins with '?' and nobody else is ready.
type echo struct {
	c     *Conn
	ended chan error
	poked chan struct{}
	wg    *sync.WaitGroup
	hold  chan struct{} // what begins with 'H' waits for it
	left  atomic.Int32  // how often it has kept the loop's goroutine
}

func (e *echo) Readable() {
	e.c.Took()
	buf := make([]byte, 64)
	for {
		n, err := e.c.TryRead(buf)
		if err == ErrAgain {
			if e.c.Poked() {
				_ = e.c.SetReadDeadline(time.Time{})
				e.poked <- struct{}{}
			}
			if e.c.Park() {
				return
			}
			continue
		}
		if err != nil {
			e.ended <- err
			return
		}
		if buf[0] == 'H' {
			<-e.hold
		}
		if buf[0] == '?' && e.c.Leave() {
			e.left.Add(1)
			e.blocking(bytes.Clone(buf[:n]))
			return
		}
		if buf[0] == '!' || buf[0] == '?' {
			first := bytes.Clone(buf[:n])
			e.wg.Go(func() { e.blocking(first) })
			return
		}
		if _, err := e.c.TryWrite(buf[:n]); err != nil {
			e.ended <- err
			return
		}
		if n < len(buf) && !e.c.Ending() && e.c.Park() {
			return
		}
	}
}

// blocking says "?", waits for one more message, answers both and goes back to the loop.
func (e *echo) blocking(first []byte) {
	buf := make([]byte, 64)
	_, err := e.c.Write([]byte("?"))
	n := 0
	if err == nil {
		n, err = e.c.Read(buf)
	}
	if err == nil {
		_, err = e.c.Write(append(first, buf[:n]...))
	}
	for err == nil {
		if n < len(buf) && e.c.Park() { // there may be more otherwise, and nobody would tell
			return
		}
		if n, err = e.c.Read(buf); err != nil {
			break
		}
		if buf[0] == '!' || buf[0] == '?' { // it is here before this one was back
			e.blocking(bytes.Clone(buf[:n]))
			return
		}
		_, err = e.c.Write(buf[:n])
	}
	e.ended <- err
}

type bench struct {
	t    *testing.T
	loop *Loop
	wg   sync.WaitGroup
	run  chan error
	l    net.Listener
	told []int // how many connections had bytes, when there were several; the loop's
}

func open(t *testing.T) *bench {
	t.Helper()
	loop, err := New()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, loop: loop, l: l, run: make(chan error, 1)}
	go func() { b.run <- loop.Run(func(h []Handler) { b.told = append(b.told, len(h)) }, func() {}) }()
	t.Cleanup(func() {
		loop.Close()
		if err := <-b.run; err != nil {
			t.Error(err)
		}
		b.wg.Wait()
		if err := errors.Join(loop.Release(), l.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) dial() (net.Conn, *echo) {
	b.t.Helper()
	client, err := net.Dial("tcp", b.l.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	server, err := b.l.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := b.loop.Adopt(server.(*net.TCPConn))
	if err != nil {
		b.t.Fatal(err)
	}
	e := &echo{c: c, ended: make(chan error, 1), poked: make(chan struct{}, 1), hold: make(chan struct{}), wg: &b.wg}
	if err := c.Start(e); err != nil {
		b.t.Fatal(err)
	}
	return client, e
}

func say(t *testing.T, c net.Conn, out, want string) {
	t.Helper()
	if _, err := io.WriteString(c, out); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("said %q, got %q, %v", out, got, err)
	}
}

func TestEchoOnLoopAndOnGoroutine(t *testing.T) {
	b := open(t)
	c, e := b.dial()
	for i := range 200 {
		say(t, c, "hello", "hello")
		if i%10 == 0 {
			say(t, c, "!wait", "?")
			say(t, c, " more", "!wait more")
		}
	}
	long := string(bytes.Repeat([]byte("x"), 10_000)) // many reads for one event
	say(t, c, long, long)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-e.ended; err != io.EOF {
		t.Fatal(err)
	}
	_ = e.c.Close()
}

// TestLeave: a connection that waits on the loop's goroutine keeps no other one waiting, and
// comes back to the loop.
func TestLeave(t *testing.T) {
	b := open(t)
	waits, e := b.dial()
	other, o := b.dial()
	for range 100 {
		say(t, waits, "?wait", "?") // and now it waits for more
		say(t, other, "?wait", "?")
		say(t, other, " more", "?wait more")
		say(t, other, "hello", "hello")
		say(t, waits, " more", "?wait more")
		say(t, waits, "hello", "hello")
	}
	if e.left.Load() == 0 || o.left.Load() == 0 {
		t.Error("nobody has left the loop")
	}
}

// TestSeveralAreTold: before connections that have bytes at the same time are served, who
// runs the loop is told of all of them.
func TestSeveralAreTold(t *testing.T) {
	b := open(t)
	const others = roundMax + 8
	var clients [others]net.Conn
	for i := range clients {
		clients[i], _ = b.dial()
		say(t, clients[i], "hello", "hello")
	}
	c, e := b.dial()
	say(t, c, "hello", "hello")
	_, err := io.WriteString(c, "Hold")
	for i := range clients {
		if _, e := io.WriteString(clients[i], "x"); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	close(e.hold)
	for i := range clients {
		if _, err := io.ReadFull(clients[i], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	say(t, c, "", "Hold")
	told := 0
	b.loop.Close()
	if err := <-b.run; err != nil {
		t.Error(err)
	}
	for _, n := range b.told {
		told += n
		if n < 2 || n > roundMax {
			t.Errorf("told of %d", n)
		}
	}
	if b.run <- nil; told < others {
		t.Errorf("%d of %d were told of: %v", told, others, b.told)
	}
}

func TestEndBehindDataIsSeen(t *testing.T) {
	b := open(t)
	for range 200 {
		c, e := b.dial()
		if _, err := io.WriteString(c, "bye"); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.LimitReader(c, 3)); err != nil || string(got) != "bye" {
			t.Fatalf("%q, %v", got, err)
		}
		if err := <-e.ended; err != io.EOF {
			t.Fatal(err)
		}
		_ = e.c.Close()
	}
}

func TestPokeAndCloseReachAParkedConnection(t *testing.T) {
	b := open(t)
	c, e := b.dial()
	say(t, c, "a", "a")
	if err := e.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	<-e.poked
	say(t, c, "b", "b")
	_ = e.c.Close()
	if err := <-e.ended; !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the client sees %v", err)
	}
}

func TestDeadlineEndsAWait(t *testing.T) {
	b := open(t)
	c, e := b.dial()
	if _, err := io.WriteString(c, "!"); err != nil {
		t.Fatal(err)
	}
	if err := e.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := <-e.ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	_ = e.c.Close()
}

func TestWriteWaitsForTheClient(t *testing.T) {
	b := open(t)
	c, e := b.dial()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than the socket's buffers
	done := make(chan error, 1)
	go func() {
		_, err := e.c.Write(big)
		done <- err
	}()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, big) {
		t.Fatal("the reply is not what was written", err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := e.c.Write(append(big, big...))
		done <- err
	}()
	_ = e.c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) && err == nil {
		t.Fatal("a write to a closed connection succeeded")
	}
}

func TestManyAtOnce(t *testing.T) {
	b := open(t)
	var wg sync.WaitGroup
	for range 50 {
		c, e := b.dial()
		wg.Go(func() {
			for i := range 200 {
				if first := []string{"!wait", "?wait"}[i%2]; i%7 == 0 {
					say(t, c, first, "?")
					say(t, c, " more", first+" more")
				}
				say(t, c, "hello", "hello")
			}
			_ = c.Close()
			<-e.ended
			_ = e.c.Close()
		})
	}
	wg.Wait()
}
