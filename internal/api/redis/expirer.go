package redis

import (
	"log/slog"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Expirer deletes overdue keys and fields of one database, a bounded step at a
// time, so that it never keeps clients out for long.
type Expirer struct {
	kvs  *kv.Session
	db   *model.DB
	next uint16
}

// expireStepKeys bounds the keys that one step deletes.
const expireStepKeys = 64

// NewExpirer makes an expirer. It is used by one goroutine.
func NewExpirer(db *kv.DB, of *model.DB) *Expirer {
	return &Expirer{kvs: db.NewSession(), db: of}
}

// Step does one transaction. It waits for its commit, so that an overloaded
// range is not loaded further. more is false when the round over all slots is done.
func (e *Expirer) Step() (visited int, more bool, err error) {
	var res model.ExpireResult
	t, err := e.kvs.Run(kv.Func(func(t kv.Txn) (err error) {
		res, err = model.ExpireDue(t, e.db, model.SlotRange{First: e.next, Last: model.AllSlots.Last}, expireStepKeys)
		return err
	}))
	if werr := t.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return 0, false, err
	}
	e.next = 0
	if res.More {
		e.next = res.Next
	}
	return res.Visited, res.More, nil
}

// The pause between two rounds doubles while there is little to delete, because
// a round looks at every slot that is in use.
const (
	expireEveryMin = 100 * time.Millisecond
	expireEveryMax = 10 * time.Second
)

// expireInBackground deletes overdue keys of every namespace's databases.
func (s *Server) expireInBackground() {
	kvs := s.db.NewSession()
	pause := expireEveryMin
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-timer.C:
		}
		visited := 0
		for db := s.nextDatabase(kvs, nil); db != nil && !s.closing.Load(); db = s.nextDatabase(kvs, db) {
			visited += s.expireRound(NewExpirer(s.db, db))
		}
		pause = min(2*pause, expireEveryMax)
		if visited >= expireStepKeys {
			pause = expireEveryMin
		}
		timer.Reset(pause)
	}
}

// nextDatabase is the database behind after that has data, nil at the end of a round.
func (s *Server) nextDatabase(kvs *kv.Session, after *model.DB) (next *model.DB) {
	_, err := kvs.Run(kv.Func(func(t kv.Txn) (err error) {
		next, err = model.NextDatabase(t.Snapshot(), after, s.o.Model)
		return err
	}))
	if err != nil && !base.Retryable(err) {
		s.log.Warn("looking for databases with expired keys", slog.Any("error", err))
	}
	return next
}

// expireRound goes over all slots of a database once.
func (s *Server) expireRound(e *Expirer) (visited int) {
	for !s.closing.Load() {
		n, more, err := e.Step()
		visited += n
		s.stats.expired.Add(int64(n))
		if err != nil && !base.Retryable(err) {
			s.log.Warn("deleting expired keys", slog.Any("error", err))
		}
		if err != nil || !more {
			break
		}
	}
	return visited
}
