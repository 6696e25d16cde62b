package replica

import (
	"encoding/binary"
	"sync"

	"go.etcd.io/raft/v3"

	"github.com/stratadb/strata/internal/base"
)

// confirmation is a read's proof of leadership (R2) where there is no lease: a
// quorum has acknowledged the leader after the read was made, and what it looked
// at is committed. It is a log of one position.
type confirmation struct {
	ten   *tenure
	pos   base.Position // that the read looked at
	asked uint64        // the first question that covers it
	mu    struct {
		sync.Mutex
		proven  bool // a quorum has answered
		done    bool
		err     error
		waiting []base.Waiter
	}
}

var _ base.Log = (*confirmation)(nil)

// confirmLocked asks for a proof. mu is held.
func (r *Replica) confirmLocked(ten *tenure, pos base.Position) base.Ticket {
	c := &confirmation{ten: ten, pos: pos}
	r.mu.unproven = append(r.mu.unproven, c)
	r.signal()
	return base.Ticket{Log: c, Pos: 1}
}

// Committed implements base.Log.
func (c *confirmation) Committed() base.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.done && c.mu.err == nil {
		return 1
	}
	return 0
}

// Kick implements base.Log.
func (c *confirmation) Kick() { c.ten.Kick() }

// Notify implements base.Log.
func (c *confirmation) Notify(_ base.Position, w base.Waiter) bool {
	c.mu.Lock()
	if !c.mu.done {
		c.mu.waiting = append(c.mu.waiting, w)
		c.mu.Unlock()
		return true
	}
	err := c.mu.err
	c.mu.Unlock()
	if err != nil {
		w.Committed(err)
	}
	return err != nil
}

// prove is called when a quorum has answered.
func (c *confirmation) prove() {
	if c.pos == 0 || !c.ten.Notify(c.pos, proven{c}) {
		c.end(nil)
	}
}

// proven waits for the position that a proven read looked at.
type proven struct{ c *confirmation }

func (p proven) Committed(err error) { p.c.end(err) }

func (c *confirmation) end(err error) {
	c.mu.Lock()
	c.mu.done, c.mu.err = true, err
	waiting := c.mu.waiting
	c.mu.waiting = nil
	c.mu.Unlock()
	for _, w := range waiting {
		w.Committed(err)
	}
}

// proofs is what the loop does about confirmations: one question to the quorum
// covers all that were made before it.
type proofs struct {
	asked  uint64 // number of the last question; no two are the same
	open   bool   // it has no answer yet
	ticks  int    // since it was asked
	covers []*confirmation
}

// ask asks the quorum for what is unproven, again when an answer is overdue.
func (r *Replica) ask() (worked bool) {
	p := &r.loop.proofs
	if r.loop.lead == nil || p.open && p.ticks < heartbeatTicks {
		return false
	}
	r.mu.Lock()
	for _, c := range r.mu.unproven {
		c.asked = p.asked + 1
		p.covers = append(p.covers, c)
	}
	r.mu.unproven = nil
	r.mu.Unlock()
	if len(p.covers) == 0 {
		return false
	}
	p.asked++
	p.open, p.ticks = true, 0
	r.loop.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, p.asked))
	return true
}

// answered takes the quorum's answers. One to an earlier question proves what that one
// covers: where the quorum is far away, it is asked again before it can answer.
func (r *Replica) answered(states []raft.ReadState) {
	p := &r.loop.proofs
	for _, s := range states {
		if len(s.RequestCtx) != 8 {
			continue
		}
		n := binary.BigEndian.Uint64(s.RequestCtx)
		if n == p.asked {
			p.open = false
		}
		covers := p.covers
		p.covers = nil
		for _, c := range covers {
			if c.asked <= n {
				c.prove()
			} else {
				p.covers = append(p.covers, c)
			}
		}
	}
}

// dropProofs tells who waits for a proof that there will be none.
func (r *Replica) dropProofs() {
	p := &r.loop.proofs
	r.mu.Lock()
	lost := append(p.covers, r.mu.unproven...)
	r.mu.unproven = nil
	r.mu.Unlock()
	p.covers, p.open = nil, false
	for _, c := range lost {
		c.end(base.ErrUnavailable)
	}
}
