package census

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store is what is looked at.
type Store interface {
	Replicas() []*replica.Replica
	EstimateSize(base.Span) (int64, error)
	// MiddleKey halves the bytes of a span; nil if it cannot.
	MiddleKey(base.Span) ([]byte, error)
	// FlushState begins to write to disk what EstimateSize does not see yet.
	FlushState()
	// Tidy begins to rewrite what the disk has of a span without what was removed; false if
	// it is busy.
	Tidy(base.Span) bool
	// Room is what the store has on disk, and what it could have.
	Room() (used, capacity int64, full bool)
}

// Options of a census.
type Options struct {
	// SplitBytes and SplitOps are the bounds near which keys for a cut are looked for.
	SplitBytes int64
	SplitOps   float64
}

// Every is the interval between two looks.
const Every = time.Second

const (
	// rateTime is how long it takes until a rate has come most of the way to a new one.
	rateTime = 4 * time.Second
	// decayEvery is the half-life of the samples.
	decayEvery = 5 * time.Second
	// judgeEvery is how often a range's load is judged anew.
	judgeEvery = 2 * time.Second
	// picks is how many accesses should be picked from a range between two looks.
	picks = 48
	// sizeEvery is how often the size of a range that grows is estimated; the window
	// has written by then what was new the last time.
	sizeEvery = limits.WindowAge + time.Second
	// A range from which clearsLeast keys were removed, and which is written to less than
	// quietWrites times per second, is rewritten, but not more often than every tidyEvery.
	clearsLeast = 10
	quietWrites = 10
	tidyEvery   = 5 * time.Minute
	// sizesMax bounds the estimates of one look.
	sizesMax = 64
)

// Census is what is known of a store's ranges. Look is called by one goroutine at a
// time; everything else by any.
type Census struct {
	store Store
	o     Options
	known map[base.RangeID]*subject // Look's
	last  time.Time
	round uint64

	mu struct {
		sync.Mutex
		version   uint64
		published map[base.RangeID]published
		changes   []change // in the order of their versions
		floor     uint64   // what has changed before is not known
		node      Node
	}
}

type published struct {
	Range
	version uint64
	gone    bool
}

type change struct {
	version uint64
	id      base.RangeID
}

// subject is a range that this node leads.
type subject struct {
	Range
	metered replica.Metered // counters and bounds at the last look
	sample  *load.Sample
	every   uint64
	seen    uint64 // round
	touched bool   // something may have changed since it was published
	decayed time.Time
	judged  time.Time
	sized   bool
	due     time.Time // for an estimate; zero: nothing was written since
	later   time.Time // for the one after it
	flushed uint64    // what was written when the state was written to disk last
	cleared uint64    // what was removed when it was tidied last
	tidied  time.Time
}

// processBits of a version tell processes apart: one knows nothing of the versions of
// another.
const processBits = 31

// New makes a census of s.
func New(s Store, o Options) *Census {
	c := &Census{store: s, o: o, known: map[base.RangeID]*subject{}}
	c.mu.version = rand.Uint64()>>(64-processBits)<<32 + 1
	c.mu.published = map[base.RangeID]published{}
	return c
}

// Look looks at all ranges once. Busy says that replicas come and go, so that it pays to
// look again soon.
func (c *Census) Look(now time.Time) (busy bool) {
	c.round++
	passed := now.Sub(c.last)
	if c.last.IsZero() {
		passed = Every
	}
	c.last = now
	sizes := sizesMax
	for _, r := range c.store.Replicas() {
		id, self := r.ID()
		x := c.known[id]
		every := uint64(0)
		if x != nil {
			every = x.every
		}
		m := r.Meter(every)
		if m.Term == 0 {
			continue
		}
		if x == nil || x.Term != m.Term || !sameSpan(x.metered.Descriptor.Span, m.Descriptor.Span) {
			next := &subject{metered: m, sample: load.New(uint64(id)), decayed: now}
			if x != nil {
				next.flushed, next.cleared, next.tidied = x.flushed, x.cleared, x.tidied
			}
			if m.Clears > next.cleared {
				next.due = now.Add(sizeEvery)
			}
			x = next
			x.Term, x.Leader, x.touched = m.Term, self, true
			c.known[id] = x
		}
		x.seen = c.round
		moving := !settled(&m.Descriptor)
		x.touched = x.touched || moving || x.Descriptor.Epoch != m.Descriptor.Epoch
		x.Descriptor = m.Descriptor
		if x.CaughtUp = nil; moving {
			x.CaughtUp = learners(r, &m.Descriptor)
		}
		busy = busy || moving
		x.count(&m, now, passed)
		if x.wantsSize(now) && sizes > 0 {
			sizes--
			c.measure(x, now)
		}
		c.judge(x, now)
	}
	c.publish()
	return busy
}

