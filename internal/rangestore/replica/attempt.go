package replica

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// Hold says whether an attempt on the newest state keeps other writers out.
type Hold uint8

const (
	// HoldNever validates at the end.
	HoldNever Hold = iota
	// HoldShort keeps the range's lock from the first read to the end while the
	// attempt stays in memory and small, and validates otherwise.
	HoldShort
	// HoldAlways keeps the range's lock, even over disk reads.
	HoldAlways
)

// heldReads is how many reads an attempt with HoldShort makes under the lock.
const heldReads = 512

// A scan copies that many keys of the window at a time: few at first, since many
// scans look for the first key only, then more.
const (
	scanPageMin = 8
	scanPageMax = 256
)

// Attempt is one try of a transaction on one range. It is used by one goroutine.
type Attempt struct {
	r    *Replica
	at   base.Stamp
	hold Hold

	locked   bool // this attempt holds r.mu
	holding  bool // it keeps the lock between calls
	based    bool // point and ten are set
	split    bool // the lock was given up after the first read: validate
	waited   bool // batches below a snapshot are committed
	held     bool // awaitHold has waited
	prompt   bool // it does not wait for others
	reads    int
	pieces   int // of the window that scans have put in order
	ten      *tenure
	bounds   uint64 // of the range when the attempt was based
	point    window.ReadPoint
	closed   base.Position // what was in closed batches then
	pos      base.Position // highest speculative position that was looked at
	now      int64
	page     window.Page
	cache    []byte
	scanning bool                    // a scan is under way
	passed   map[prepared.TxnID]bool // holders whose locks the snapshot passes
	counted  bool                    // by the range's meter
	picked   bool                    // by the meter, to stand for others
	shown    bool                    // it has left a read on the trail
}

// NewAttempt makes a reusable attempt on the range.
func (r *Replica) NewAttempt() *Attempt { return &Attempt{r: r} }

// expectEntries is from how many entries on a window is not in the processor's caches.
const expectEntries = 64 << 10

// Expect tells that keys, which it puts into another order, will be read at once. It is a
// hint; useful reports whether so much is in memory that it pays.
func (r *Replica) Expect(keys [][]byte) (useful bool) {
	r.mu.Lock()
	rest, large := r.expectLocked(keys)
	r.mu.Unlock()
	return r.o.Disk.Expect(rest) || large
}

// Expect is the like between an attempt's reads.
func (a *Attempt) Expect(keys [][]byte) (useful bool) {
	if !a.locked {
		return a.r.Expect(keys)
	}
	rest, large := a.r.expectLocked(keys)
	return a.r.o.Disk.Expect(rest) || large
}

// expectLocked tells the window, and returns the keys that are left to the disk.
func (r *Replica) expectLocked(keys [][]byte) (rest [][]byte, large bool) {
	if large = r.mu.win.Entries() >= expectEntries; large {
		keys = r.mu.win.Expect(keys)
	}
	return keys, large
}

// Begin starts over: at the snapshot at, or at the newest state when it is zero.
func (a *Attempt) Begin(at base.Stamp, hold Hold) {
	a.end()
	a.at, a.hold = at, hold
	a.holding = at == 0 && hold != HoldNever
	a.based, a.split, a.waited, a.reads, a.pieces = false, false, false, 0, 0
	a.prompt, a.counted, a.picked, a.shown, a.scanning = false, false, false, false, false
	a.pos, a.now = 0, 0
	clear(a.passed)
	a.cache = a.cache[:0]
}

// Prompt makes an attempt that has just begun fail with base.ErrWouldWait rather than wait
// for a transaction over several ranges, for a split, or for room.
func (a *Attempt) Prompt() { a.prompt = true }

// Basis is what an attempt on the newest state was based on, so that it can be
// resumed by another one.
type Basis struct {
	Range base.RangeID
	Term  base.Term // zero: it has read nothing
	Pos   base.Position
}

// Basis is what the attempt's first read was based on.
func (a *Attempt) Basis() Basis {
	if a.ten == nil {
		return Basis{}
	}
	return Basis{Range: a.r.o.Range, Term: a.ten.term, Pos: a.point.Pos}
}

// Resume makes an attempt that has just begun go on where another one was: its
// commit validates what was read since then.
func (a *Attempt) Resume(b Basis) error {
	if b.Term == 0 {
		return nil
	}
	if err := a.enter(); err != nil {
		return err
	}
	defer a.unlock()
	if a.r.o.Range != b.Range || a.ten.term != b.Term {
		return base.ErrConflict
	}
	a.split, a.point.Pos = true, b.Pos
	return nil
}

