package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/test/history"
)

// Schedules that random search finds rarely, or never: a transaction T over two ranges
// reads and writes, and at a step of its commit others do what breaks it.

// Keys of the two ranges; T's anchor lies in the first.
const (
	keyA1, keyA2 = "\x04l0", "\x04l1"
	keyB1        = "\x04l3"
)

// schedule is a store with two ranges.
type schedule struct {
	st    *store.Store
	clock *simClock
	ids   byte
	now   int64
	next  uint32
	ops   []*history.Op
	err   error
}

func newSchedule(t *testing.T, f replica.Faults) *schedule {
	t.Helper()
	d := &schedule{clock: &simClock{micros: 1_700_000_000_000_000}}
	st, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: dataDir, Clock: d.clock, Manual: true, SegmentBytes: 64 << 10,
		Faults: f, WindowAge: time.Minute, OnFatal: func(err error) { d.err = errors.CombineErrors(d.err, err) }})
	if err != nil {
		t.Fatal(err)
	}
	d.st = st
	t.Cleanup(st.Abandon)
	if err := st.Step(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Range([]byte(keyB1)).BeginSplit([]byte(keyB1), 2); err != nil {
		t.Fatal(err)
	}
	if err := st.Step(); err != nil {
		t.Fatal(err)
	}
	st.Coordinate(d.coordinator(nil, coordinator.Faults{}))
	return d
}

// coordinator makes one; without ranges, it reaches all of them.
func (d *schedule) coordinator(r coordinator.Ranges, f coordinator.Faults) *coordinator.Coordinator {
	if r == nil {
		r = &coordinator.Here{Store: d.st}
	}
	return coordinator.New(coordinator.Options{Ranges: r, Clock: d.clock, Inline: true, Everywhere: true, Faults: f, Random: func(id []byte) {
		d.ids++
		id[0] = d.ids
	}})
}

func (d *schedule) op(appends ...string) *history.Op {
	d.now++
	op := &history.Op{ID: len(d.ops) + 1, Invoke: d.now, Outcome: history.Failed, Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	for _, k := range appends {
		d.next++
		op.Appends[k] = d.next
	}
	d.ops = append(d.ops, op)
	return op
}

// done files what an operation was told: a conflict says that it would have had to wait.
func (d *schedule) done(op *history.Op, err error) {
	d.now++
	switch {
	case err == nil:
		op.Outcome, op.Return = history.OK, d.now
	case errors.Is(err, base.ErrUnknownOutcome):
		op.Outcome = history.Unknown
	case !base.Retryable(err):
		d.err = errors.CombineErrors(d.err, err)
	}
}

// transact runs T: it reads and writes at a stamp, and at a step of its commit something
// else happens.
func (d *schedule) transact(reads, appends []string, at coordinator.Step, meanwhile func()) {
	op := d.op(appends...)
	var q coordinator.Request
	var err error
	if q.At, err = d.st.NextStamp(); err != nil {
		d.done(op, err)
		return
	}
	for _, k := range reads {
		if op.Reads[k], err = d.get(k, q.At); err != nil {
			d.done(op, err)
			return
		}
		q.ReadKeys = append(q.ReadKeys, []byte(k))
	}
	for _, k := range appends {
		q.Mutations = append(q.Mutations, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(k), Value: encode(nil, op.Appends[k])})
	}
	_, err = d.coordinator(nil, coordinator.Faults{Crash: func(s coordinator.Step) bool {
		if s == at {
			meanwhile()
		}
		return false
	}}).Commit(&q)
	d.done(op, err)
}

func (d *schedule) get(key string, at base.Stamp) ([]uint32, error) {
	r := d.st.Range([]byte(key))
	a := r.NewAttempt()
	a.Begin(at, replica.HoldNever)
	v, err := a.Get([]byte(key))
	list := decode(v)
	if lost := r.Await(a.Abort()); err == nil {
		err = lost
	}
	return list, err
}

