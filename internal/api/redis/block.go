package redis

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
)

// onWaiting are rows of package blocking as those of the door.
func onWaiting(family func() []blocking.Command) func() []Command {
	return func() []Command {
		return rowsOf(family(), func(c *Call) *blocking.Call {
			return &blocking.Call{Call: &c.Call, Client: waiter{c}, Lines: &c.s.srv.lines}
		})
	}
}

// waiter is a call that may have to wait.
type waiter struct{ c *Call }

var _ blocking.Client = waiter{}

// Within implements blocking.Client.
func (w waiter) Within() bool { return w.c.within() != nil }

// Transact implements blocking.Client.
func (w waiter) Transact(fn kv.Func) error {
	return w.c.Transact(func(t kv.Txn) error {
		w.c.DB = w.c.x.database(w.c.s)
		return fn(t)
	})
}

// Database implements blocking.Client.
func (w waiter) Database() *model.DB { return w.c.s.handle }

// Allowed implements blocking.Client.
func (w waiter) Allowed() error {
	s, cmd := w.c.s, w.c.cmd
	return s.refuse(cmd, s.allowed(cmd, w.c.Args), fromClient)
}

// Settle implements blocking.Client.
func (w waiter) Settle() (err error) {
	x := w.c.x
	for _, t := range x.tickets {
		if t.Wait() != nil {
			err = errors.Wrap(base.ErrUnavailable, "the leader has changed")
		}
	}
	clear(x.tickets)
	x.tickets = x.tickets[:0]
	return err
}

// Suspend implements blocking.Client.
func (w waiter) Suspend(unblock chan bool) (gone <-chan struct{}, resume func()) {
	s, x := w.c.s, w.c.x
	s.setBlocked(unblock)
	d := s.watchDisconnect()
	s.flush(x)
	x.mark = 0
	return d.ended, func() {
		d.stop()
		s.setBlocked(nil)
	}
}

// Waits implements blocking.Client.
func (w waiter) Waits() {
	s := w.c.s
	s.info.Lock()
	s.info.waits = true
	s.info.Unlock()
	s.srv.waiting.Add(1)
}

// End implements blocking.Client.
func (w waiter) End() { w.c.s.closing = true }

// Idle implements blocking.Client.
func (w waiter) Idle(wait func()) {
	began := w.c.s.srv.clock()
	wait()
	w.c.x.idle += w.c.s.srv.clock() - began
}

// setBlocked makes known how the session is unblocked; nil: it is not blocked.
func (s *session) setBlocked(unblock chan bool) {
	s.info.Lock()
	waited := s.info.waits
	s.info.unblock, s.info.waits = unblock, false
	s.info.Unlock()
	if waited {
		s.srv.waiting.Add(-1)
	}
}

// unblocks ends the wait of a session, if it waits and nobody has ended that yet.
func (s *session) unblocks(mistake bool) bool {
	s.info.Lock()
	defer s.info.Unlock()
	select {
	case s.info.unblock <- mistake: // nobody receives from nil
		return true
	default:
		return false
	}
}