func sameSpan(a, b base.Span) bool { return bytes.Equal(a.Start, b.Start) && bytes.Equal(a.End, b.End) }

// settled: no change of the membership is under way.
func settled(d *base.RangeDescriptor) bool {
	return !slices.ContainsFunc(d.Replicas, func(m base.ReplicaDescriptor) bool { return m.Role != base.Voter })
}

// learners are those that have caught up.
func learners(r *replica.Replica, d *base.RangeDescriptor) (ids []base.ReplicaID) {
	for _, p := range r.Progress() {
		if m, found := d.Replica(p.Replica); found && m.Role == base.Learner && p.CaughtUp && p.Active {
			ids = append(ids, p.Replica)
		}
	}
	return ids
}

// count brings rates and sample up to date.
func (x *subject) count(m *replica.Metered, now time.Time, passed time.Duration) {
	all, writes := m.Transactions-x.metered.Transactions, m.Writes-x.metered.Writes
	if writes > 0 && x.due.IsZero() {
		x.due = now.Add(sizeEvery)
	}
	x.metered = *m
	reads := all - min(writes, all)
	if all == 0 && x.Reads+x.Writes == 0 {
		x.metered.Trail = nil
		return
	}
	x.touched = true
	seconds := max(passed, time.Millisecond).Seconds()
	weight := 1 - math.Exp(-seconds/rateTime.Seconds())
	x.Reads = approach(x.Reads, float64(reads)/seconds, weight)
	x.Writes = approach(x.Writes, float64(writes)/seconds, weight)
	x.every = max(1, all/picks)
	for now.Sub(x.decayed) >= decayEvery {
		x.sample.Decay()
		x.decayed = x.decayed.Add(decayEvery)
	}
	for _, a := range m.Trail {
		if a.End == nil {
			x.sample.RecordKey(a.Start, a.Write)
		} else {
			x.sample.RecordSpan(base.Span{Start: a.Start, End: a.End}, a.Write)
		}
	}
	x.metered.Trail = nil
}

// silence is the rate that counts as none.
const silence = 0.05

func approach(rate, now, weight float64) float64 {
	rate += weight * (now - rate)
	if now == 0 && rate < silence {
		return 0
	}
	return rate
}

func (x *subject) wantsSize(now time.Time) bool {
	return !x.sized || !x.due.IsZero() && !now.Before(x.due)
}

// measure estimates the range's size. What is only in memory is not seen: where that
// may be much, it is written to disk first.
func (c *Census) measure(x *subject, now time.Time) {
	if x.sized && c.hidden(x, now) {
		x.due, x.later = now.Add(Every), now.Add(sizeEvery)
		return
	}
	n, err := c.store.EstimateSize(x.Descriptor.Span)
	if err != nil {
		return // the store is closing
	}
	if !x.due.After(now) { // else it is the first estimate
		x.due, x.later = x.later, time.Time{}
	}
	x.Bytes, x.sized, x.Middle, x.touched = n, true, nil, true
	if x.due.IsZero() && x.metered.Clears-x.cleared >= clearsLeast {
		x.due = now.Add(2 * Every) // another range is being tidied, or this one is busy
	}
	if n < c.o.SplitBytes {
		return
	}
	if key, err := c.store.MiddleKey(x.Descriptor.Span); err == nil && key != nil {
		for _, whole := range finer {
			if x.Middle = keyspace.Cut(x.Descriptor.Span, key, whole); x.Middle != nil {
				break
			}
		}
	}
}

// hidden reports whether much of what was written, or is there only because what was
// removed is not gone yet, has just begun to be brought to the disk, which it sees to. A
// range in which much was removed is rewritten once it is quiet again.
func (c *Census) hidden(x *subject, now time.Time) bool {
	switch {
	case x.metered.Bytes-x.flushed >= uint64(c.o.SplitBytes)/8:
		c.store.FlushState()
	case x.metered.Clears-x.cleared >= clearsLeast && x.Writes < quietWrites && now.Sub(x.tidied) >= tidyEvery &&
		c.store.Tidy(x.Descriptor.Span):
		x.tidied, x.cleared = now, x.metered.Clears
	default:
		return false
	}
	x.flushed = x.metered.Bytes
	return true
}

