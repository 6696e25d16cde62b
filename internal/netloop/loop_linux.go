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
	round round
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

// driver is a goroutine that serves the loop. There is one at a time.
type driver struct{ left bool }

// round is what the driver of a loop is doing. Nobody else touches it.
type round struct {
	driver   *driver
	events   []unix.EpollEvent
	ready    []*Conn
	next     int // of ready: those before have been claimed
	claimed  [roundMax]Handler
	handlers []Handler // of claimed: those that have not been told
	before   func([]Handler)
	after    func()
	ended    chan error
}

// Run serves until Close. Of several connections that have bytes before is told first: they
// are owned by the loop. after is called behind every batch of events.
func (l *Loop) Run(before func([]Handler), after func()) error {
	l.round = round{driver: &driver{}, events: make([]unix.EpollEvent, eventsMax), ready: make([]*Conn, 0, eventsMax),
		before: before, after: after, ended: make(chan error, 1)}
	go l.drive(l.round.driver, false)
	return <-l.round.ended
}

// drive serves the loop until it ends, or d has left it. underWay says that a driver before
// has left it amidst a batch of events.
func (l *Loop) drive(d *driver, underWay bool) {
	r := &l.round
	for ; ; underWay = false {
		if !underWay {
			n, err := l.poll(r.events)
			if err == nil {
				r.next = 0
				r.ready, err = l.collect(r.events[:n], r.ready[:0])
			}
			if err != nil || r.ready == nil {
				r.ended <- err
				return
			}
		}
		if !l.tell(d) {
			return
		}
		r.after()
	}
}

// tell serves those that are ready, and answers false when d has left the loop meanwhile.
func (l *Loop) tell(d *driver) bool {
	r := &l.round
	for {
		for len(r.handlers) > 0 {
			h := r.handlers[0]
			r.handlers[0] = nil
			r.handlers = r.handlers[1:]
			if h.Readable(); d.left {
				return false
			}
		}
		if r.next == len(r.ready) {
			clear(r.ready)
			return true
		}
		end := min(r.next+roundMax, len(r.ready))
		r.handlers = claim(r.claimed[:0], r.ready[r.next:end])
		if r.next = end; len(r.handlers) > 1 {
			r.before(r.handlers)
		}
	}
}

// Leave is for a handler in Readable that is going to wait: another goroutine goes on with the
// loop, and the handler keeps this one, so that nobody has to be woken for it. It answers
// false where other connections are ready: they would wait for that goroutine, so the handler
// had better go on in one of its own.
func (c *Conn) Leave() bool {
	l := c.loop
	r := &l.round
	if len(r.handlers) > 0 || r.next < len(r.ready) {
		return false
	}
	r.driver.left = true
	r.driver = &driver{}
	go l.drive(r.driver, true)
	return true
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
			if c.state.Load() == owned { // a parked one is read by whoever claims it
				leave(c.readable)
			}
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
