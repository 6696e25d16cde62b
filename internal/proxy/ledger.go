package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/limits"
)

const (
	// copyBackoff is after how long a copy that failed is tried again first.
	copyBackoff    = 100 * time.Millisecond
	copyBackoffMax = 10 * time.Second
)

// place is a key of a database.
type place struct {
	db  int
	key string
}

// divergence is a key that is not the same on both sides until it has been copied.
type divergence struct {
	reason  string
	since   time.Time
	copySeq uint64 // of the copy that is on its way; 0 is none
	failed  bool   // a piece of that copy was refused
	tries   int
	retryAt time.Time
}

// ledger knows the keys that are not the same on both sides. A key stays in it until a copy
// of it has been acknowledged. While no copy is on its way the key's writes are dropped: the
// copy will have them.
type ledger struct {
	count atomic.Int64 // of keys
	total atomic.Int64 // that ever were
	wake  chan struct{}

	mu       sync.Mutex
	keys     map[place]*divergence
	pending  []place
	bytes    int
	overflow bool
}

func newLedger() *ledger {
	return &ledger{wake: make(chan struct{}, 1), keys: map[place]*divergence{}}
}

// mark says that a key differs. seq is that of the write that did not arrive, which a copy
// behind it heals; 0 if nobody knows. It reports false if there is no room.
func (l *ledger) mark(p place, seq uint64, reason string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.keys[p]
	switch {
	case d == nil:
		if len(l.keys) >= limits.ProxyDivergedKeys || l.bytes+len(p.key) > limits.ProxyDivergedBytes {
			l.overflow = true
			return false
		}
		d = &divergence{reason: reason, since: time.Now()}
		l.keys[p] = d
		l.bytes += len(p.key)
		l.count.Add(1)
		l.total.Add(1)
	case d.copySeq == 0 || seq != 0 && seq < d.copySeq:
		return true // it will be copied, or is by what is on its way
	default:
		d.copySeq = 0 // what was copied is older
	}
	l.pendLocked(p)
	return true
}

func (l *ledger) pendLocked(p place) {
	l.pending = append(l.pending, p)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// absorbs reports whether a write of the key need not be sent, because a copy will be made.
func (l *ledger) absorbs(p place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.keys[p]
	return d != nil && d.copySeq == 0
}

// overtaken reports whether the write with the number is healed by a copy behind it.
func (l *ledger) overtaken(p place, seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.keys[p]
	return d != nil && (d.copySeq == 0 || seq < d.copySeq)
}

// copying says that the key's copy ends with the given number.
func (l *ledger) copying(p place, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.keys[p]; d != nil {
		d.copySeq = seq
	}
}

// refused says that a piece of the copy that is on its way was not taken.
func (l *ledger) refused(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.keys[p]; d != nil {
		d.failed = true
	}
}

// copied says that the copy that ends with the number has arrived, or why it has not.
func (l *ledger) copied(p place, seq uint64, problem string) {
	l.mu.Lock()
	d := l.keys[p]
	if d == nil {
		l.mu.Unlock()
		if problem != "" {
			l.mark(p, 0, problem)
		}
		return
	}
	defer l.mu.Unlock()
	if d.copySeq != seq {
		return // another one will come
	}
	if problem == "" && !d.failed {
		delete(l.keys, p)
		l.bytes -= len(p.key)
		l.count.Add(-1)
		return
	}
	if problem != "" {
		d.reason = problem
	}
	d.copySeq = 0
	d.retryAt = time.Now().Add(min(copyBackoff<<min(d.tries, 10), copyBackoffMax))
	d.tries++
	l.pendLocked(p)
}

// next takes keys of one database that are to be copied, up to n; wait is after how long
// there may be some.
func (l *ledger) next(n int) (db int, keys []string, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = time.Second
	now := time.Now()
	later := []place(nil)
	i := 0
	for ; i < len(l.pending) && len(keys) < n; i++ {
		p := l.pending[i]
		d := l.keys[p]
		switch {
		case d == nil || d.copySeq != 0:
		case d.retryAt.After(now):
			wait = min(wait, d.retryAt.Sub(now))
			later = append(later, p)
		case len(keys) > 0 && p.db != db:
			later = append(later, p)
		case !slices.Contains(keys, p.key):
			db, keys = p.db, append(keys, p.key)
			d.failed = false
		}
	}
	l.pending = append(l.pending[i:], later...)
	if len(keys) > 0 {
		wait = 0
	}
	return db, keys, wait
}

// again puts keys back that could not be read.
func (l *ledger) again(db int, keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		p := place{db, k}
		if d := l.keys[p]; d != nil && d.copySeq == 0 {
			d.retryAt = time.Now().Add(min(copyBackoff<<min(d.tries, 10), copyBackoffMax))
			d.tries++
			l.pendLocked(p)
		}
	}
}

// clear forgets everything: the other side counts as unknown.
func (l *ledger) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys, l.pending, l.bytes, l.overflow = map[place]*divergence{}, nil, 0, false
	l.count.Store(0)
}

// full reports whether keys could not be remembered, once.
func (l *ledger) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.overflow
	l.overflow = false
	return was
}

// Diverged is a key that differs, in the report.
type Diverged struct {
	DB     int       `json:"db"`
	Key    string    `json:"key"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Tries  int       `json:"tries"`
}

// list is some of the keys.
func (l *ledger) list(n int) (out []Diverged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, d := range l.keys {
		if len(out) == n {
			break
		}
		out = append(out, Diverged{p.db, p.key, d.reason, d.since, d.tries})
	}
	return out
}
