package replica

import (
	"context"
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// Request is what an attempt leaves behind; see kv.CommitRequest.
type Request struct {
	ReadKeys  [][]byte
	ReadSpans []base.Span
	Mutations []base.Mutation
	Stamped   bool
	Session   uint64
	Number    uint64
	Guards    []*Watch
	// Origin is who writes, for those who follow; zero: nobody has to know.
	Origin uint64
	// Quiet leaves it to the caller to kick the range: more may follow at once.
	Quiet bool
}

// Receipt is the result of a commit: what to wait for, and the versionstamp that
// is known then.
type Receipt struct {
	Ticket  base.Ticket
	Version *base.Versionstamp
}

// Commit validates the reads and sequences the writes. It ends the attempt.
func (a *Attempt) Commit(q *Request) (Receipt, error) {
	defer a.end()
	if len(q.Mutations) == 0 && len(q.Guards) == 0 {
		return a.commitReads(q)
	}
	var result []byte
	if q.Session != 0 && !a.r.o.Faults.ForgetResults {
		result = resultKey(q.Session, q.Number)
		if r, done, err := a.repeated(result); done || err != nil {
			return r, err
		}
	}
	fetched := fetched{}
	for {
		if err := a.admit(q.Mutations); err != nil {
			return Receipt{}, err
		}
		if result != nil && a.r.mu.win.Latest(result).State != window.Unknown {
			a.split = true // the same request was sequenced since it was looked for
			a.unlock()
			r, _, err := a.repeated(result)
			return r, err
		}
		a.held = false
		if err := a.validate(q); err != nil {
			return Receipt{}, err
		}
		if a.held {
			continue // others have had the lock
		}
		if pos, dirty := a.guards(q.Guards); dirty {
			a.note(pos)
			return Receipt{Ticket: a.Abort()}, base.ErrConflict
		}
		if holders := a.stops(q); len(holders) > 0 {
			if err := a.waitLocks(holders, 0); err != nil {
				return Receipt{}, err
			}
			continue
		}
		if len(q.Mutations) == 0 {
			return Receipt{Ticket: a.Abort()}, nil
		}
		ready, err := a.resolve(q.Mutations, &fetched)
		if err != nil {
			return Receipt{}, err
		}
		if ready {
			return a.sequence(q, result, &fetched)
		}
	}
}

// commitReads validates what a transaction without writes has read (C8). A
// snapshot is consistent by itself.
func (a *Attempt) commitReads(q *Request) (Receipt, error) {
	if a.r.o.Faults.TrustReads || a.at != 0 || !a.based || !a.split || len(q.ReadKeys)+len(q.ReadSpans) == 0 ||
		len(q.ReadKeys) == 1 && len(q.ReadSpans) == 0 {
		return Receipt{Ticket: a.Abort()}, nil
	}
	for {
		if err := a.enter(); err != nil {
			return Receipt{}, err
		}
		if err := a.validate(q); err != nil {
			return Receipt{}, err
		}
		holders := a.stops(q)
		if len(holders) == 0 {
			return Receipt{Ticket: a.Abort()}, nil
		}
		if err := a.waitLocks(holders, 0); err != nil {
			return Receipt{}, err
		}
	}
}

// stops lists the holders of locks that the transaction has to wait for (C4). What a
// guard watches counts as read. The range's lock is held.
func (a *Attempt) stops(q *Request) []*prepared.Held {
	table := a.r.mu.seq.Table()
	if table.Empty() {
		return nil
	}
	reads := q.ReadKeys
	for _, w := range q.Guards {
		reads = append(reads[:len(reads):len(reads)], []byte(w.key))
	}
	var holders []*prepared.Held
	if !a.r.o.Faults.BlindWritePassesLock || len(reads)+len(q.ReadSpans) > 0 {
		holders = table.StopsWrite(q.Mutations)
	}
	if !a.r.o.Faults.ReadIgnoresLocks {
		holders = append(holders, table.StopsRead(reads, q.ReadSpans)...)
	}
	if a.r.o.Faults.PassUndecided && len(q.Mutations) == 0 {
		holders = a.unpassed(holders)
	}
	return holders
}

// validate checks the read set unless the lock was held since the first read.
func (a *Attempt) validate(q *Request) error {
	if len(q.Guards) > 0 && a.r.withheldLocked() { // whoever serves a guarded key next marks nothing here
		if err := a.awaitHold(func() bool { return a.r.holdsGuards(q.Guards) }); err != nil {
			return err
		}
	}
	if a.at == 0 && !a.split || a.r.o.Faults.SkipValidation {
		return nil
	}
	holds := func() bool { return a.r.mu.seq.HoldsReads(q.ReadKeys, q.ReadSpans) }
	if !holds() {
		if err := a.awaitHold(holds); err != nil {
			return err
		}
	}
	a.point.UnknownIsOlder = a.r.o.Faults.UnknownIsOlder
	return a.r.mu.win.Validate(a.point, q.ReadKeys, q.ReadSpans)
}

func (r *Replica) holdsGuards(list []*Watch) bool {
	for _, w := range list {
		if !w.dirty && !r.mu.seq.Holds([]byte(w.key)) {
			return false
		}
	}
	return true
}

// guards reports whether a guard is dirty, and the position of the write.
func (a *Attempt) guards(list []*Watch) (pos base.Position, dirty bool) {
	for _, w := range list {
		if w.dirty {
			dirty = true
			if w.ticket.Log == base.Log(a.ten) {
				pos = max(pos, w.ticket.Pos)
			}
		}
	}
	return pos, dirty
}

// admit takes the lock and waits, before anything is sequenced, until there is
// room for speculation (R7). It refuses what the range or the disk cannot take.
func (a *Attempt) admit(muts []base.Mutation) error {
	if err := a.enter(); err != nil {
		return err
	}
	if n := grows(muts); n > 0 && a.r.o.Full != nil && a.r.o.Full(a.r.mu.seq.Speculative()+n) {
		a.unlock()
		return base.ErrDiskFull
	}
	owns := func() bool { return a.r.mu.seq.Owns(muts, a.r.mu.logged) }
	for {
		for len(muts) > 0 && a.r.crowdedLocked() {
			a.split = true
			if err := a.waitForRoom(); err != nil {
				return err
			}
			if err := a.enter(); err != nil {
				return err
			}
		}
		if owns() {
			return nil
		}
		a.held = false
		if err := a.awaitHold(owns); err != nil || !a.held {
			return err
		}
	}
}

// crowdedLocked reports whether nothing may be sequenced for now.
func (r *Replica) crowdedLocked() bool {
	return r.mu.leaving || r.mu.seq.Full() || r.mu.seq.Speculative() > limits.SpeculationBytes || r.overfullLocked()
}

// waitForRoom waits until the loop or the evictor has made room. It gives up the
// lock meanwhile.
func (a *Attempt) waitForRoom() error {
	if a.prompt {
		a.r.hurry()
		a.r.evictor.wake()
		a.unlock()
		return base.ErrWouldWait
	}
	if !a.r.o.Manual {
		a.r.hurry()
		a.r.evictor.wake()
		a.r.room.Wait()
		return nil
	}
	a.unlock()
	a.r.hurry()
	if a.r.o.Pause != nil {
		a.r.pause(PointNoRoom)
		return nil
	}
	if _, err := a.r.Step(context.Background()); err != nil {
		return err
	}
	if err := a.r.Evict(^base.Stamp(0)); err != nil {
		return err
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if a.r.crowdedLocked() {
		return base.ErrUnavailable // others have to do something
	}
	return nil
}

// smallWriteBytes is what a transaction that removes something may write while
// the disk is full: headers and counters.
const smallWriteBytes = 4 << 10

// grows is how many bytes the mutations may add to the data on disk: none for
// deletions with their bookkeeping.
func grows(muts []base.Mutation) int64 {
	clears, bytes := false, 0
	for i := range muts {
		m := &muts[i]
		switch m.Op {
		case base.OpClear, base.OpClearRange, base.OpCompareAndClear:
			clears = true
		default:
			bytes += len(m.Key) + len(m.Value)
		}
	}
	if clears && bytes <= smallWriteBytes {
		return 0
	}
	return int64(bytes)
}

// fetched holds values that atomic operations need, read from disk.
type fetched struct {
	values    map[string][]byte
	evictions uint64 // when they were read
}

// resolve makes sure that the present values of all atomic operations are known.
// When it has to read the disk it gives up the lock and answers false.
func (a *Attempt) resolve(muts []base.Mutation, f *fetched) (ready bool, err error) {
	if f.evictions != a.r.evictions.Load() {
		f.values = nil // a slice has moved to disk since
	}
	f.evictions = a.r.evictions.Load()
	missing, unstamped := a.r.mu.seq.Missing(muts, a.stored(f))
	if unstamped != 0 {
		return false, a.wait(unstamped)
	}
	if len(missing) == 0 {
		return true, nil
	}
	a.giveUp()
	if f.values == nil {
		f.values = map[string][]byte{}
	}
	for _, key := range missing {
		a.pause(PointReading)
		value, err := a.r.o.Disk.Get(key)
		if err != nil {
			return false, err
		}
		f.values[string(key)] = value
		a.pause(PointRead)
	}
	return false, nil
}

// stored answers what the disk holds, from memory.
func (a *Attempt) stored(f *fetched) func(key []byte) ([]byte, bool) {
	return func(key []byte) ([]byte, bool) {
		if v, ok := f.values[string(key)]; ok {
			return v, true
		}
		return a.cached(key)
	}
}

// sequence gives the transaction its place. The lock is held.
func (a *Attempt) sequence(q *Request, result []byte, f *fetched) (Receipt, error) {
	muts := q.Mutations
	if result != nil {
		muts = append(muts[:len(muts):len(muts)], resultMutations(q, result)...)
	}
	open, before := a.r.mu.seq.Open()
	dormant := a.r.dormantLocked()
	pos, err := a.r.mu.seq.Append(muts, a.stored(f))
	if err != nil {
		a.unlock()
		a.r.o.OnFatal(err)
		return Receipt{}, err
	}
	_, after := a.r.mu.seq.Open()
	dormant = dormant || a.r.gatheredLocked()
	a.count()
	a.wrote(q.Mutations, after-before)
	if a.r.o.Faults.PrefetchStamp && !open {
		a.r.loop.prefetch, _ = a.r.o.Oracle.Next()
	}
	a.pos = pos
	t := base.Ticket{Log: a.ten, Pos: pos}
	a.r.mu.watches.sequencedLocked(q.Mutations, t, q.Origin)
	var version *base.Versionstamp
	if q.Stamped {
		version = new(base.Versionstamp)
		n, place := a.r.mu.seq.Place()
		a.r.mu.wants = append(a.r.mu.wants, want{batch: n, place: place, out: version})
	}
	a.unlock()
	if dormant && !q.Quiet {
		a.r.signal()
	}
	return Receipt{Ticket: t, Version: version}, nil
}

// resultKey is where the result of an internally repeatable write is kept (R8).
func resultKey(session, number uint64) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyspace.RangeLocal}, session)
	return binary.BigEndian.AppendUint64(k, number)
}

