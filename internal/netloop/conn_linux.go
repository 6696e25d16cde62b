package netloop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// States of a connection (N1).
const (
	parked int32 = iota
	owned
)

// Conn is a connection under a loop. For its owner it is a net.Conn.
type Conn struct {
	loop          *Loop
	handler       Handler
	fd            int
	token         int32
	local, remote net.Addr
	state         atomic.Int32
	readable      chan struct{} // a token: look again (N2)
	writable      chan struct{}
	ending        atomic.Bool
	poked         atomic.Bool  // the read deadline has been set to the past
	uses          atomic.Int64 // system calls in progress; closedBit once Close was called
	deadline      struct {
		sync.Mutex
		read, write time.Time
		changed     chan struct{} // closed when read changes
	}
}

const closedBit = int64(1) << 62

var (
	_ net.Conn        = (*Conn)(nil)
	_ syscall.Conn    = (*Conn)(nil)
	_ syscall.RawConn = rawConn{}
)

func pointer(events []unix.EpollEvent) uintptr { return uintptr(unsafe.Pointer(&events[0])) }

// detach takes the socket out of the runtime's poller, which would wake up for
// every event, too.
func detach(conn *net.TCPConn) (*Conn, error) {
	c := &Conn{local: conn.LocalAddr(), remote: conn.RemoteAddr(), readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		c.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	if Loopback(c.remote) {
		// Between two processes there is nothing to control; pacing is work, and delay. A kernel
		// that refuses does without.
		_ = unix.SetsockoptString(c.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	}
	c.deadline.changed = make(chan struct{})
	return c, conn.Close()
}

// use begins a system call on the descriptor (N3).
func (c *Conn) use() bool {
	if c.uses.Add(1)&closedBit == 0 {
		return true
	}
	c.done()
	return false
}

func (c *Conn) done() {
	if c.uses.Add(-1) == closedBit && c.uses.CompareAndSwap(closedBit, closedBit|1<<61) {
		_ = unix.Close(c.fd) // the last one; nothing can be done about an error
	}
}

// TryRead reads what is there: ErrAgain when there is nothing, io.EOF at the end.
// It is for the owner.
func (c *Conn) TryRead(p []byte) (int, error) {
	if !c.use() {
		return 0, net.ErrClosed
	}
	defer c.done()
	for {
		n, err := rawRead(c.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, ErrAgain
		case err != nil:
			return 0, os.NewSyscallError("recvfrom", err)
		case n == 0 && c.uses.Load()&closedBit != 0:
			return 0, net.ErrClosed
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// rawRead and rawWrite do not tell the scheduler: the socket never blocks. The kernel's way
// from recv and send to a socket is shorter than that from read and write.
func rawRead(fd int, p []byte) (int, error) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func rawWrite(fd int, p []byte) (int, error) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// TryWrite gives the socket what it takes without waiting; 0 when it takes nothing.
func (c *Conn) TryWrite(p []byte) (int, error) {
	if !c.use() {
		return 0, net.ErrClosed
	}
	defer c.done()
	for {
		n, err := rawWrite(c.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("sendto", err)
		default:
			return n, nil
		}
	}
}

// Park gives the connection back to the loop. It answers false, and the caller
// stays the owner, when something may have happened meanwhile: read again.
func (c *Conn) Park() bool {
	select {
	case <-c.readable:
		return false
	default:
	}
	c.state.Store(parked)
	if len(c.readable) == 0 && !c.poked.Load() && c.uses.Load()&closedBit == 0 {
		return true
	}
	// It came in between, and the loop may have found the connection owned.
	return !c.state.CompareAndSwap(parked, owned)
}

// Took tells, at the beginning of Readable, that the event is being dealt with.
func (c *Conn) Took() {
	select {
	case <-c.readable:
	default:
	}
}

// Read implements net.Conn for the owner's goroutine.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		n, err := c.TryRead(p)
		if err != ErrAgain {
			return n, err
		}
		if err := c.await(c.readable, &c.deadline.read); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn; it waits for the client.
func (c *Conn) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := c.TryWrite(p[written:])
		written += n
		if err != nil {
			return written, err
		}
		if n > 0 {
			continue
		}
		if err := c.await(c.writable, &c.deadline.write); err != nil {
			return written, err
		}
	}
	return written, nil
}

// await waits for a token, the deadline or the end.
func (c *Conn) await(token chan struct{}, at *time.Time) error {
	for {
		c.deadline.Lock()
		limit, changed := *at, c.deadline.changed
		c.deadline.Unlock()
		if c.uses.Load()&closedBit != 0 {
			return net.ErrClosed
		}
		var expired <-chan time.Time
		if !limit.IsZero() {
			left := time.Until(limit)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(left)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-token:
			return nil
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

// SetReadDeadline implements net.Conn. One in the past pokes a parked
// connection: its handler is called.
func (c *Conn) SetReadDeadline(t time.Time) error {
	past := !t.IsZero() && !t.After(time.Now())
	c.setDeadline(func() { c.deadline.read = t })
	c.poked.Store(past)
	if past {
		c.loop.post(c)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.setDeadline(func() { c.deadline.write = t })
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *Conn) setDeadline(set func()) {
	c.deadline.Lock()
	set()
	close(c.deadline.changed)
	c.deadline.changed = make(chan struct{})
	c.deadline.Unlock()
}

// Poked reports whether the read deadline was set to a time in the past.
func (c *Conn) Poked() bool { return c.poked.Load() }

// Close ends the connection. A parked handler is called and finds the end.
func (c *Conn) Close() error {
	if !c.use() {
		return nil
	}
	c.uses.Or(closedBit)                    // first: whoever finds the end knows whose it is
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // fails when the peer was first
	c.setDeadline(func() {})
	c.loop.forget(c)
	c.loop.post(c)
	c.done()
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Ending reports whether the peer has ended its side, so that reading until the
// end is due whatever the last read has left.
func (c *Conn) Ending() bool { return c.ending.Load() }

// rawConn is the connection as a syscall.RawConn.
type rawConn struct{ c *Conn }

// SyscallConn implements syscall.Conn.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// Control implements syscall.RawConn.
func (r rawConn) Control(f func(fd uintptr)) error {
	if !r.c.use() {
		return net.ErrClosed
	}
	defer r.c.done()
	f(uintptr(r.c.fd))
	return nil
}

// Read implements syscall.RawConn.
func (r rawConn) Read(f func(fd uintptr) bool) error {
	return r.until(f, r.c.readable, &r.c.deadline.read)
}

// Write implements syscall.RawConn.
func (r rawConn) Write(f func(fd uintptr) bool) error {
	return r.until(f, r.c.writable, &r.c.deadline.write)
}

func (r rawConn) until(f func(fd uintptr) bool, token chan struct{}, at *time.Time) error {
	for {
		done := false
		if err := r.Control(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		if err := r.c.await(token, at); err != nil {
			return err
		}
	}
}
