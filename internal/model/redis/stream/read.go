package stream

import (
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Tail is where a stream ends.
type Tail struct {
	// Last is the last ID that it has given out, zero if there is no stream.
	Last ID
	// Entry is the last entry's.
	Entry ID
}

// TailOf is what XREAD's $ and + stand for.
func TailOf(t kv.Txn, db *redis.DB, key []byte) (tail Tail, err error) {
	var s stream
	if err := s.read(t, db, key); err != nil || !s.Found {
		return tail, err
	}
	x, _, err := s.edge(true)
	return Tail{s.last, x.ID}, err
}

// Read is XREAD of one stream: up to count entries behind an ID, 0 for all, are appended to
// dst.
func Read(t kv.Txn, db *redis.DB, key []byte, after ID, count int64, dst []Item) ([]Item, error) {
	var s stream
	if err := s.read(t, db, key); err != nil || !s.Found {
		return dst, err
	}
	from, some := after.Next()
	if !some {
		return dst, nil
	}
	return s.items(from, MaxID, false, count, dst)
}

// GroupRead is XREADGROUP of one stream.
type GroupRead struct {
	Group, Consumer []byte
	// New asks for entries that nobody has got, else those that are pending at the consumer
	// behind After are meant.
	New   bool
	After ID
	Count int64 // 0 is all
	// NoAck says that entries are not to be pending.
	NoAck bool
	// Waiting says that the command asks again: it changes nothing if there is nothing.
	Waiting bool
}

func missingAtRead(key, name []byte) error {
	return redis.NewError("NOGROUP No such key '" + string(key) + "' or consumer group '" + string(name) + "' in XREADGROUP with GROUP option")
}

// CheckGroup is the error that ReadGroup would have without a group.
func CheckGroup(t kv.Txn, db *redis.DB, key, name []byte) error {
	var s stream
	_, err := s.readGroup(t, db, key, name, missingAtRead)
	return err
}

// ReadGroup is XREADGROUP of one stream: entries are appended to dst.
func ReadGroup(t kv.Txn, db *redis.DB, key []byte, o GroupRead, dst []Item) ([]Item, error) {
	var s stream
	g, err := s.readGroup(t, db, key, o.Group, missingAtRead)
	if err != nil {
		return nil, err
	}
	before := len(dst)
	var c *consumer
	if !o.Waiting {
		if c, _, err = g.makeConsumer(o.Consumer); err != nil {
			return nil, err
		}
		c.see()
	}
	if o.New {
		if from, some := g.last.Next(); some {
			dst, err = s.items(from, MaxID, false, o.Count, dst)
		}
		if err != nil {
			return nil, err
		}
		if len(dst) > before && c == nil {
			if c, _, err = g.makeConsumer(o.Consumer); err != nil {
				return nil, err
			}
		}
		if len(dst) > before {
			err = g.deliver(c, dst[before:], !o.NoAck)
		}
	} else {
		dst, err = g.history(c, o.After, o.Count, dst)
	}
	if err != nil {
		return nil, err
	}
	g.finish()
	return dst, nil
}

// deliver gives new entries to a consumer.
func (g *group) deliver(c *consumer, items []Item, keep bool) error {
	s := g.s
	now := s.t.NowMillis()
	c.see()
	for i := range items {
		id := items[i].ID
		if g.read != unknownRead && !s.holes(id) {
			g.read++
		} else if s.added > 0 {
			g.read = s.distance(id)
		}
		g.last, g.dirty = id, true
		if !keep {
			continue
		}
		var old *pending
		p, found, err := g.pendingAt(id)
		if err != nil {
			return err
		}
		if found {
			was := p
			old = &was
		}
		if err := g.put(&pending{id: id, delivered: now, times: 1}, c, old); err != nil {
			return err
		}
		c.active, c.dirty = now, true
	}
	return nil
}

// history is what is pending at a consumer; it counts as delivered once more.
func (g *group) history(c *consumer, from ID, count int64, dst []Item) ([]Item, error) {
	now := g.s.t.NowMillis()
	var ids []ID
	next, some := from.Next()
	if !some {
		return dst, nil
	}
	if err := c.owned(next, func(id ID) error {
		ids = append(ids, id)
		if count--; count == 0 {
			return errEnough
		}
		return nil
	}); err != nil {
		return dst, err
	}
	for _, id := range ids {
		x, found, err := g.s.item(id)
		if err != nil {
			return nil, err
		}
		dst = append(dst, x)
		if !found {
			continue
		}
		p, found, err := g.pendingAt(id)
		if err == nil && !found {
			err = redis.Corrupt("%v is at a consumer and not pending", id)
		}
		if err != nil {
			return nil, err
		}
		old := p
		p.delivered = now
		p.times++
		if err := g.put(&p, c, &old); err != nil {
			return nil, err
		}
		g.dirty = true
	}
	return dst, nil
}

// holes reports whether an entry from an ID on may have been deleted.
func (s *stream) holes(from ID) bool {
	return s.n > 0 && s.maxDeleted != (ID{}) && !s.maxDeleted.less(s.first) && !s.maxDeleted.less(from)
}

// distance is how many entries had been added when the one with an ID had, unknownRead if
// that cannot be told.
func (s *stream) distance(id ID) int64 {
	switch {
	case s.added == 0:
		return 0
	case s.n == 0 && !s.last.less(id), id == s.last:
		return s.added
	case s.last.less(id):
		return unknownRead
	case s.maxDeleted == (ID{}) || s.maxDeleted.less(s.first):
		if id.less(s.first) {
			return s.added - s.n
		}
		if id == s.first {
			return s.added - s.n + 1
		}
	}
	return unknownRead
}
