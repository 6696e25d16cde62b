package prepared

import (
	"bytes"
	"maps"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Held is a prepare whose locks count. It is read-only outside of this package.
type Held struct {
	Prepare
	// Pos is the position at which it was sequenced; zero when it came with a
	// snapshot, a split or a merge.
	Pos base.Position
	// Stamp is P, the stamp of the prepare's batch; zero while it is unknown.
	Stamp base.Stamp
}

// locks visits what h locks, the keys and the spans, its reads before its writes.
func (h *Held) locks(key func([]byte, bool) error, span func(base.Span, bool) error) error {
	for _, k := range h.ReadKeys {
		if err := key(k, false); err != nil {
			return err
		}
	}
	for _, s := range h.ReadSpans {
		if err := span(s, false); err != nil {
			return err
		}
	}
	for i := range h.Mutations {
		k, s := lockOf(&h.Mutations[i])
		if k != nil {
			if err := key(k, true); err != nil {
				return err
			}
		} else if err := span(s, true); err != nil {
			return err
		}
	}
	return nil
}

// Fate is how a transaction ended, as far as this range knows. While Open is set
// it is the anchor's record; without it, a mark. It is read-only.
type Fate struct {
	ID    TxnID
	Begin base.Stamp
	// Commit is C; zero means that the transaction was aborted.
	Commit base.Stamp
	// Open is set while participants may still hold the prepare.
	Open *Txn
	// Pos is the position at which it was sequenced, see Held.Pos.
	Pos base.Position
}

// TableFaults are the bugs that a test can plant, to prove that its checker sees them.
type TableFaults struct {
	// LatePrepare holds a prepare of a transaction that is over, or too old (C3).
	LatePrepare bool
	// RecordUnheld writes a commit record whose prepare is not held any more (C2).
	RecordUnheld bool
}

// Table is what one range knows about transactions over several ranges.
type Table struct {
	// Faults is for tests; a table that is made from another one has none.
	Faults    TableFaults
	held      map[TxnID]*Held
	fates     map[TxnID]*Fate
	retain    Retain
	locks     locks
	tail      []change // what is not committed, oldest first
	unstamped []*Held  // those without P, oldest first
}

// change is what DropTail needs to take an entry back: the state before it.
type change struct {
	pos     base.Position
	id      TxnID
	held    *Held
	fate    *Fate
	retain  Retain
	dropped []*Fate // by a Retain
}

// New makes an empty table.
func New() *Table {
	return &Table{held: map[TxnID]*Held{}, fates: map[TxnID]*Fate{}, locks: newLocks()}
}

// Empty reports whether no lock is held, so that nothing stops anybody.
func (t *Table) Empty() bool { return len(t.held) == 0 }

// Held is the prepare of a transaction that is held here, nil if none is.
func (t *Table) Held(id TxnID) *Held { return t.held[id] }

// Retained are the horizons.
func (t *Table) Retained() Retain { return t.retain }

// Blank reports whether the table knows of no transaction at all.
func (t *Table) Blank() bool { return len(t.held)+len(t.fates) == 0 }

// Effect is what an entry does outside of the table.
type Effect struct {
	// Released is the prepare whose locks went, or nil.
	Released *Held
	// Mutations are to be installed as versions with the stamp Commit, which is
	// not the stamp of the batch that carries them (C5).
	Mutations []base.Mutation
	Commit    base.Stamp
}

// Apply makes the change that e describes, at position pos: on the leader when
// it sequences the entry, elsewhere when the entry is committed. The conditions
// of the entry have been checked by the leader; one that does not hold is an
// assertion failure.
func (t *Table) Apply(pos base.Position, e Entry) (Effect, error) {
	if n := len(t.tail); n > 0 && pos < t.tail[n-1].pos {
		return Effect{}, errors.AssertionFailedf("position %d follows %d", pos, t.tail[n-1].pos)
	}
	return e.apply(t, pos)
}

// remember notes the state before a change of transaction id.
func (t *Table) remember(pos base.Position, id TxnID) *change {
	t.tail = append(t.tail, change{pos: pos, id: id, held: t.held[id], fate: t.fates[id], retain: t.retain})
	return &t.tail[len(t.tail)-1]
}

func (p *Prepare) apply(t *Table, pos base.Position) (Effect, error) {
	late := (t.fates[p.ID] != nil || p.Begin < t.retain.Refuse) && !t.Faults.LatePrepare
	if t.held[p.ID] != nil || late {
		return Effect{}, errors.AssertionFailedf("transaction %s, begun at %d, is prepared again", p.ID, p.Begin)
	}
	t.remember(pos, p.ID)
	h := &Held{Prepare: *p, Pos: pos}
	t.unstamped = append(t.unstamped, h)
	return Effect{}, t.hold(h)
}

func (t *Table) hold(h *Held) error {
	t.held[h.ID] = h
	return t.locks.add(h)
}

func (t *Table) release(h *Held) {
	delete(t.held, h.ID)
	t.locks.remove(h)
}

func (r *Record) apply(t *Table, pos base.Position) (Effect, error) {
	if t.fates[r.ID] != nil || r.Commit != 0 && t.held[r.ID] == nil && !t.Faults.RecordUnheld {
		return Effect{}, errors.AssertionFailedf("record of %s against the condition", r.ID)
	}
	t.remember(pos, r.ID)
	t.fates[r.ID] = &Fate{ID: r.ID, Begin: r.Begin, Commit: r.Commit, Open: &r.Txn, Pos: pos}
	return Effect{}, nil
}

func (r *Resolve) apply(t *Table, pos base.Position) (Effect, error) {
	h, f := t.held[r.ID], t.fates[r.ID]
	if f != nil && f.Commit != r.Commit {
		return Effect{}, errors.AssertionFailedf("transaction %s ends at %d, and at %d", r.ID, f.Commit, r.Commit)
	}
	t.remember(pos, r.ID)
	if f == nil {
		t.fates[r.ID] = &Fate{ID: r.ID, Begin: r.Begin, Commit: r.Commit, Pos: pos}
	}
	if h == nil {
		return Effect{}, nil
	}
	t.release(h)
	effect := Effect{Released: h}
	if r.Commit != 0 {
		effect.Commit = r.Commit
		for _, m := range h.Mutations {
			effect.Mutations = append(effect.Mutations, complete(m, r.Commit))
		}
	}
	return effect, nil
}

func (s *Settled) apply(t *Table, pos base.Position) (Effect, error) {
	f := t.fates[s.ID]
	if f == nil {
		return Effect{}, errors.AssertionFailedf("transaction %s is settled without a record", s.ID)
	}
	t.remember(pos, s.ID)
	mark := *f
	mark.Open, mark.Pos = nil, pos
	t.fates[s.ID] = &mark
	return Effect{}, nil
}

func (r *Retain) apply(t *Table, pos base.Position) (Effect, error) {
	if r.Refuse < t.retain.Refuse || r.Forget < t.retain.Forget || r.Forget > r.Refuse {
		return Effect{}, errors.AssertionFailedf("horizons %+v follow %+v", *r, t.retain)
	}
	c := t.remember(pos, TxnID{})
	t.retain = *r
	for id, f := range t.fates {
		if f.Open == nil && f.Begin < r.Forget {
			c.dropped = append(c.dropped, f)
			delete(t.fates, id)
		}
	}
	return Effect{}, nil
}

// SetStamp tells that the batch which ends at position last got a stamp. Batches
// are stamped in the order of the log (C1).
func (t *Table) SetStamp(last base.Position, stamp base.Stamp) {
	n := 0
	for ; n < len(t.unstamped) && t.unstamped[n].Pos <= last; n++ {
		t.unstamped[n].Stamp = stamp
	}
	t.unstamped = slices.Delete(t.unstamped, 0, n)
}

// Commit moves the committed boundary behind pos.
func (t *Table) Commit(pos base.Position) {
	n := 0
	for n < len(t.tail) && t.tail[n].pos <= pos {
		n++
	}
	t.tail = slices.Delete(t.tail, 0, n)
}

// DropTail takes back what is not committed, and returns the transactions whose
// locks went with it, in the order of their prepares.
func (t *Table) DropTail() (released []TxnID) {
	for _, c := range slices.Backward(t.tail) {
		if id := c.id; t.undo(c) {
			released = append(released, id)
		}
	}
	t.tail = nil
	t.unstamped = slices.DeleteFunc(t.unstamped, func(h *Held) bool { return t.held[h.ID] != h })
	slices.Reverse(released)
	return released
}

// undo restores the state before c and reports whether that took locks away.
func (t *Table) undo(c change) (released bool) {
	t.retain = c.retain
	for _, f := range c.dropped {
		t.fates[f.ID] = f
	}
	if c.id == (TxnID{}) {
		return false
	}
	if c.fate == nil {
		delete(t.fates, c.id)
	} else {
		t.fates[c.id] = c.fate
	}
	now := t.held[c.id]
	if now != nil && c.held == nil {
		t.release(now)
		return true
	}
	if now == nil && c.held != nil {
		_ = t.hold(c.held) // it was held before
	}
	return false
}

// Clone copies the table. Entries are shared, they do not change.
func (t *Table) Clone() *Table {
	c := New()
	c.fates, c.retain, c.tail = maps.Clone(t.fates), t.retain, slices.Clone(t.tail)
	copies := map[*Held]*Held{}
	dup := func(h *Held) *Held {
		if h != nil && copies[h] == nil {
			x := *h
			copies[h] = &x
		}
		return copies[h]
	}
	for _, h := range t.held {
		_ = c.hold(dup(h)) // it is held in t
	}
	for i := range c.tail {
		c.tail[i].held = dup(c.tail[i].held)
	}
	for _, h := range t.unstamped {
		c.unstamped = append(c.unstamped, dup(h))
	}
	return c
}

// HeldBefore lists the prepares that began before the stamp, oldest first: those
// whose time is over are to be settled (C10).
func (t *Table) HeldBefore(stamp base.Stamp) []*Held {
	var old []*Held
	for _, h := range t.held {
		if h.Begin < stamp {
			old = append(old, h)
		}
	}
	slices.SortFunc(old, func(a, b *Held) int { return compareAge(&a.Txn, &b.Txn) })
	return old
}

// OpenRecords lists the records whose participants are not known to be resolved,
// in the order of their ids: whoever settles them has all that is needed.
func (t *Table) OpenRecords() []*Fate {
	var open []*Fate
	for _, f := range t.fates {
		if f.Open != nil {
			open = append(open, f)
		}
	}
	slices.SortFunc(open, func(a, b *Fate) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return open
}