// write appends to a key, blindly.
func (d *schedule) write(key string) {
	op := d.op(key)
	r := d.st.Range([]byte(key))
	a := r.NewAttempt()
	a.Begin(0, replica.HoldNever)
	rec, err := a.Commit(&replica.Request{Mutations: []base.Mutation{{Op: base.OpAppendIfFits, Key: []byte(key), Value: encode(nil, op.Appends[key])}}})
	if err == nil {
		err = r.Await(rec.Ticket)
	}
	d.done(op, err)
}

// read reads keys, at a stamp or the newest state.
func (d *schedule) read(op *history.Op, at base.Stamp, keys ...string) {
	var err error
	for _, k := range keys {
		if op.Reads[k], err = d.get(k, at); err != nil {
			break
		}
	}
	d.done(op, err)
}

func (d *schedule) stamp() base.Stamp {
	s, err := d.st.NextStamp()
	d.err = errors.CombineErrors(d.err, err)
	return s
}

// held is the transaction that a range holds.
func (d *schedule) held(key string) *prepared.Txn {
	if list := d.st.Range([]byte(key)).Overdue(^base.Stamp(0)); len(list) > 0 {
		return list[0]
	}
	return nil
}

// check settles what is left, and judges.
func (d *schedule) check() error {
	if d.err != nil {
		return d.err
	}
	for _, k := range []string{keyA1, keyB1} {
		if t := d.held(k); t != nil {
			if err := d.coordinator(nil, coordinator.Faults{}).Settle(t); err != nil {
				return err
			}
		}
	}
	final := map[string][]uint32{}
	for _, k := range []string{keyA1, keyA2, keyB1} {
		list, err := d.get(k, 0)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			final[k] = list
		}
	}
	return history.Check(d.ops, final)
}

// TestSchedules: the checker objects to every schedule with the bug, and to none without.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults replica.Faults
		settle coordinator.Faults
		run    func(d *schedule, f coordinator.Faults)
	}{
		{"no read locks", replica.Faults{NoReadLocks: true}, coordinator.Faults{}, noReadLocks},
		{"latest read passes an undecided lock", replica.Faults{PassUndecided: true}, coordinator.Faults{}, passUndecided},
		{"settled without a tombstone", replica.Faults{}, coordinator.Faults{AbortUnrecorded: true}, abortUnrecorded},
		{"record not conditional on the held prepare", replica.Faults{Table: prepared.TableFaults{RecordUnheld: true}}, coordinator.Faults{}, lateRecord},
		{"concluded behind a transaction without a stamp", replica.Faults{ConcludeUnstamped: true}, coordinator.Faults{}, concludeUnstamped},
		{"late prepare accepted", replica.Faults{Table: prepared.TableFaults{LatePrepare: true}}, coordinator.Faults{}, latePrepare},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := newSchedule(t, c.faults)
			c.run(bad, c.settle)
			err := bad.check()
			if err == nil {
				t.Error("nobody sees the bug")
			}
			t.Logf("seen: %.300v", err)
			good := newSchedule(t, replica.Faults{})
			c.run(good, coordinator.Faults{})
			if err := good.check(); err != nil {
				t.Errorf("without the bug: %+v", err)
			}
		})
	}
}

// T has read b1 and prepared; b1 is written, and a reader at a stamp before C sees that,
// and not what T writes.
func noReadLocks(d *schedule, _ coordinator.Faults) {
	var op *history.Op
	var at base.Stamp
	d.transact([]string{keyB1}, []string{keyA1}, coordinator.StepPrepared, func() {
		d.write(keyB1)
		op, at = d.op(), d.stamp()
	})
	d.read(op, at, keyB1, keyA1)
}

// C is issued; a reader takes a stamp behind it, a2 is written, and then a1 is read as if
// T were not there.
func passUndecided(d *schedule, _ coordinator.Faults) {
	var op *history.Op
	var at base.Stamp
	d.transact(nil, []string{keyA1, keyB1}, coordinator.StepStamped, func() {
		op, at = d.op(), d.stamp()
		d.write(keyA2)
		d.read(d.op(), 0, keyA1)
	})
	d.read(op, at, keyB1, keyA2)
}

