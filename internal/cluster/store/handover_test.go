package store_test

import (
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// write sequences a write at the leader.
func (c *three) write(prompt bool) (base.Ticket, error) {
	a := c.leader.NewAttempt()
	a.Begin(0, replica.HoldNever)
	if prompt {
		a.Prompt()
	}
	r, err := a.Commit(&replica.Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("\x04k"), Value: []byte("v")}}})
	return r.Ticket, err
}

// TestHandover: what a leader has sequenced is committed before another one leads; who
// comes meanwhile waits, and has done nothing.
func TestHandover(t *testing.T) {
	c := startThree(t, false)
	c.asleep() // long after the others' start, so that they take part in elections
	closed, err := c.write(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.stores { // proposed, and on its way
		if err := s.Step(); err != nil {
			t.Fatal(err)
		}
	}
	open, err := c.write(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.leader.TransferLeader(2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.write(true); !errors.Is(err, base.ErrWouldWait) {
		t.Errorf("a write during the handover: %v", err)
	}
	c.settle()
	for _, ticket := range []base.Ticket{closed, open} {
		if !ticket.Done() {
			t.Error("a write was not committed before the handover")
		}
	}
	c.until("the other one leads", func() bool { return c.stores[1].Replica(1).Serving() && !c.leader.Serving() })
}

// TestHandoverToNobody: a leader that cannot go goes on.
func TestHandoverToNobody(t *testing.T) {
	c := startThree(t, false)
	c.mute = 2
	if err := c.leader.TransferLeader(2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.write(true); !errors.Is(err, base.ErrWouldWait) {
		t.Errorf("a write during the handover: %v", err)
	}
	c.until("it goes on", func() bool {
		ticket, err := c.write(true)
		c.settle()
		return err == nil && ticket.Done()
	})
}
