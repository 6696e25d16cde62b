package redis

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// forgetful is an engine that commits, and then does not know whether it did.
type forgetful struct {
	kv.Engine
	before atomic.Pointer[func()] // called once, between the commit and its answer
}

func (e *forgetful) NewAttempt() kv.Attempt { return &forgetfulAttempt{e.Engine.NewAttempt(), e} }

type forgetfulAttempt struct {
	kv.Attempt
	e *forgetful
}

func (a *forgetfulAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	lost := a.e.before.Load()
	if lost == nil || len(req.Mutations) == 0 || !a.e.before.CompareAndSwap(lost, nil) {
		return a.Attempt.Commit(req)
	}
	r, err := a.Attempt.Commit(req)
	if err == nil {
		err = r.Ticket.Wait()
	}
	if err != nil {
		return r, err
	}
	(*lost)()
	return kv.Receipt{}, base.ErrUnknownOutcome
}

// TestUnknownOutcomeIsNotRepeated: a write whose outcome is unknown is not made again,
// also when what guarded it is over by then, as it is when both were with a leader that
// is gone.
func TestUnknownOutcomeIsNotRepeated(t *testing.T) {
	e := &forgetful{Engine: kvmem.New(stampNow)}
	s := start(t, Options{DB: kv.New(e, time.Now)})
	l := s.line(t)
	l.says("INCR counter", "1")
	over := func() {
		if err := kv.New(e.Engine, time.Now).NewSession().RunAndWait(kv.Func(func(tx kv.Txn) error {
			_, err := catalog.SwapDatabases(tx, catalog.DefaultID, 5, 6)
			return err
		})); err != nil {
			t.Error(err)
		}
	}
	e.before.Store(&over)
	l.script("INCR counter => UNKNOWN the outcome of a write is not known: it may or may not have happened")
	s.line(t).says("GET counter", "2")
}