// W has read a1 and appends to a2; it is in the open batch when T is concluded, which appends
// to a1. A reader whose stamp lies between C and that of the batch sees T, and not W.
func concludeUnstamped(d *schedule, _ coordinator.Faults) {
	w, t, reader := d.op(keyA2), d.op(keyA1, keyB1), d.op()
	begin := d.stamp()
	r := d.st.Range([]byte(keyA1))
	a := r.NewAttempt()
	a.Begin(0, replica.HoldNever)
	v, err := a.Get([]byte(keyA1))
	w.Reads[keyA1] = decode(v)
	d.err = errors.CombineErrors(d.err, err)
	rec, err := a.Commit(&replica.Request{ReadKeys: [][]byte{[]byte(keyA1)},
		Mutations: []base.Mutation{{Op: base.OpAppendIfFits, Key: []byte(keyA2), Value: encode(nil, w.Appends[keyA2])}}})
	d.err = errors.CombineErrors(d.err, err)
	var at base.Stamp
	c := coordinator.New(coordinator.Options{Ranges: &concludes{Here: coordinator.Here{Store: d.st}, behind: func() { at = d.stamp() }},
		Clock: d.clock, Inline: true, Random: func(id []byte) { id[0] = 1 }})
	q := coordinator.Request{At: begin}
	for _, k := range []string{keyA1, keyB1} {
		q.Mutations = append(q.Mutations, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(k), Value: encode(nil, t.Appends[k])})
	}
	_, err = c.Commit(&q)
	d.done(t, err)
	d.done(w, r.Await(rec.Ticket))
	d.read(reader, at, keyA1, keyA2)
}

// concludes tries it whatever is going on, and does something before the answer is awaited.
type concludes struct {
	coordinator.Here
	behind func()
}

func (*concludes) Concludes([]byte) bool { return true }

func (x *concludes) Conclude(ask *coordinator.Ask) (base.Stamp, bool, error) {
	r := x.Store.Range(ask.Key)
	commit, t, err := r.Conclude(&ask.Prepare, nil, x.Store.Range(nil))
	x.behind()
	if errors.Is(err, replica.ErrNotNow) {
		return 0, false, nil
	}
	return commit, true, errors.CombineErrors(err, r.Await(t))
}

// Somebody settles T before its record is written, and does not reach the anchor with the
// resolve.
func abortUnrecorded(d *schedule, f coordinator.Faults) {
	d.transact(nil, []string{keyA1, keyB1}, coordinator.StepStamped, func() {
		err := d.coordinator(&unresolved{Here: coordinator.Here{Store: d.st}}, f).Settle(d.held(keyA1))
		d.err = errors.CombineErrors(d.err, err)
	})
}

// T is settled before its record is written, everybody resolves, and all of it is forgotten;
// then its coordinator goes on with C.
func lateRecord(d *schedule, _ coordinator.Faults) {
	d.transact(nil, []string{keyA1, keyB1}, coordinator.StepStamped, func() {
		err := d.coordinator(nil, coordinator.Faults{}).Settle(d.held(keyA1))
		d.clock.micros += 10 * limits.TransactionMaxAge.Microseconds()
		for range 3 { // first everybody refuses, then everybody forgets
			err = errors.CombineErrors(err, errors.CombineErrors(d.st.Retain(), d.st.Step()))
		}
		d.err = errors.CombineErrors(d.err, err)
	})
}

// T's prepare comes to b1's range again when T has ended there, and a later transaction has
// written b1.
func latePrepare(d *schedule, _ coordinator.Faults) {
	var again *prepared.Prepare
	d.transact([]string{keyB1}, []string{keyA1, keyB1}, coordinator.StepStamped, func() {
		if t := d.held(keyB1); t != nil {
			again = &prepared.Prepare{Txn: *t, Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte(keyB1),
				Value: encode(nil, d.ops[len(d.ops)-1].Appends[keyB1])}}}
		}
	})
	d.write(keyB1)
	r := d.st.Range([]byte(keyB1))
	t, err := r.Prepare(again, nil)
	if err == nil {
		err = r.Await(t)
	}
	if !errors.Is(err, prepared.ErrOver) {
		d.err = errors.CombineErrors(d.err, err)
	}
}

// unresolved reaches everybody, but loses what tells the anchor's range to resolve.
type unresolved struct{ coordinator.Here }

