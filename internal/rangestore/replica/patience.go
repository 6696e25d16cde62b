package replica

import "github.com/stratadb/strata/internal/rangestore/prepared"

// Nobody is told of the resolve of a transaction that has committed, except its coordinator,
// which is in no hurry: as soon as the resolve is sequenced the locks are gone, and what the
// transaction wrote is there to be read. So a batch of nothing else stays open for whatever
// comes next, and is one batch less. It ends with a tick, or when somebody waits for it.

// patientLocked reports whether the open batch can wait.
func (r *Replica) patientLocked() bool {
	open, _ := r.mu.seq.Open()
	return open && uint64(r.mu.seq.Position()) == r.patient.Load() && !r.mu.seq.Full() && !r.mu.leaving
}

// dormantLocked reports whether the loop has to be woken for what is about to be sequenced.
func (r *Replica) dormantLocked() bool {
	open, _ := r.mu.seq.Open()
	return !open || r.patientLocked()
}

// canWait reports whether nobody is in a hurry about an entry. There must be ticks, so
// that it does not wait for ever. mu is held.
func (r *Replica) canWait(e prepared.Entry) bool {
	res, ok := e.(*prepared.Resolve)
	return ok && res.Commit != 0 && len(r.mu.watches.dirty) == 0 &&
		!r.solo.Load() && r.asleep.Load() == nil && (!r.o.Manual || r.o.Pause != nil)
}

// hurry ends the patience: somebody waits for what was sequenced.
func (r *Replica) hurry() {
	r.patient.Store(0)
	r.signal()
}

// press is hurry for who is about to wait, and may as well do the work.
func (r *Replica) press() {
	r.patient.Store(0)
	r.Kick()
}
