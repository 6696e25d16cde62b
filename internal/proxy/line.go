package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// line is who waits for a key to have something, while a side follows: a command that
// blocks is then tried again when the key was written, each time under the key's lock, so
// that what it takes is taken at a known place in the order of the key's writes.
type line struct {
	count  atomic.Int64
	swept  atomic.Bool // somebody may have written to a key that nobody knows
	mu     sync.Mutex
	queues map[place][]*waiter
}

// waiter is one client that waits.
type waiter struct {
	places []place
	all    bool // it takes nothing from others who wait: they are woken as well
	wake   chan struct{}
}

func newLine() *line { return &line{queues: map[place][]*waiter{}} }

func (l *line) join(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range w.places {
		l.queues[at] = append(l.queues[at], w)
	}
	l.count.Add(1)
}

// leave takes a waiter out. If it was woken, the next ones are: there may be more.
func (l *line) leave(w *waiter, woken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Add(-1)
	select {
	case <-w.wake:
		woken = true
	default:
	}
	for _, at := range w.places {
		rest := slices.DeleteFunc(l.queues[at], func(x *waiter) bool { return x == w })
		if len(rest) == 0 {
			delete(l.queues, at)
			continue
		}
		l.queues[at] = rest
		if woken {
			l.wakeLocked(at)
		}
	}
}

func (l *line) wakeLocked(at place) {
	first := true
	for _, w := range l.queues[at] {
		if !first && !w.all {
			continue
		}
		if !w.all {
			first = false
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// pass wakes those who are next behind a waiter who found nothing: they may look for
// something of another type.
func (l *line) pass(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range w.places {
		q := l.queues[at]
		if i := slices.Index(q, w); i >= 0 && i+1 < len(q) {
			select {
			case q[i+1].wake <- struct{}{}:
			default:
			}
		}
	}
}

// wake wakes the first one who waits for the key, and all who take nothing away.
func (l *line) wake(at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeLocked(at)
}

// wakeAll wakes everybody.
func (l *line) wakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		for _, w := range q {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

const (
	// sweepEvery is how soon those who wait hear of what scripts may have written, and
	// lookEvery how often they look in any case: others may write without the proxy.
	sweepEvery = 20 * time.Millisecond
	lookEvery  = time.Second
)

// sweep wakes those who wait for keys that may have been written unseen.
func (p *Proxy) sweep() {
	soon, late := time.NewTicker(sweepEvery), time.NewTicker(p.cfg.Look)
	defer soon.Stop()
	defer late.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-soon.C:
			if !p.line.swept.CompareAndSwap(true, false) {
				continue
			}
		case <-late.C:
		}
		if p.line.count.Load() > 0 {
			p.line.wakeEach()
		}
	}
}

// wakeEach wakes the first one of each key.
func (l *line) wakeEach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.queues {
		l.wakeLocked(at)
	}
}