// A session keeps the results of its last writes; older ones are removed now and then.
const (
	resultsKept  = 4096
	resultsEvery = 256
)

func resultMutations(q *Request, key []byte) []base.Mutation {
	value := make([]byte, base.VersionstampLen+4) // the stamp goes to offset 0
	muts := []base.Mutation{{Op: base.OpSetVersionstampedValue, Key: key, Value: value}}
	if q.Number%resultsEvery == 0 && q.Number > resultsKept {
		muts = append(muts, base.Mutation{Op: base.OpClearRange,
			Key: resultKey(q.Session, 0), Value: resultKey(q.Session, q.Number-resultsKept)})
	}
	return muts
}

// repeated looks for the result of an earlier delivery of the same write.
func (a *Attempt) repeated(key []byte) (r Receipt, done bool, err error) {
	probe := a.r.NewAttempt()
	probe.Begin(0, HoldNever)
	probe.counted = true // it is part of this one
	if a.locked {        // never two locks: this attempt is based on reads and may conflict
		a.giveUp()
		if a.locked {
			return Receipt{}, false, nil
		}
	}
	value, err := probe.Get(key)
	t := probe.Abort()
	if err != nil || value == nil {
		return Receipt{}, false, err
	}
	v := new(base.Versionstamp)
	copy(v[:], value)
	return Receipt{Ticket: t, Version: v}, true, nil
}
