package prepared

import (
	"bytes"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Verdict says what becomes of a message.
type Verdict uint8

const (
	// Accept: log the entry; the answer waits for its own commit (C9).
	Accept Verdict = iota
	// Done: nothing to log. It has happened before, or somebody else has won:
	// Fate tells. The answer waits for the commit of Pos.
	Done
	// Wait: ask again when the Holders are gone.
	Wait
	// Refuse: Err says why. The answer waits for the commit of Pos.
	Refuse
)

// Answer is what the leader decides about a message.
type Answer struct {
	Verdict Verdict
	Pos     base.Position
	Holders []*Held // of Wait, oldest first
	Fate    *Fate   // the winner, where there is one
	Err     error   // of Refuse
}

// Why a message is refused.
var (
	// ErrOver: the transaction has ended here already (C3).
	ErrOver = errors.New("the transaction is over in this range")
	// ErrYounger: an older transaction holds a lock (C6). It may be run again.
	ErrYounger = errors.Wrap(base.ErrConflict, "an older transaction holds a lock")
	// ErrDiffers: the range holds another part of the transaction, because it
	// was split or merged meanwhile. It may be run again.
	ErrDiffers = errors.Wrap(base.ErrConflict, "the range holds another part of the transaction")
	// ErrNotHeld: the anchor does not hold the prepare and remembers no decision:
	// there never was one.
	ErrNotHeld = errors.New("the transaction is not prepared at its anchor")
	// ErrForgotten: the transaction began before the anchor's retention of
	// records. If somebody still holds its prepare, that is the alarm of C10:
	// stop and report, do not settle.
	ErrForgotten = errors.New("the transaction is older than the records that are kept")
)

// Versions is what a table has to know about the versions of its range.
type Versions interface {
	// Validate reports base.ErrConflict when anything in keys or spans has a
	// version that is newer than s or whose stamp is unknown, and base.ErrTooOld
	// when it cannot tell (C7, C12).
	Validate(s base.Stamp, keys [][]byte, spans []base.Span) error
}

// CheckPrepare decides about a prepare (C3, C4, C6).
func (t *Table) CheckPrepare(p *Prepare, v Versions) Answer {
	if h := t.held[p.ID]; h != nil {
		if bytes.Equal(h.Prepare.Append(nil), p.Append(nil)) {
			return Answer{Verdict: Done, Pos: h.Pos}
		}
		return Answer{Verdict: Refuse, Err: ErrDiffers}
	}
	if f := t.fates[p.ID]; f != nil && !t.Faults.LatePrepare {
		return Answer{Verdict: Refuse, Err: ErrOver, Fate: f, Pos: f.Pos}
	}
	if p.Begin < t.retain.Refuse && !t.Faults.LatePrepare {
		return Answer{Verdict: Refuse, Err: base.ErrTooOld}
	}
	if len(p.ReadKeys)+len(p.ReadSpans) > 0 {
		if err := v.Validate(p.ReadStamp, p.ReadKeys, p.ReadSpans); err != nil {
			return Answer{Verdict: Refuse, Err: err}
		}
	}
	holders := t.stops(p)
	for _, h := range holders {
		if compareAge(&p.Txn, &h.Txn) > 0 {
			return Answer{Verdict: Refuse, Err: ErrYounger}
		}
	}
	if len(holders) > 0 {
		return Answer{Verdict: Wait, Holders: holders}
	}
	return Answer{Verdict: Accept}
}

// CheckRecord decides about the commit record or the tombstone (C2).
func (t *Table) CheckRecord(r *Record) Answer {
	if f := t.fates[r.ID]; f != nil {
		return Answer{Verdict: Done, Pos: f.Pos, Fate: f}
	}
	switch {
	case r.Commit != 0 && t.Faults.RecordUnheld:
	case r.Begin < t.retain.Forget:
		return Answer{Verdict: Refuse, Err: ErrForgotten}
	case r.Commit != 0 && t.held[r.ID] == nil:
		return Answer{Verdict: Refuse, Err: ErrNotHeld}
	}
	return Answer{Verdict: Accept}
}

// CheckResolve decides about the end of a transaction in this range.
func (t *Table) CheckResolve(r *Resolve) Answer {
	f := t.fates[r.ID]
	switch {
	case f == nil:
		return Answer{Verdict: Accept}
	case f.Commit != r.Commit:
		return Answer{Verdict: Refuse, Pos: f.Pos, Fate: f,
			Err: errors.AssertionFailedf("transaction %s ended at %d, and is to end at %d", r.ID, f.Commit, r.Commit)}
	case t.held[r.ID] != nil:
		return Answer{Verdict: Accept}
	}
	return Answer{Verdict: Done, Pos: f.Pos, Fate: f}
}

// CheckSettled decides about the message that nobody holds the prepare any more.
func (t *Table) CheckSettled(s *Settled) Answer {
	f := t.fates[s.ID]
	if f == nil {
		return Answer{Verdict: Done}
	}
	if f.Open == nil {
		return Answer{Verdict: Done, Pos: f.Pos, Fate: f}
	}
	return Answer{Verdict: Accept}
}

// CheckRetain moves the horizons towards the given ones as far as is safe: never
// back, and Forget never past a transaction that is held here. ok is false when
// there is nothing to log.
func (t *Table) CheckRetain(want Retain) (r Retain, ok bool) {
	r.Refuse = max(want.Refuse, t.retain.Refuse)
	r.Forget = min(want.Forget, r.Refuse)
	for _, h := range t.held {
		r.Forget = min(r.Forget, h.Begin)
	}
	r.Forget = max(r.Forget, t.retain.Forget)
	return r, r != t.retain
}

// Status is what the anchor knows about a transaction.
type Status uint8

const (
	// Undecided: there is no record yet, and the commit stamp may have been
	// issued. Never pass: wait, or write the tombstone (C5, C10).
	Undecided Status = iota
	// Committed at the stamp of the fate.
	Committed
	// Aborted for good.
	Aborted
	// Forgotten: see ErrForgotten.
	Forgotten
)

// Ask tells, at the anchor, how the transaction ended that began at begin. It is
// a latest read: the answer waits for the commit of the fate's position.
func (t *Table) Ask(id TxnID, begin base.Stamp) (Status, *Fate) {
	switch f := t.fates[id]; {
	case f != nil && f.Commit != 0:
		return Committed, f
	case f != nil:
		return Aborted, f
	case begin < t.retain.Forget:
		return Forgotten, nil
	}
	return Undecided, nil
}