// enter takes the range's lock, unless the attempt has it, and fixes what the
// attempt is based on.
func (a *Attempt) enter() error {
	if !a.locked {
		a.r.mu.Lock()
		a.locked = true
	}
	ten := a.r.mu.tenure
	if ten == nil {
		yielded := a.r.mu.yielded
		a.unlock()
		switch {
		case a.based:
			return base.ErrConflict // the state it was based on is gone; try again
		case yielded:
			return base.ErrWrongRange
		}
		return base.ErrUnavailable
	}
	if a.based && (ten != a.ten || a.bounds != a.r.mu.bounds && !a.r.o.Faults.IgnoreBounds) {
		a.unlock()
		return base.ErrConflict
	}
	if !a.based {
		a.based, a.ten, a.bounds = true, ten, a.r.mu.bounds
		a.point = window.ReadPoint{Pos: a.r.mu.seq.Position(), Stamp: a.at}
		a.closed = a.r.mu.seq.ClosedPosition()
	}
	return nil
}

func (a *Attempt) unlock() {
	if a.locked {
		a.locked = false
		a.r.mu.Unlock()
	}
}

// leave gives the lock back unless the attempt keeps it.
func (a *Attempt) leave() {
	if a.reads++; a.reads >= heldReads && a.hold == HoldShort {
		a.holding = false
	}
	if !a.holding {
		a.split = true
		a.unlock()
	}
}

// giveUp gives the lock back because I/O follows, unless it must be kept.
func (a *Attempt) giveUp() {
	if a.hold != HoldAlways {
		a.holding, a.split = false, true
		a.unlock()
	}
}

func (a *Attempt) pause(p Point) {
	if !a.locked {
		a.r.pause(p)
	}
}

// note remembers a position that the result depends on (R1).
func (a *Attempt) note(pos base.Position) {
	if pos > a.pos {
		a.pos = pos
	}
}

// wait gives the lock back and waits until pos is committed. Nothing was sequenced by the
// attempt: if nobody can say what becomes of pos, it begins again.
func (a *Attempt) wait(pos base.Position) error {
	a.split = true
	a.unlock()
	err := a.r.await(base.Ticket{Log: a.ten, Pos: pos})
	if errors.Is(err, base.ErrUnknownOutcome) {
		return errors.Wrap(base.ErrConflict, "a write that was waited for is lost")
	}
	return err
}

// await waits for t, in a manual replica by doing the loop's work.
func (r *Replica) await(t base.Ticket) error {
	if r.o.Pause != nil {
		return r.pauseUntil(t, true)
	}
	for r.o.Manual && !t.Done() {
		if worked, err := r.Step(context.Background()); err != nil || !worked {
			return errors.CombineErrors(err, base.ErrUnknownOutcome)
		}
	}
	return t.Wait()
}

// admits makes sure that the range holds key, and waits until a read of it passes the
// locks; see unlockedKey.
func (a *Attempt) admits(key []byte) (again bool, err error) {
	if !a.r.mu.seq.Holds(key) {
		a.held = false
		if err := a.stray(key); err != nil || a.held {
			return err == nil, err // others have had the lock: a snapshot has to wait for what they installed
		}
	}
	return a.unlockedKey(key)
}

// Get returns the value of key, nil when it is absent. The value lives until
// the next Begin.
func (a *Attempt) Get(key []byte) ([]byte, error) {
	if a.at != 0 {
		return a.getSnapshot(key)
	}
	for {
		if err := a.enter(); err != nil {
			return nil, err
		}
		if again, err := a.admits(key); err != nil {
			return nil, err
		} else if again {
			continue
		}
		a.read(key)
		v := a.latest(key)
		switch v.State {
		case window.Present, window.Absent:
			if !a.r.o.Faults.AnswerAbsentEarly || v.State == window.Present {
				a.note(v.Pos)
			}
			a.leave()
			return v.Value, nil
		case window.Unstamped:
			if err := a.wait(v.Pos); err != nil {
				return nil, err
			}
			continue
		}
		if value, known := a.cached(key); known {
			a.leave()
			return value, nil
		}
		a.giveUp()
		a.pause(PointReading)
		value, err := a.r.o.Disk.Get(key)
		a.pause(PointRead)
		return value, err
	}
}

func (a *Attempt) latest(key []byte) window.Version {
	if a.r.o.Faults.IgnoreTail {
		return a.r.mu.win.At(key, ^base.Stamp(0))
	}
	return a.r.mu.win.Latest(key)
}

