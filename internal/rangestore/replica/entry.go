package replica

import (
	"bytes"
	"maps"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// admitEntry takes the lock and waits until there is room for an entry of the table.
// Only a prepare adds data: what ends transactions is taken by a full disk, too. While
// a change of the range is on its way the table does not change, so that both sides
// of a split get the same. A frozen range's does not either.
func (a *Attempt) admitEntry(grows int64) error {
	for {
		if err := a.enter(); err != nil {
			return err
		}
		if grows > 0 && a.r.o.Full != nil && a.r.o.Full(a.r.mu.seq.Speculative()+grows) {
			a.unlock()
			return base.ErrDiskFull
		}
		withheld := a.r.withheldLocked()
		if !withheld && !a.r.crowdedLocked() {
			return nil
		}
		if err := a.waitForRoom(); err != nil {
			return err
		}
		if withheld {
			a.Begin(0, HoldNever) // on what the range is afterwards
		}
	}
}

// enterHolding takes the lock and waits until the range holds all that it has.
func (a *Attempt) enterHolding() error {
	for {
		if err := a.enter(); err != nil || !a.r.withheldLocked() {
			return err
		}
		if err := a.waitForRoom(); err != nil {
			return err
		}
		a.Begin(0, HoldNever)
	}
}

// sequenceEntry logs entries that the table has accepted, in one batch. The lock is held, and
// given back. Where the last one says how a transaction ends that is held here, too, that ends here at
// once: nobody waits for its locks longer than for the record, and the coordinator
// has one range less to tell. The log keeps both entries, or the first one, or none.
func (a *Attempt) sequenceEntry(entries ...prepared.Entry) (t base.Ticket, err error) {
	r := a.r
	copies := make([]entryCopy, len(entries))
	for i, e := range entries {
		c := &copies[i]
		if c.payload, c.kept, err = prepared.Copy(e); err != nil {
			a.unlock()
			return base.Ticket{}, err
		}
	}
	open, _ := r.mu.seq.Open()
	dormant, gathers := r.dormantLocked(), r.mu.gathering.want > 0
	for _, c := range copies {
		if t, err = a.appendEntry(c.kept, c.payload, open); err != nil {
			break
		}
		open = true
	}
	e := entries[len(entries)-1]
	if rec, ok := e.(*prepared.Record); ok && err == nil && r.mu.seq.Table().Held(rec.ID) != nil {
		end := &prepared.Resolve{ID: rec.ID, Begin: rec.Begin, Commit: rec.Commit}
		_, err = a.appendEntry(end, end.Append(nil), true)
	}
	waits := dormant && err == nil && r.canWait(e)
	if waits {
		r.patient.Store(uint64(t.Pos))
	}
	if hurries := gathers && !r.canWait(e); hurries {
		dormant, r.mu.gathering.want = true, 0
	}
	a.unlock()
	switch {
	case err != nil:
		r.o.OnFatal(err)
	case dormant && !waits && !awaited(e):
		r.signal()
	}
	return t, err
}

// entryCopy is what the log and the table keep of an entry.
type entryCopy struct {
	payload []byte
	kept    prepared.Entry
}

// appendEntry puts an entry into the open batch, or into a new one. Its errors are fatal.
func (a *Attempt) appendEntry(e prepared.Entry, payload []byte, open bool) (base.Ticket, error) {
	r := a.r
	pos, effect, err := r.mu.seq.AppendEntry(e, payload)
	if err != nil {
		return base.Ticket{}, err
	}
	if r.o.Faults.PrefetchStamp && !open {
		r.loop.prefetch, _ = r.o.Oracle.Next()
	}
	t := base.Ticket{Log: a.ten, Pos: pos}
	if effect.Released != nil {
		r.mu.watches.sequencedLocked(effect.Mutations, t, 0)
		r.mu.waits.released(effect.Released.ID)
	}
	return t, nil
}

// effects computes the atomic operations of a prepare, in order: what they find is
// what the mutations before them leave, and below that the newest version, which
// nobody can replace any more. The lock is held, and what they need is known.
func (a *Attempt) effects(muts []base.Mutation, f *fetched) ([]base.Mutation, error) {
	atomic := false
	for i := range muts {
		atomic = atomic || muts[i].Op.Atomic()
	}
	if !atomic {
		return muts, nil
	}
	out := make([]base.Mutation, 0, len(muts))
	own := ownEffects{keys: map[string][]byte{}, stamped: map[string]bool{}}
	for _, m := range muts {
		if m.Op.Atomic() {
			old, known := own.get(m.Key)
			if !known {
				old, known = a.newest(m.Key, f)
			}
			if !known || own.stamped[string(m.Key)] {
				return nil, base.ErrUnreadable
			}
			value := base.ApplyAtomic(m.Op, old, m.Value, limits.PairBytes)
			m.Op, m.Value = base.OpSet, bytes.Clone(value)
			if value == nil {
				m.Op = base.OpClear
			} else if m.Value == nil {
				m.Value = []byte{}
			}
		}
		own.add(&m)
		out = append(out, m)
	}
	return out, nil
}

// newest is the newest version of a key, from the window or from what was fetched.
func (a *Attempt) newest(key []byte, f *fetched) (value []byte, known bool) {
	switch v := a.r.mu.win.Latest(key); v.State {
	case window.Present, window.Absent:
		return v.Value, true
	case window.Unstamped:
		return nil, false
	}
	return a.stored(f)(key)
}

// ownEffects is what the mutations so far leave.
type ownEffects struct {
	keys    map[string][]byte // nil: absent
	cleared []base.Span
	stamped map[string]bool // their values are not known before the commit
}

// get is the value of a key; known says whether the mutations decide about it.
func (o *ownEffects) get(key []byte) (value []byte, known bool) {
	if value, known = o.keys[string(key)]; known {
		return value, true
	}
	for _, s := range o.cleared {
		if s.Contains(key) {
			return nil, true
		}
	}
	return nil, false
}

func (o *ownEffects) add(m *base.Mutation) {
	switch m.Op {
	case base.OpSet, base.OpClear:
		delete(o.stamped, string(m.Key))
		o.keys[string(m.Key)] = nil
		if m.Op == base.OpSet {
			o.keys[string(m.Key)] = m.Value
		}
	case base.OpSetVersionstampedValue:
		o.stamped[string(m.Key)] = true
	case base.OpClearRange:
		s := base.Span{Start: m.Key, End: m.Value}
		in := func(k string) bool { return s.Contains([]byte(k)) }
		maps.DeleteFunc(o.keys, func(k string, _ []byte) bool { return in(k) })
		maps.DeleteFunc(o.stamped, func(k string, _ bool) bool { return in(k) })
		o.cleared = append(o.cleared, s)
	}
}

// awaited reports whether who asks for an entry waits for it, and kicks the range then.
func awaited(e prepared.Entry) bool {
	switch e.(type) {
	case *prepared.Prepare, *prepared.Record:
		return true
	}
	return false
}
