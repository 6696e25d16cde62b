package netloop

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Loop is one epoll and the goroutine that waits for it.
type Loop struct {
	epoll int
	event int // eventfd: something was posted
	mu    struct {
		sync.Mutex
		conns  map[int32]*Conn // by token
		next   int32
		posted []*Conn
		closed bool
	}
}

const eventsMax = 256

// New makes a loop.
func New() (*Loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	ev, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(err, unix.Close(ep))
	}
	l := &Loop{epoll: ep, event: ev}
	l.mu.conns = map[int32]*Conn{}
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: 0}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, ev, &e); err != nil {
		return nil, errors.Join(err, unix.Close(ep), unix.Close(ev))
	}
	return l, nil
}

// Adopt takes a connection over: conn itself is closed, its socket lives on
// under the loop. Start, or Close, must follow.
func (l *Loop) Adopt(conn *net.TCPConn) (*Conn, error) {
	c, err := detach(conn)
	if err != nil {
		return nil, err
	}
	c.loop = l
	return c, nil
}

// Start parks an adopted connection: h is told when there is something to read.
func (c *Conn) Start(h Handler) error {
	l := c.loop
	l.mu.Lock()
	l.mu.next++
	c.token, c.handler = l.mu.next, h
	l.mu.conns[c.token] = c
	l.mu.Unlock()
	e := unix.EpollEvent{Fd: c.token,
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &e)
}

// roundMax is how many connections are claimed together.
const roundMax = 32

// Run serves until Close. Of several connections that have bytes before is told first: they
// are owned by the loop. after is called behind every batch of events.
func (l *Loop) Run(before func([]Handler), after func()) error {
	events := make([]unix.EpollEvent, eventsMax)
	ready := make([]*Conn, 0, eventsMax)
	var round [roundMax]Handler
	for {
		n, err := l.poll(events)
		if err != nil {
			return err
		}
		if ready, err = l.collect(events[:n], ready[:0]); err != nil || ready == nil {
			return err
		}
		for from := 0; from < len(ready); from += roundMax {
			handlers := claim(round[:0], ready[from:min(from+roundMax, len(ready))])
			if len(handlers) > 1 {
				before(handlers)
			}
			for _, h := range handlers {
				h.Readable()
			}
			clear(handlers)
		}
		clear(ready)
		after()
	}
}

// claim takes the connections that nobody owns.
func claim(handlers []Handler, conns []*Conn) []Handler {
	for _, c := range conns {
		if c.state.CompareAndSwap(parked, owned) {
			handlers = append(handlers, c.handler)
		}
	}
	return handlers
}

// poll looks without waiting first: a thread that does not block keeps its processor.
func (l *Loop) poll(events []unix.EpollEvent) (int, error) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_WAIT, uintptr(l.epoll), pointer(events), uintptr(len(events)), 0, 0, 0)
	if e == 0 && n > 0 {
		return int(n), nil
	}
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// collect turns events into connections to serve and leaves tokens for those
// that are owned. It answers nil once the loop is closed.
func (l *Loop) collect(events []unix.EpollEvent, ready []*Conn) ([]*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		e := &events[i]
		if e.Fd == 0 {
			var b [8]byte
			_, _ = unix.Read(l.event, b[:]) // resets the counter; it was readable
			for _, c := range l.mu.posted {
				if c.handler != nil {
					ready = append(ready, c)
				}
			}
			clear(l.mu.posted)
			l.mu.posted = l.mu.posted[:0]
			continue
		}
		c := l.mu.conns[e.Fd]
		if c == nil {
			continue
		}
		if e.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			leave(c.writable)
		}
		if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.ending.Store(true)
		}
		if e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			leave(c.readable)
			ready = append(ready, c)
		}
	}
	if l.mu.closed {
		return nil, nil
	}
	if ready == nil {
		ready = []*Conn{}
	}
	return ready, nil
}

// leave puts a token into a channel of capacity one.
func leave(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// post makes the loop look at c.
func (l *Loop) post(c *Conn) {
	l.mu.Lock()
	if c != nil {
		l.mu.posted = append(l.mu.posted, c)
	}
	l.mu.Unlock()
	one := [8]byte{1}
	_, _ = unix.Write(l.event, one[:]) // full means that the loop is about to look
}

func (l *Loop) forget(c *Conn) {
	l.mu.Lock()
	delete(l.mu.conns, c.token)
	l.mu.Unlock()
}

// Close ends Run. The connections must have ended.
func (l *Loop) Close() {
	l.mu.Lock()
	l.mu.closed = true
	l.mu.Unlock()
	l.post(nil)
}

// Release gives the loop's own descriptors back, after Run has ended.
func (l *Loop) Release() error { return errors.Join(unix.Close(l.epoll), unix.Close(l.event)) }
