package replica

import (
	"bytes"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// What a range does for transactions over several ranges: each message is decided
// by the leader's table, and what is accepted is an entry of the log. Every ticket
// names the commit of what the answer depends on, and proves the leadership (C9, R2).

// versions is the window as a table sees it.
type versions struct{ r *Replica }

// Validate implements prepared.Versions.
func (v versions) Validate(s base.Stamp, keys [][]byte, spans []base.Span) error {
	if v.r.o.Faults.SkipValidation {
		return nil
	}
	return v.r.mu.win.Validate(window.ReadPoint{Stamp: s, UnknownIsOlder: v.r.o.Faults.UnknownIsOlder}, keys, spans)
}

// Prepare locks what a transaction read and is going to write in this range. Atomic
// operations among its mutations are computed here: the write lock keeps their keys
// as they are until the transaction ends. It waits for locks of younger holders (C6).
// A guard counts as read.
//
// Who waits for the ticket kicks the range.
func (r *Replica) Prepare(p *prepared.Prepare, guards []*Watch) (base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	return a.prepare(p, guards, nil)
}

// PreparePromptly is Prepare for those who do not wait: it answers base.ErrWouldWait.
func (r *Replica) PreparePromptly(p *prepared.Prepare, guards []*Watch) (base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	a.Prompt()
	return a.prepare(p, guards, nil)
}

// prepare sequences a prepare, and with c all that follows it.
func (a *Attempt) prepare(p *prepared.Prepare, guards []*Watch, c *conclusion) (base.Ticket, error) {
	r := a.r
	defer a.end()
	asked := *p
	for _, w := range guards {
		asked.ReadKeys = append(asked.ReadKeys[:len(asked.ReadKeys):len(asked.ReadKeys)], []byte(w.key))
	}
	if r.o.Faults.NoReadLocks {
		asked.ReadKeys, asked.ReadSpans = nil, nil
	}
	fetched := fetched{}
	for {
		if err := a.admitEntry(grows(asked.Mutations)); err != nil {
			return base.Ticket{}, err
		}
		if !r.holdsLocked(&asked) && !r.o.Faults.IgnoreBounds {
			return base.Ticket{}, base.ErrWrongRange
		}
		answer := r.checkPrepare(&asked, p)
		if r.o.Faults.PlainWaiting && errors.Is(answer.Err, prepared.ErrYounger) {
			answer = prepared.Answer{Verdict: prepared.Wait, Holders: r.mu.seq.Table().Conflicts(&asked)}
		}
		switch answer.Verdict {
		case prepared.Done, prepared.Refuse:
			a.note(answer.Pos)
			overdue := r.overdueLocked(&asked, answer.Err)
			t := a.Abort()
			for _, h := range overdue {
				if _, err := r.lookAfter(h, 0, limits.LockAge); err != nil {
					return base.Ticket{}, err
				}
			}
			return t, answer.Err
		case prepared.Wait:
			if err := a.waitLocks(answer.Holders, 0); err != nil {
				return base.Ticket{}, err
			}
			continue
		}
		if pos, dirty := a.guards(guards); dirty {
			a.note(pos)
			return a.Abort(), base.ErrConflict
		}
		ready, err := a.resolve(asked.Mutations, &fetched)
		if err != nil {
			return base.Ticket{}, err
		}
		if !ready {
			continue
		}
		if asked.Mutations, err = a.effects(asked.Mutations, &fetched); err != nil {
			return base.Ticket{}, err
		}
		entries := []prepared.Entry{&asked}
		if c != nil {
			rec, err := a.conclude(&asked, c)
			if err != nil {
				return base.Ticket{}, err
			}
			entries = append(entries, rec)
		}
		a.count()
		if len(asked.Mutations) > 0 {
			a.wrote(asked.Mutations, int(grows(asked.Mutations)))
		}
		t, err := a.sequenceEntry(entries...)
		if r.o.Faults.PreparedBeforeCommit {
			return base.Ticket{}, err
		}
		return t, err
	}
}

// overdueLocked lists the older holders that refuse a prepare and have held their locks
// for so long that somebody should look after them: who is refused does not wait.
func (r *Replica) overdueLocked(p *prepared.Prepare, refused error) (list []*prepared.Held) {
	if !errors.Is(refused, prepared.ErrYounger) {
		return nil
	}
	for _, h := range r.mu.seq.Table().Conflicts(p) {
		if h.Stamp != 0 && h.Stamp+base.Stamp(limits.LockAge.Microseconds()) < r.mu.logged {
			list = append(list, h)
		}
	}
	return list
}

// checkPrepare asks the table, with the reads that the transaction really made.
func (r *Replica) checkPrepare(asked, p *prepared.Prepare) prepared.Answer {
	if r.o.Faults.NoReadLocks {
		validated := *p
		answer := r.mu.seq.Table().CheckPrepare(&validated, versions{r})
		if answer.Verdict != prepared.Done {
			return answer
		}
	}
	return r.mu.seq.Table().CheckPrepare(asked, versions{r})
}

// holdsLocked reports whether all that a prepare locks lies inside the range.
func (r *Replica) holdsLocked(p *prepared.Prepare) bool {
	own := r.mu.desc.Span
	holds := func(s base.Span) bool {
		return bytes.Compare(own.Start, s.Start) <= 0 && bytes.Compare(s.End, own.End) <= 0
	}
	for _, k := range p.ReadKeys {
		if !own.Contains(k) {
			return false
		}
	}
	for _, s := range p.ReadSpans {
		if !holds(s) {
			return false
		}
	}
	for i := range p.Mutations {
		switch m := &p.Mutations[i]; m.Op {
		case base.OpSetVersionstampedKey:
			if !holdsStamped(own, m.Key, &p.Txn) {
				return false
			}
		case base.OpClearRange, base.OpTouch:
			if !holds(base.Span{Start: m.Key, End: m.Value}) {
				return false
			}
		default:
			if !own.Contains(m.Key) {
				return false
			}
		}
	}
	return true
}

// holdsStamped reports whether a range holds what it was asked for of where a versionstamped
// key may land: all of it or, where the bounds of ranges lie in between, what names the range
// among the participants. Where one name stands for several ranges nobody can tell.
func holdsStamped(own base.Span, param []byte, t *prepared.Txn) (holds bool) {
	low, high, ok := prepared.Landing(param, t.Begin)
	if !ok || own.Contains(low) && own.Contains(high) {
		return true // or it is refused later, as what it is
	}
	landing := base.Span{Start: low, End: base.Next(high)}
	for _, s := range t.Participants {
		if !s.Overlaps(landing) || !s.Overlaps(own) {
			continue
		}
		if bytes.Compare(own.Start, s.Start) > 0 || bytes.Compare(s.End, own.End) > 0 {
			return false
		}
		holds = true
	}
	return holds
}

// Record writes the commit record of a transaction, or its tombstone, if there is
// neither yet (C2). It answers how the transaction ended: whoever won.
func (r *Replica) Record(rec *prepared.Record) (commit base.Stamp, t base.Ticket, err error) {
	fate, t, err := r.change(rec, rec.Anchor, func(table *prepared.Table) prepared.Answer { return table.CheckRecord(rec) })
	switch {
	case fate != nil:
		return fate.Commit, t, err
	case err != nil:
		return 0, t, err
	}
	return rec.Commit, t, nil
}

// Resolve ends a transaction in this range, and answers what the range holds. What
// the transaction wrote becomes visible with the stamp of its commit.
func (r *Replica) Resolve(res *prepared.Resolve) (held base.Span, t base.Ticket, err error) {
	_, t, err = r.change(res, nil, func(table *prepared.Table) prepared.Answer {
		held = r.mu.desc.Span
		return table.CheckResolve(res)
	})
	return held, t, err
}

// Retain moves the horizons of the range towards the given ones, as far as is safe.
func (r *Replica) Retain(want prepared.Retain) (base.Ticket, error) {
	moved := want
	_, t, err := r.change(&moved, nil, func(table *prepared.Table) prepared.Answer {
		next, ok := table.CheckRetain(want)
		if !ok {
			return prepared.Answer{Verdict: prepared.Done}
		}
		moved = next
		return prepared.Answer{Verdict: prepared.Accept}
	})
	return t, err
}

// change decides about a message and sequences it. key, if there is one, must lie in
// the range.
func (r *Replica) change(e prepared.Entry, key []byte, check func(*prepared.Table) prepared.Answer) (*prepared.Fate, base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	defer a.end()
	if err := a.admitEntry(0); err != nil {
		return nil, base.Ticket{}, err
	}
	if key != nil && !r.mu.desc.Span.Contains(key) {
		return nil, base.Ticket{}, base.ErrWrongRange
	}
	answer := check(r.mu.seq.Table())
	if answer.Verdict != prepared.Accept {
		a.note(answer.Pos)
		return answer.Fate, a.Abort(), answer.Err
	}
	t, err := a.sequenceEntry(e)
	return nil, t, err
}

// Fate tells, at the anchor, which owns t.Anchor, how a transaction ended.
func (r *Replica) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, base.Ticket, error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	defer a.end()
	if err := a.enterHolding(); err != nil {
		return 0, 0, base.Ticket{}, err
	}
	if !r.mu.desc.Span.Contains(t.Anchor) {
		return 0, 0, base.Ticket{}, base.ErrWrongRange
	}
	status, fate := r.mu.seq.Table().Ask(t.ID, t.Begin)
	commit := base.Stamp(0)
	if fate != nil {
		commit = fate.Commit
		a.note(fate.Pos)
	}
	return status, commit, a.Abort(), nil
}

