package eviction

import (
	"bytes"
	"cmp"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/event"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// Limit is what CONFIG says.
type Limit struct {
	Bytes   int64 // zero: none
	Policy  Policy
	Samples int
}

// places is from how many random places candidates are taken.
func (l *Limit) places() int {
	if l.Policy == AllKeysRandom || l.Policy == VolatileRandom {
		return 1
	}
	return max(l.Samples, 1)
}

// Options are what an Evictor works with.
type Options struct {
	DB    *kv.DB
	Model model.Options
	// Classes are those of the events that anybody may be told of.
	Classes func() model.EventClasses
	Broker  *pubsub.Broker
	Log     *slog.Logger
	Now     func() time.Time
	Limit   func() Limit
	Usage   *Usage
	// Evicted counts keys.
	Evicted *atomic.Int64
	// Idle reports whether it has nothing to do for now.
	Idle func() bool
	// Stopping ends it.
	Stopping <-chan struct{}
}

// Evictor evicts from all databases. Make one with New.
type Evictor struct {
	o      Options
	full   atomic.Bool
	behind atomic.Bool
	used   atomic.Int64
	took   time.Duration // the last measuring
	kvs    *kv.Session
	dbs    map[place]*database
	rnd    *rand.Rand
}

// New makes an evictor.
func New(o Options) *Evictor {
	return &Evictor{o: o, kvs: o.DB.NewSession(), dbs: map[place]*database{}, rnd: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

type place struct {
	namespace uint64
	db        uint8
}

// database is one that is evicted from.
type database struct {
	e     *Evictor
	kvs   *kv.Session
	db    *model.DB
	space pubsub.Space
	told  []pubsub.Message
	keys  int64
	mean  float64 // size of a key and its value
}

const (
	lookEvery = 100 * time.Millisecond
	// lookRest is how many times longer than the measuring the pause behind it is, unless
	// there was too much.
	lookRest = 20
	// behindShare is what part of the limit there may be too much before who writes waits.
	behindShare = 8
	// measuredKeys is of how many keys a look takes the size, measuredRows how many rows
	// of one at most, meanShare what such a look counts in the mean.
	measuredKeys = 32
	measuredRows = 1000
	meanShare    = 0.2
	// evictedKeys is how many keys go in one transaction, of so many from as many places as
	// the setting maxmemory-samples says.
	evictedKeys = 256
)

// Full reports whether commands that need room are to be refused: there is too much, and
// nothing that may go.
func (e *Evictor) Full() bool { return e.full.Load() }

// Behind reports whether commands that need room had better wait: there is far too much,
// and it is being evicted.
func (e *Evictor) Behind() bool { return e.behind.Load() }

// Used is about what keys and values take, as of the last look; zero without a limit.
func (e *Evictor) Used() int64 { return e.used.Load() }

// Run evicts until it is to stop.
func (e *Evictor) Run() {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-e.o.Stopping:
			return
		case <-timer.C:
		}
		before := e.o.Evicted.Load()
		if err := e.Look(); err != nil && !base.Retryable(err) {
			e.o.Log.Warn("evicting keys", slog.Any("error", err))
		}
		rest := lookRest * e.took
		if e.o.Evicted.Load() != before { // there may be too much again by now
			rest = 0
		}
		timer.Reset(max(lookEvery, rest))
	}
}

// Look evicts what is too much.
func (e *Evictor) Look() error {
	limit := e.o.Limit()
	defer e.behind.Store(false)
	if limit.Bytes == 0 || e.o.Idle() {
		e.full.Store(false)
		e.used.Store(0)
		return nil
	}
	began := time.Now()
	list, used, err := e.measure()
	if e.took = time.Since(began); err != nil {
		return err
	}
	fruitless := 0
	for used > limit.Bytes && limit.Policy != NoEviction && fruitless < len(list) && !e.o.Idle() {
		// The larger a database, the more of it goes.
		d := list[0]
		at := e.rnd.Int64N(max(used, 1))
		for _, x := range list {
			if d = x; at < x.size() {
				break
			}
			at -= x.size()
		}
		e.behind.Store(used-limit.Bytes > limit.Bytes/behindShare)
		freed, err := d.evict(limit, used-limit.Bytes)
		if err != nil {
			return err
		}
		if used -= freed; freed == 0 {
			fruitless++
		} else {
			fruitless = 0
		}
	}
	e.used.Store(used)
	e.full.Store(used > limit.Bytes)
	return nil
}

// measure looks at all databases.
func (e *Evictor) measure() (list []*database, used int64, err error) {
	var db *model.DB
	for {
		after := db
		if err = e.kvs.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
			db, err = model.NextDatabase(t.Snapshot(), after, e.o.Model)
			return err
		})); db == nil || err != nil {
			return list, used, err
		}
		p := place{uint64(db.Namespace()), db.Number()}
		d := e.dbs[p]
		if d == nil {
			d = &database{e: e, kvs: e.o.DB.NewSession(), space: pubsub.Space(db.Namespace())}
			d.db = db.WithEvents(d)
			e.dbs[p] = d
		}
		if err := d.measure(); err != nil {
			return nil, 0, err
		}
		list = append(list, d)
		used += d.size()
	}
}

