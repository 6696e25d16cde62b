package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/test/history"
)

// boundaries divide the lists, and what else transactions write; the registers share a
// range.
var boundaries = []string{"\x04l1", "\x04l3", "\x04r", "\x04s", "\x04x2"}

// laterBoundaries divide the lists further while a run goes on.
var laterBoundaries = []string{"\x04l0", "\x04l2", "\x04l4"}

// several is what a run over several ranges needs.
type several struct {
	loops  map[base.RangeID]*task
	behind []*task // what goes on behind answers
	names  int
	lastID base.RangeID
	hot    []int // lists that are used more than others
	// evictOnly: maintenance makes room in the windows, and no files.
	evictOnly bool
}

func (s *sim) evict() error {
	for _, r := range s.store.Replicas() {
		if err := r.Evict(base.Stamp(s.clock.micros)); err != nil {
			return err
		}
	}
	return nil
}

func (v *several) unwind() {
	for _, id := range v.ids() {
		v.loops[id].stop()
	}
	for _, t := range v.behind {
		t.stop()
	}
	v.loops, v.behind = nil, nil
}

func (v *several) ids() (ids []base.RangeID) {
	for id := range v.loops {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// engine is the engine over the store. Coordinators run in the tasks of their clients.
func (s *sim) engine() kv.Engine {
	if !s.o.Ranges {
		return kvrange.New(s.store)
	}
	faults := s.o.Coordinator
	faults.Crash = func(step coordinator.Step) bool {
		if step == coordinator.StepPrepared {
			s.res.Spread++
		}
		if s.running == nil {
			return false
		}
		s.rest(pointName(fmt.Sprintf("step %d of a commit", step)))
		crash := !s.o.Calm && s.rnd.IntN(40) == 0
		if crash {
			s.res.Orphans++
			s.note("the coordinator crashes")
		}
		return crash
	}
	return kvrange.NewWith(s.store, coordinator.Options{Inline: true, Clock: s.clock, Faults: faults, Behind: s.doBehind, Everywhere: s.o.Everywhere,
		Random: func(id []byte) {
			for i := range id {
				id[i] = byte(s.rnd.Uint32())
			}
		}})
}

func (s *sim) doBehind(f func()) {
	if s.running == nil {
		f()
		return
	}
	s.several.names++
	s.several.behind = append(s.several.behind, s.spawn(fmt.Sprintf("resolver %d", s.several.names), f))
}

// stepBehind moves something that goes on behind an answer to its next point.
func (s *sim) stepBehind() bool {
	v := &s.several
	if len(v.behind) == 0 {
		return false
	}
	i := s.rnd.IntN(len(v.behind))
	if t := v.behind[i]; !s.resume(t) {
		v.behind = slices.DeleteFunc(v.behind, func(x *task) bool { return x == t })
	}
	return true
}

// stepRange moves the loop of some range to its next point.
func (s *sim) stepRange() {
	v := &s.several
	var r *replica.Replica
	var id base.RangeID
	if ids := v.ids(); len(ids) > 0 && (s.running != nil || s.driving || s.rnd.IntN(2) == 0) {
		id = ids[s.rnd.IntN(len(ids))] // of a range that was merged meanwhile, perhaps
	} else {
		all := s.store.Replicas()
		busy := slices.DeleteFunc(slices.Clone(all), func(r *replica.Replica) bool { return r.Stats().Speculative == 0 })
		if len(busy) > 0 && s.rnd.IntN(8) > 0 {
			all = busy
		}
		r = all[s.rnd.IntN(len(all))]
		id, _ = r.ID()
	}
	if v.loops == nil {
		v.loops = map[base.RangeID]*task{}
	}
	if v.loops[id] == nil {
		v.loops[id] = s.spawn(fmt.Sprintf("loop %d", id), func() {
			_, err := r.Step(context.Background())
			s.must(err)
		})
	}
	if !s.resume(v.loops[id]) {
		delete(v.loops, id)
	}
}

// divide makes the ranges of a run that begins, or what a crash has kept from being made.
func (s *sim) divide() error {
	if s.several.lastID == 0 {
		s.several.lastID = 1
	}
	if err := s.healAll(); err != nil {
		return err
	}
	for _, key := range boundaries {
		if _, err := s.split(key); err != nil {
			return err
		}
		if err := s.store.Step(); err != nil {
			return err
		}
	}
	return nil
}

// split begins to divide a range at key, if it is not.
func (s *sim) split(key string) (base.Ticket, error) {
	r := s.store.Range([]byte(key))
	if r == nil || bytes.Equal(r.Descriptor().Span.Start, []byte(key)) {
		return base.Ticket{}, nil
	}
	s.several.lastID++
	s.note("split at %q", key)
	return r.BeginSplit([]byte(key), s.several.lastID)
}

// severalActions are the events of a run over several ranges.
func (s *sim) severalActions() []action {
	if !s.o.Ranges {
		return nil
	}
	list := []action{{160, s.stepLoop}, {60, func() { s.stepBehind() }}, {6, s.sweep}, {2, s.retain}}
	if s.o.Cut {
		list = append(list, action{3, s.cut}, action{3, s.unite}, action{3, s.heal})
	}
	return list
}

// cut divides a range under load; it may be refused, above all by another split.
func (s *sim) cut() {
	key := laterBoundaries[s.rnd.IntN(len(laterBoundaries))]
	s.doTask("cut", func() error {
		_, err := s.split(key)
		if errors.IsAssertionFailure(err) {
			return err
		}
		return nil
	})
}

// unite merges two ranges under load. It may be refused, and what was begun may be left to
// heal.
func (s *sim) unite() {
	all := s.store.Replicas()
	left, right := all[s.rnd.IntN(len(all))], all[s.rnd.IntN(len(all))]
	for _, r := range all {
		if d := left.Descriptor(); bytes.Equal(r.Descriptor().Span.Start, d.Span.End) {
			right = r
		}
	}
	a, _ := left.ID()
	b, _ := right.ID()
	if s.rnd.IntN(3) == 0 {
		s.doTask(fmt.Sprintf("freeze %d for %d", b, a), func() error {
			if _, err := s.store.BeginMerge(a, b); !errors.Is(err, replica.ErrMerge) {
				return err
			}
			return nil
		})
		return
	}
	s.doTask(fmt.Sprintf("merge %d with %d", a, b), func() error {
		_, err := s.store.Merge(context.Background(), a, b)
		if err == nil {
			s.res.Merges++
		}
		if errors.Is(err, replica.ErrMerge) {
			return nil
		}
		return err
	})
}

func (s *sim) heal() {
	s.doTask("heal", func() error {
		s.store.Heal()
		return nil
	})
}

// healAll lets no range be frozen any more.
func (s *sim) healAll() error {
	for n := 0; len(s.store.Frozen()) > 0; n++ {
		if n == 100 {
			return errors.New("a range stays frozen")
		}
		s.store.Heal()
		s.clock.micros += limits.MergeWait.Microseconds() / 4
		if err := s.store.Step(); err != nil {
			return err
		}
	}
	return nil
}

// across reads a list and appends to another one, at a stamp: no write lock holds what it
// has read. Now and then it reads all lists instead.
func (s *sim) across(*client) {
	op, tx := s.newOp(), s.db.Begin()
	defer tx.Rollback()
	keys := []string{s.key()}
	if s.rnd.IntN(3) == 0 {
		keys = []string{listKey(0), listKey(2), listKey(4), listKey(3), listKey(1)}
	} else {
		s.appendTo(op, s.keys(1))
	}
	for _, k := range keys {
		v, err := tx.Get([]byte(k))
		if err != nil {
			s.fails(op, err)
			return
		}
		op.Reads[k] = decode(v)
	}
	s.think()
	for _, k := range sorted(op.Appends) {
		tx.Atomic(base.OpAppendIfFits, []byte(k), encode(nil, op.Appends[k]))
	}
	r, err := tx.Sequence()
	s.sequenced(op, r.Ticket, err)
}

// sweep lets somebody settle what is overdue.
func (s *sim) sweep() {
	for _, r := range s.store.Replicas() {
		if len(r.Overdue(^base.Stamp(0))) > 0 {
			s.res.Settled++
			s.doTask("sweep", s.store.Sweep)
			return
		}
	}
}

func (s *sim) retain() { s.doTask("retain", s.store.Retain) }

func (s *sim) doTask(name string, f func() error) {
	s.note("%s", name)
	s.several.behind = append(s.several.behind, s.spawn(name, func() {
		if err := f(); !errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome, base.ErrConflict, base.ErrDiskFull, base.ErrWrongRange) {
			s.must(err)
		}
	}))
}

// atFirst is the outcome of an operation until more is known: in a commit over several
// ranges, a crash may hide that it happened.
func (s *sim) atFirst() history.Outcome {
	if s.o.Ranges {
		return history.Unknown
	}
	return history.Failed
}

// fails files an operation that was refused, or whose outcome nobody knows.
func (s *sim) fails(op *history.Op, err error) {
	if errors.Is(err, base.ErrUnknownOutcome) && s.o.Ranges {
		s.note("T%d is unknown", op.ID)
		s.res.Unknown++
		return
	}
	op.Outcome = history.Failed
	s.failed(fmt.Sprintf("T%d", op.ID), err)
}

// settleAll lets time pass until nobody holds a lock any more, and objects if somebody
// still does.
func (s *sim) settleAll() error {
	if !s.o.Ranges {
		return nil
	}
	for s.keeper != nil {
		s.stepKeeper()
	}
	if err := s.healAll(); err != nil {
		return err
	}
	for range 5 {
		s.clock.micros += 10 * limits.TransactionMaxAge.Microseconds()
		if err := errors.CombineErrors(s.store.Sweep(), s.drive()); err != nil {
			return err
		}
		for _, r := range s.store.Replicas() { // as the evictors do, with what is settled
			if err := errors.CombineErrors(r.Evict(base.Stamp(s.clock.micros)), s.drive()); err != nil {
				return err
			}
		}
	}
	for _, r := range s.store.Replicas() {
		if left := r.Overdue(^base.Stamp(0)); len(left) > 0 {
			return errors.Newf("%d transactions are held or not settled in the end, the first begun at %d", len(left), left[0].Begin)
		}
	}
	return nil
}