// Overdue lists the transactions that have been held here since before the stamp, and
// those that were decided here before it and are not known to be resolved everywhere.
// It is empty on a replica that does not lead.
func (r *Replica) Overdue(before base.Stamp) (list []*prepared.Txn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.tenure == nil {
		return nil
	}
	table := r.mu.seq.Table()
	for _, h := range table.HeldBefore(before) {
		list = append(list, &h.Txn)
	}
	for _, f := range table.OpenRecords() {
		if f.Begin < before && table.Held(f.ID) == nil {
			list = append(list, f.Open)
		}
	}
	return list
}

// Entangled reports whether the range knows of any transaction over several ranges.
func (r *Replica) Entangled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.mu.seq.Table().Blank()
}

// Await waits until what t covers is committed, in a manual replica by doing the
// loop's work.
func (r *Replica) Await(t base.Ticket) error { return r.await(t) }

// AwaitQuietly is Await for those who are in no hurry: what t covers is committed with
// whatever else there is, or with a tick.
func (r *Replica) AwaitQuietly(t base.Ticket) error {
	switch {
	case r.o.Pause != nil:
		return r.pauseUntil(t, false)
	case r.o.Manual:
		return r.await(t)
	}
	return t.WaitQuietly()
}

// Horizons are what has to be known of every range before records are forgotten (C3):
// what it holds, what it refuses for good, and the begin of the oldest transaction
// that is prepared in it, if one is.
func (r *Replica) Horizons() (span base.Span, refuse, oldest base.Stamp, t base.Ticket, err error) {
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	defer a.end()
	if err := a.enter(); err != nil {
		return span, 0, 0, base.Ticket{}, err
	}
	if r.withheldLocked() {
		return span, 0, 0, base.Ticket{}, base.ErrUnavailable // nobody is in a hurry
	}
	table := r.mu.seq.Table()
	if held := table.HeldBefore(^base.Stamp(0)); len(held) > 0 {
		oldest = held[0].Begin
		for _, h := range held {
			oldest = min(oldest, h.Begin)
		}
	}
	refuse, span = table.Retained().Refuse, r.mu.desc.Span
	a.note(r.mu.seq.Position())
	return span, refuse, oldest, a.Abort(), nil
}