// What an attempt has read from the disk's cache lies together, in pieces of that many bytes: each
// twice as long as the one before. The last one is kept for the next attempt.
const (
	cacheMin = 4 << 10
	cacheMax = 64 << 10
)

// cached asks the disk's cache. Values are collected in a.cache, whose old
// memory stays valid when it grows.
func (a *Attempt) cached(key []byte) (value []byte, known bool) {
	n := len(a.cache)
	value, known = a.r.o.Disk.Cached(a.cache[n:n:cap(a.cache)], key)
	if known && len(value) > 0 {
		if cap(a.cache)-n >= len(value) {
			a.cache = a.cache[:n+len(value)]
		} else {
			a.cache = make([]byte, 0, min(max(2*cap(a.cache), cacheMin), cacheMax))
		}
	}
	return value, known
}

// settle waits until every batch that the snapshot may see is committed. Batches that
// were closed after the first time have later stamps; what was installed has not.
func (a *Attempt) settle() error {
	for {
		if err := a.enter(); err != nil {
			return err
		}
		var pos base.Position
		if a.waited {
			pos = a.r.mu.win.WaitForInstalled(a.at)
		} else {
			open, _ := a.r.mu.seq.Open()
			pos = a.r.mu.win.WaitFor(a.at, open)
		}
		a.waited = true
		if pos == 0 || a.r.o.Faults.SnapshotNoWait {
			return nil
		}
		if err := a.wait(pos); err != nil {
			return err
		}
	}
}

// settleKey is settle for a key: other writes that are in flight do not matter.
func (a *Attempt) settleKey(key []byte) error {
	for {
		if err := a.enter(); err != nil {
			return err
		}
		pos := a.r.mu.win.WaitForKey(key, a.at, a.closed)
		if pos == 0 || a.r.o.Faults.SnapshotNoWait {
			return nil
		}
		if err := a.wait(pos); err != nil {
			return err
		}
	}
}

func (a *Attempt) getSnapshot(key []byte) ([]byte, error) {
	for {
		if err := a.settleKey(key); err != nil {
			return nil, err
		}
		if again, err := a.admits(key); err != nil {
			return nil, err
		} else if !again {
			break
		}
	}
	a.read(key)
	v := a.r.mu.win.At(key, a.at)
	a.unlock()
	value := v.Value
	if v.State == window.Unknown {
		var err error
		a.pause(PointReading)
		if value, err = a.r.o.Disk.Get(key); err != nil {
			return nil, err
		}
		a.pause(PointRead)
	}
	return value, a.checkAge()
}

// checkAge reports ErrTooOld when the disk may be newer than the snapshot (V1).
func (a *Attempt) checkAge() error {
	if a.at != 0 && base.Stamp(a.r.baseStamp.Load()) > a.at {
		return base.ErrTooOld
	}
	return nil
}

// Scan visits the pairs of span in order, or in reverse, until visit returns
// false. Keys and values live until the next Begin. Visit may scan, too.
func (a *Attempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if a.scanning { // the page is that of the scan around this one
		around := a.page
		a.page = window.Page{}
		err := a.scan(span, reverse, visit)
		a.page = around
		return err
	}
	a.scanning = true
	err := a.scan(span, reverse, visit)
	a.scanning = false
	return err
}

func (a *Attempt) scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	for limit := scanPageMin; !span.Empty(); limit = min(4*limit, scanPageMax) {
		if err := a.loadPage(span, reverse, limit); err != nil {
			return err
		}
		if a.picked && !a.shown {
			e := &extent{span: span}
			visit = e.watch(visit)
			defer a.scanned(e, reverse)
		}
		done, err := a.visitPage(reverse, visit)
		if err != nil || done {
			return err
		}
		if reverse {
			span.End = a.page.Span.Start
		} else {
			span.Start = a.page.Span.End
		}
	}
	return nil
}

// catchUpKeys is how many keys of the window a scan puts in order under the lock at a time,
// promptPieces how often an attempt does so that must not keep others waiting.
const (
	catchUpKeys  = 128
	promptPieces = 16
)

// catchUp puts some of the window's keys in order that a scan comes to. When there are more
// it gives the lock back, so that others go on, and answers true.
func (a *Attempt) catchUp(span base.Span, reverse bool, limit int) (again bool, err error) {
	if a.r.mu.win.CatchUp(span, a.at, reverse, limit, catchUpKeys) || a.hold == HoldAlways {
		return false, nil
	}
	if a.pieces++; a.prompt && a.pieces > promptPieces {
		a.unlock()
		return false, base.ErrWouldWait
	}
	a.giveUp()
	a.unlock()
	return true, nil
}