func (u *unresolved) Resolve(key []byte, r *prepared.Resolve) (base.Span, error) {
	if string(key) < keyB1 {
		return base.Span{}, base.ErrUnavailable
	}
	return u.Here.Resolve(key, r)
}

// TestNobodyWaitsInACircle: two transactions write the same keys in two ranges, the other
// way round, and time stands still, so that nobody is settled. Both must end.
func TestNobodyWaitsInACircle(t *testing.T) {
	for _, waiting := range []bool{true, false} {
		ended, err := circle(replica.Faults{PlainWaiting: waiting})
		switch {
		case err != nil:
			t.Errorf("%+v", err)
		case waiting && ended:
			t.Error("the test shows nothing: who waits plainly does not wait for ever")
		case !waiting && !ended:
			t.Error("two transactions wait for each other")
		}
	}
}

// circle reports whether both transactions have ended.
func circle(f replica.Faults) (ended bool, err error) {
	s := newSim(Options{Seed: 1, Faults: f, Ranges: true, Calm: true, Everywhere: true})
	defer s.unwind()
	if err := s.start(); err != nil {
		return false, err
	}
	defer s.store.Abandon()
	var alive []*task // transactions
	begin := func(keys ...string) error {
		x := s.spawn(keys[0], func() {
			att := s.db.NewAttempt()
			defer att.Abort()
			at, err := s.store.NextStamp()
			s.must(err)
			att.Begin(kv.AttemptOptions{At: at})
			var req kv.CommitRequest
			for _, k := range keys {
				req.Mutations = append(req.Mutations, base.Mutation{Op: base.OpSet, Key: []byte(k), Value: []byte(k)})
			}
			if _, err = att.Commit(&req); !base.Retryable(err) {
				s.must(err)
			}
		})
		alive = append(alive, x)
		for n := 0; len(s.store.Range([]byte(keys[0])).Overdue(^base.Stamp(0))) == 0; n++ {
			if n == 10_000 || !s.resume(x) {
				return errors.Newf("it holds nothing on %q", keys[0])
			}
			s.stepLoop()
		}
		return nil
	}
	if err := begin(keyA1, keyB1); err != nil {
		return false, err
	}
	if err := begin(keyB1, keyA1); err != nil {
		return false, err
	}
	for range 20_000 {
		alive = slices.DeleteFunc(alive, func(x *task) bool { return !s.resume(x) })
		s.stepLoop()
		s.stepBehind()
	}
	return len(alive) == 0, s.fatal
}

// TestStaleLease: a leader makes no step for so long that another one is elected and writes.
// Then it reads: its lease has ended, whatever it knew when it last looked.
func TestStaleLease(t *testing.T) {
	for _, early := range []bool{true, false} {
		got, answered, err := readBehind(replica.Faults{LeaseAtStep: early})
		if err != nil {
			t.Fatalf("%+v", err)
		}
		if answered != early || got != "old" {
			t.Errorf("lease looked at early: %v; it reads %q, and may answer: %v", early, got, answered)
		}
	}
}

// readBehind is what the old leader reads, and whether it answers at once.
func readBehind(f replica.Faults) (got string, answered bool, err error) {
	g := newGroup(GroupOptions{Seed: 1, Faults: f})
	defer g.abandon()
	defer g.seed()()
	if err := g.begin(); err != nil {
		return "", false, err
	}
	key := listKey(4)
	a, r := g.leader(nil)
	if err := g.write(a, key, "old", 0); err != nil {
		return "", false, err
	}
	g.deaf = a.id
	g.hears = func(p *packet) bool { return p.to != a.id }
	var b *member
	if err := g.until("another one leads", 0, func() bool {
		for _, m := range g.members {
			if x := m.store.Range([]byte(key)); m != a && x != nil && x.Serving() {
				b = m
			}
		}
		return b != nil
	}); err != nil {
		return "", false, err
	}
	if err := g.write(b, key, "new", 0); err != nil {
		return "", false, err
	}
	at := r.NewAttempt()
	at.Begin(0, replica.HoldNever)
	value, err := at.Get([]byte(key))
	ticket := at.Abort()
	return string(value), ticket.Done(), err
}
