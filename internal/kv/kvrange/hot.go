package kvrange

import (
	"time"

	"github.com/stratadb/strata/internal/turn"
)

// Transactions of this node's clients on one key that another node leads would make each
// other fail again and again: each has read what the one before it has replaced. So those
// that have failed stand in a line of this node, by the first key that they touch, and as
// long as somebody does, so do those that come. It is a matter of speed only: nobody waits
// for longer than hotWait.

const hotWait = 100 * time.Millisecond

// hot are the lines.
type hot struct {
	turn.Lines
	patience time.Duration
}

// await takes a place in the line of a key and waits for its turn; nil if that does not come.
func (h *hot) await(key []byte) *turn.Place {
	p := h.Enter(key, 0)
	late := time.NewTimer(h.patience)
	defer late.Stop()
	select {
	case <-p.Turn():
		return p
	case <-late.C:
		p.Leave()
		return nil
	}
}

// queue stands in line for an attempt that begins on a key away from here, if it should.
func (m *several) queue(key []byte) {
	if m.place == nil && !m.o.Prompt && (m.o.Again || m.e.hot.Standing(key) > 0) {
		m.place = m.e.hot.await(key)
	}
}

// yield ends the attempt's turn.
func (m *several) yield() {
	if m.place != nil {
		m.place.Leave()
		m.place = nil
	}
}