func (d *database) size() int64 { return int64(float64(d.keys) * d.mean) }

func (d *database) measure() error {
	var sum, n int64
	err := d.kvs.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
		if d.keys, err = model.DBSize(t, d.db); err != nil {
			return err
		}
		list, err := model.Candidates(t, d.db, d.e.rnd, measuredKeys)
		sum, n = 0, int64(len(list))
		for _, c := range list {
			size, err := model.SizeOf(t, d.db, c.Key, measuredRows)
			if err != nil {
				return err
			}
			sum += size
		}
		return err
	}))
	if err != nil || n == 0 {
		return err
	}
	if mean := float64(sum) / float64(n); d.mean == 0 {
		d.mean = mean
	} else {
		d.mean += meanShare * (mean - d.mean)
	}
	return nil
}

// Event implements model.Events.
func (d *database) Event(db uint8, class model.EventClass, name string, key []byte) {
	d.told = event.Append(d.told, d.e.o.Classes(), d.space, db, class, name, key)
}

// evict deletes some keys, because there is too much, and reports what that frees.
func (d *database) evict(l Limit, excess int64) (freed int64, err error) {
	gone := int64(0)
	err = d.kvs.RunAndWait(kv.Func(func(t kv.Txn) error {
		d.told = nil
		var list []model.Candidate
		for range l.places() {
			some, err := model.Candidates(t, d.db, d.e.rnd, evictedKeys)
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		list = d.worst(list, l.Policy, min(evictedKeys, int(float64(excess)/max(d.mean, 1))+1))
		keys := make([][]byte, len(list))
		for i, c := range list {
			keys[i] = c.Key
		}
		gone, err = model.Evict(t, d.db, keys)
		return err
	}))
	if err != nil {
		return 0, err
	}
	d.keys -= gone
	d.e.o.Evicted.Add(gone)
	d.e.o.Broker.After(base.Ticket{}, d.told)
	return int64(float64(gone) * d.mean), nil
}

// worst are the candidates that go, at most n of them.
func (d *database) worst(list []model.Candidate, p Policy, n int) []model.Candidate {
	if p.Volatile() {
		list = slices.DeleteFunc(list, func(c model.Candidate) bool { return c.ExpireAt == 0 })
	}
	now := d.e.o.Now().Unix()
	cell := func(c model.Candidate) uint32 { return Cell(uint64(d.db.Namespace()), d.db.Number(), c.Key) }
	rank := func(model.Candidate) int64 { return 0 } // all of them go
	switch {
	case p.LRU():
		rank = func(c model.Candidate) int64 { return -d.e.o.Usage.Idle(cell(c), now) }
	case p.LFU():
		rank = func(c model.Candidate) int64 { return d.e.o.Usage.Freq(cell(c), now) }
	case p == VolatileTTL:
		rank = func(c model.Candidate) int64 { return c.ExpireAt }
	}
	slices.SortFunc(list, func(a, b model.Candidate) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), bytes.Compare(a.Key, b.Key))
	})
	list = slices.CompactFunc(list, func(a, b model.Candidate) bool { return bytes.Equal(a.Key, b.Key) })
	return list[:min(len(list), n)]
}