// loadPage reads from the window what it knows about the beginning of span.
func (a *Attempt) loadPage(span base.Span, reverse bool, limit int) error {
	for {
		if a.at != 0 {
			if err := a.settle(); err != nil {
				return err
			}
		} else if err := a.enter(); err != nil {
			return err
		}
		if !a.r.mu.seq.HoldsSpan(span) {
			a.held = false
			if err := a.straySpan(span); err != nil {
				return err
			}
			if a.held {
				continue
			}
		}
		if again, err := a.catchUp(span, reverse, limit); err != nil {
			return err
		} else if again {
			continue
		}
		at := a.at
		if a.r.o.Faults.IgnoreTail && at == 0 {
			at = ^base.Stamp(0)
		}
		a.r.mu.win.Scan(&a.page, span, at, reverse, limit)
		if a.page.Unstamped {
			if err := a.wait(a.page.Pos); err != nil {
				return err
			}
			continue
		}
		if again, err := a.unlockedSpan(reverse); err != nil {
			return err
		} else if !again {
			break
		}
	}
	a.count()
	if a.at == 0 {
		a.note(a.page.Pos)
	}
	a.giveUp()
	if a.at != 0 {
		a.unlock()
	}
	a.pause(PointReading)
	return nil
}

// visitPage merges the page with the disk.
func (a *Attempt) visitPage(reverse bool, visit func(key, value []byte) bool) (done bool, err error) {
	m := merger{items: a.page.Items, gone: a.page.Gone, reverse: reverse, visit: visit}
	if reverse {
		for i, j := 0, len(m.gone)-1; i < j; i, j = i+1, j-1 {
			m.gone[i], m.gone[j] = m.gone[j], m.gone[i]
		}
	}
	var ageErr error
	for span := m.begin(a.page.Span); err == nil && !span.Empty() && !m.stopped; span = m.behind(span) {
		m.buried = 0
		err = a.r.o.Disk.Scan(span, reverse, func(key, value []byte) bool {
			if ageErr = a.checkAge(); ageErr != nil {
				m.stopped = true
				return false
			}
			return m.row(key, value)
		})
		if m.buried < buriedRows {
			break
		}
	}
	if ageErr != nil {
		return true, ageErr
	}
	if err != nil || m.stopped {
		return true, err
	}
	if err := a.checkAge(); err != nil {
		return true, err
	}
	m.rest()
	return m.stopped, nil
}

// NowMillis is the TTL clock: a stamp that the oracle issued after the attempt
// began, or the snapshot's own. Where another range issues the stamps it is the highest
// one that was seen (C11).
func (a *Attempt) NowMillis() int64 {
	switch {
	case a.at != 0:
		return a.at.Millis()
	case a.now == 0 && a.r.o.Stamps != nil:
		a.now = a.r.o.Oracle.Latest().Millis()
	case a.now == 0:
		s, err := a.r.o.Oracle.Next()
		if err != nil {
			return 0 // nothing is due without an oracle
		}
		a.now = s.Millis()
	}
	return a.now
}

// Abort ends the attempt and returns the ticket of what it looked at: nothing may be
// revealed before that is committed (R1), and unless the leader was known to be the
// leader after the last read (R2).
func (a *Attempt) Abort() base.Ticket {
	defer a.end()
	if a.ten == nil {
		return base.Ticket{}
	}
	if !a.r.solo.Load() {
		return a.prove()
	}
	if a.pos == 0 {
		return base.Ticket{}
	}
	return base.Ticket{Log: a.ten, Pos: a.pos}
}

// prove makes the ticket where others may have been elected meanwhile.
func (a *Attempt) prove() base.Ticket {
	if !a.locked {
		a.r.mu.Lock()
		a.locked = true
	}
	switch {
	case a.r.mu.tenure != a.ten:
		c := &confirmation{ten: a.ten}
		c.end(base.ErrUnavailable)
		return base.Ticket{Log: c, Pos: 1}
	case a.pos > a.r.mu.seq.ClosedPosition() && a.r.patientLocked():
		a.r.hurry()
	}
	if !a.r.leasedLocked() {
		return a.r.confirmLocked(a.ten, a.pos)
	}
	if a.pos == 0 {
		return base.Ticket{}
	}
	return base.Ticket{Log: a.ten, Pos: a.pos}
}

func (a *Attempt) end() {
	a.unlock()
	a.holding, a.ten = false, nil
}
