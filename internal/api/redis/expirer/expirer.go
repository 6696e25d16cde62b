// Package expirer deletes what is overdue of every database, in the background.
package expirer

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/event"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// Options are what an Expirer works with.
type Options struct {
	DB    *kv.DB
	Model model.Options
	// Classes are those of the events that anybody may be told of.
	Classes func() model.EventClasses
	Broker  *pubsub.Broker
	Log     *slog.Logger
	Now     func() time.Time
	// Expired counts what was deleted.
	Expired *atomic.Int64
	// Idle reports whether it has nothing to do for now.
	Idle func() bool
	// Stopping ends it.
	Stopping <-chan struct{}
}

// database is one whose overdue keys and fields are deleted, a bounded step at a
// time, so that nobody is kept out for long. They are looked for on disk, so
// it comes some seconds after a key's time; who touches the key sees it gone at once.
type database struct {
	o      *Options
	kvs    *kv.Session
	stored kv.Reader
	db     *model.DB
	next   uint16
	space  pubsub.Space
	told   []pubsub.Message // of what was deleted
}

// expireStepKeys bounds the keys that one step deletes.
const expireStepKeys = 64

// Event implements model.Events.
func (d *database) Event(db uint8, class model.EventClass, name string, key []byte) {
	d.told = event.Append(d.told, d.o.Classes(), d.space, db, class, name, key)
}

// step does one transaction. It waits for its commit, so that an overloaded
// range is not loaded further. more is false when the round over all slots is done.
func (d *database) step(nowMillis int64) (visited int, more bool, err error) {
	due, err := model.FindDue(d.stored, d.db, model.SlotRange{First: d.next, Last: model.AllSlots.Last}, nowMillis, expireStepKeys)
	if err != nil {
		return 0, false, err
	}
	again := false
	if len(due.Keys) > 0 {
		if err := d.kvs.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
			d.told = nil
			visited, again, err = model.ExpireKeys(t, d.db, due.Keys)
			return err
		})); err != nil {
			return 0, false, err
		}
		d.o.Broker.After(base.Ticket{}, d.told)
	}
	switch {
	case again: // the rest of the fields of a large hash
		return visited, true, nil
	case due.More:
		d.next = due.Next
		if visited == 0 && len(due.Keys) == expireStepKeys {
			d.next++ // only rows that are about to go: the next round comes here again
		}
	default:
		d.next = 0
	}
	return visited, due.More && d.next <= model.AllSlots.Last, nil
}

// The pause between two rounds doubles while there is little to delete, because
// a round looks at every slot that is in use, and takes its share of a processor.
const (
	expireEveryMin = 100 * time.Millisecond
	expireEveryMax = 10 * time.Second
	// expireRest is how many times longer than a round the pause behind it is.
	expireRest = 50
)

// Run deletes overdue keys of every namespace's databases, until it is to stop.
func (o *Options) Run() {
	pause := expireEveryMin
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-o.Stopping:
			return
		case <-timer.C:
		}
		visited, began := 0, time.Now()
		for db := o.next(nil); db != nil && !o.Idle(); db = o.next(db) {
			d := &database{o: o, kvs: o.DB.NewSession(), stored: o.DB.Stored(), space: pubsub.Space(db.Namespace())}
			d.db = db.WithEvents(d)
			visited += d.round()
		}
		pause = min(2*pause, expireEveryMax)
		rest := expireRest * time.Since(began)
		if visited >= expireStepKeys {
			pause, rest = expireEveryMin, 0
		}
		timer.Reset(max(pause, rest))
	}
}

// next is the database behind after that has data, nil at the end of a round.
func (o *Options) next(after *model.DB) *model.DB {
	next, err := model.NextDatabase(o.DB.Stored(), after, o.Model)
	if err != nil {
		o.Log.Warn("looking for databases with expired keys", slog.Any("error", err))
	}
	return next
}

// round goes over all slots once.
func (d *database) round() (visited int) {
	for !d.o.Idle() {
		n, more, err := d.step(d.o.Now().UnixMilli())
		visited += n
		d.o.Expired.Add(int64(n))
		if err != nil && !base.Retryable(err) {
			d.o.Log.Warn("deleting expired keys", slog.Any("error", err))
		}
		if err != nil || !more {
			break
		}
	}
	return visited
}