// finer is what a cut should leave whole, if it can.
var finer = [...]keyspace.Together{keyspace.Slots, keyspace.Keys, keyspace.Rows}

// judge looks for the key that divides the load of a range that is near its bound.
func (c *Census) judge(x *subject, now time.Time) {
	if x.Reads+x.Writes < c.o.SplitOps/2 {
		x.Hot = load.Verdict{}
		return
	}
	if now.Sub(x.judged) < judgeEvery {
		return
	}
	x.judged = now
	span := x.Descriptor.Span
	for _, whole := range finer {
		x.Hot = x.sample.BestOf(span, func(key []byte) []byte { return keyspace.Cut(span, key, whole) })
		if x.Hot.Outcome == load.Splittable || x.Hot.Outcome == load.Unknown {
			return
		}
	}
}

// publish makes known what has changed.
func (c *Census) publish() {
	used, capacity, full := c.store.Room()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.node = Node{CapacityBytes: capacity, UsedBytes: used, Full: full}
	for id, x := range c.known {
		gone := x.seen != c.round
		if !x.touched && !gone {
			continue
		}
		x.touched = false
		old, known := c.mu.published[id]
		switch {
		case gone:
			delete(c.known, id)
			if known && !old.gone {
				c.changedLocked(id, published{Range: Range{Descriptor: base.RangeDescriptor{ID: id}}, gone: true})
			}
		case !known || old.gone || differ(&old.Range, &x.Range):
			c.changedLocked(id, published{Range: x.Range})
		}
	}
	if len(c.mu.changes) > 2*len(c.mu.published)+1024 {
		c.compactLocked()
	}
}

func (c *Census) changedLocked(id base.RangeID, p published) {
	c.mu.version++
	p.version = c.mu.version
	c.mu.published[id] = p
	c.mu.changes = append(c.mu.changes, change{p.version, id})
}

// compactLocked forgets which ranges are gone, and changes that others have followed.
func (c *Census) compactLocked() {
	c.mu.changes = c.mu.changes[:0]
	for id, p := range c.mu.published {
		if p.gone {
			c.mu.floor = max(c.mu.floor, p.version)
			delete(c.mu.published, id)
			continue
		}
		c.mu.changes = append(c.mu.changes, change{p.version, id})
	}
	slices.SortFunc(c.mu.changes, func(a, b change) int { return cmp.Compare(a.version, b.version) })
}

// Of two figures, the share by which they have to differ, and the least difference.
const (
	differShare = 0.1
	differOps   = 5
	differBytes = 256 << 10
)

func apart(a, b, least float64) bool {
	return math.Abs(a-b) > max(least, differShare*max(a, b)) || (a == 0) != (b == 0)
}

// differ reports whether it is worth saying what a range is now.
func differ(old, now *Range) bool {
	return old.Term != now.Term || old.Leader != now.Leader || old.Descriptor.Epoch != now.Descriptor.Epoch ||
		!slices.Equal(old.CaughtUp, now.CaughtUp) || !bytes.Equal(old.Middle, now.Middle) ||
		old.Hot.Outcome != now.Hot.Outcome || !bytes.Equal(old.Hot.Key, now.Hot.Key) ||
		apart(old.Reads, now.Reads, differOps) || apart(old.Writes, now.Writes, differOps) ||
		apart(float64(old.Bytes), float64(now.Bytes), differBytes)
}

// Since reports what has changed since a report with that version. A version of another
// process, or zero, gets everything.
func (c *Census) Since(version uint64) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{Version: c.mu.version, Node: c.mu.node}
	if version>>32 != c.mu.version>>32 || version < c.mu.floor || version > c.mu.version {
		r.All = true
		for _, p := range c.mu.published {
			if !p.gone {
				r.Ranges = append(r.Ranges, p.Range)
			}
		}
		return r
	}
	first, _ := slices.BinarySearchFunc(c.mu.changes, version+1, func(x change, v uint64) int { return cmp.Compare(x.version, v) })
	for _, x := range c.mu.changes[first:] {
		switch p := c.mu.published[x.id]; {
		case p.version != x.version: // it has changed again
		case p.gone:
			r.Gone = append(r.Gone, x.id)
		default:
			r.Ranges = append(r.Ranges, p.Range)
		}
	}
	return r
}

// Of is what was published of a range that this node leads.
func (c *Census) Of(id base.RangeID) (r Range, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, found := c.mu.published[id]
	return p.Range, found && !p.gone
}
