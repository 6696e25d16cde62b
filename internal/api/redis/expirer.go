package redis

import (
	"log/slog"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// Expirer deletes overdue keys and fields of one database, a bounded step at a
// time, so that it never keeps clients out for long. It looks for them on disk, so
// it comes some seconds after a key's time; who touches the key sees it gone at once.
type Expirer struct {
	kvs    *kv.Session
	stored kv.Reader
	db     *model.DB
	next   uint16
	told   *overdue // of what was deleted; nil for nobody
}

// expireStepKeys bounds the keys that one step deletes.
const expireStepKeys = 64

// NewExpirer makes an expirer. It is used by one goroutine.
func NewExpirer(db *kv.DB, of *model.DB) *Expirer {
	return &Expirer{kvs: db.NewSession(), stored: db.Stored(), db: of}
}

// Step does one transaction. It waits for its commit, so that an overloaded
// range is not loaded further. more is false when the round over all slots is done.
func (e *Expirer) Step(nowMillis int64) (visited int, more bool, err error) {
	due, err := model.FindDue(e.stored, e.db, model.SlotRange{First: e.next, Last: model.AllSlots.Last}, nowMillis, expireStepKeys)
	if err != nil {
		return 0, false, err
	}
	again := false
	if len(due.Keys) > 0 {
		if err := e.kvs.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
			if e.told != nil {
				e.told.list = nil
			}
			visited, again, err = model.ExpireKeys(t, e.db, due.Keys)
			return err
		})); err != nil {
			return 0, false, err
		}
		if e.told != nil && len(e.told.list) > 0 {
			e.told.srv.broker.After(base.Ticket{}, e.told.list)
		}
	}
	switch {
	case again: // the rest of the fields of a large hash
		return visited, true, nil
	case due.More:
		e.next = due.Next
		if visited == 0 && len(due.Keys) == expireStepKeys {
			e.next++ // only rows that are about to go: the next round comes here again
		}
	default:
		e.next = 0
	}
	return visited, due.More && e.next <= model.AllSlots.Last, nil
}

// The pause between two rounds doubles while there is little to delete, because
// a round looks at every slot that is in use, and takes its share of a processor.
const (
	expireEveryMin = 100 * time.Millisecond
	expireEveryMax = 10 * time.Second
	// expireRest is how many times longer than a round the pause behind it is.
	expireRest = 50
)

// expireInBackground deletes overdue keys of every namespace's databases.
func (s *Server) expireInBackground() {
	pause := expireEveryMin
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-timer.C:
		}
		visited, began := 0, time.Now()
		for db := s.nextDatabase(nil); db != nil && !s.closing.Load(); db = s.nextDatabase(db) {
			told := &overdue{srv: s, space: pubsub.Space(db.Namespace())}
			e := NewExpirer(s.db, db.WithEvents(told))
			e.told = told
			visited += s.expireRound(e)
		}
		pause = min(2*pause, expireEveryMax)
		rest := expireRest * time.Since(began)
		if visited >= expireStepKeys {
			pause, rest = expireEveryMin, 0
		}
		timer.Reset(max(pause, rest))
	}
}

// nextDatabase is the database behind after that has data, nil at the end of a round.
func (s *Server) nextDatabase(after *model.DB) *model.DB {
	next, err := model.NextDatabase(s.db.Stored(), after, s.o.Model)
	if err != nil {
		s.log.Warn("looking for databases with expired keys", slog.Any("error", err))
	}
	return next
}

// expireRound goes over all slots of a database once.
func (s *Server) expireRound(e *Expirer) (visited int) {
	for !s.closing.Load() {
		n, more, err := e.Step(s.now().UnixMilli())
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
