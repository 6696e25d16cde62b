package stream

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// pending is an entry that was delivered to a consumer and not acknowledged.
type pending struct {
	id        ID
	delivered int64 // ms of the Unix epoch
	times     int64
	number    uint32 // of the consumer
	name      []byte
}

const pendingFixed = 8 + 8 + 4

// numbered is the beginning of a group's rows in a part, with room for n bytes.
func (g *group) numbered(part byte, n int) []byte {
	row := g.s.Part(g.s.t, part, 4+n)
	binary.BigEndian.PutUint32(row[len(g.s.Row)+1:], g.number)
	return row
}

func (g *group) pendingRow(id ID) []byte {
	row := g.numbered(redis.PartPending, idBytes)
	id.put(row[len(row)-idBytes:])
	return row
}

func (g *group) ownedRow(number uint32, id ID) []byte {
	row := g.numbered(redis.PartOwned, 4+idBytes)
	binary.BigEndian.PutUint32(row[len(row)-idBytes-4:], number)
	id.put(row[len(row)-idBytes:])
	return row
}

// ownedRows is the beginning of the rows of what is pending at a consumer.
func (c *consumer) ownedRows() []byte {
	row := c.g.numbered(redis.PartOwned, 4)
	binary.BigEndian.PutUint32(row[len(row)-4:], c.number)
	return row
}

func decodePending(id ID, b []byte) (p pending, err error) {
	if len(b) < pendingFixed {
		return p, redis.Corrupt("pending entry of %d bytes", len(b))
	}
	return pending{id, int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint32(b[16:]), b[pendingFixed:]}, nil
}

// pendingAt looks for an entry that is pending.
func (g *group) pendingAt(id ID) (p pending, found bool, err error) {
	if g.pending == 0 || id.less(g.low) || g.high.less(id) {
		return p, false, nil
	}
	raw, err := g.s.t.Snapshot().Get(g.pendingRow(id))
	if err != nil || raw == nil {
		return p, false, err
	}
	p, err = decodePending(id, raw)
	return p, err == nil, err
}

// eachPending visits what is pending from one ID to another, both included.
func (g *group) eachPending(from, to ID, visit func(p pending) error) error {
	from, to, some := within(from, to, g.low, g.high)
	if g.pending == 0 || !some {
		return nil
	}
	return g.s.visitIDs(g.pendingRow(from), g.pendingRow(to), func(id ID, value []byte) error {
		p, err := decodePending(id, value)
		if err != nil {
			return err
		}
		return visit(p)
	})
}

// lastPending is the last entry that is pending.
func (g *group) lastPending() (last ID, err error) {
	err = g.s.scanIDs(g.pendingRow(g.low), g.pendingRow(g.high), kv.ScanOptions{Reverse: true, Limit: 1}, func(id ID, _ []byte) bool {
		last = id
		return false
	})
	return last, err
}

// owned visits the IDs of what is pending at a consumer, from an ID on.
func (c *consumer) owned(from ID, visit func(id ID) error) error {
	from, to, some := within(from, c.g.high, c.g.low, c.g.high)
	if c.pending == 0 || !some {
		return nil
	}
	return c.g.s.visitIDs(c.g.ownedRow(c.number, from), c.g.ownedRow(c.number, to), func(id ID, _ []byte) error { return visit(id) })
}

// put stores p, which is or becomes pending at c; old is what it was.
func (g *group) put(p *pending, c *consumer, old *pending) error {
	switch {
	case old == nil:
		if g.pending == 0 || p.id.less(g.low) {
			g.low = p.id
		}
		if g.pending == 0 || g.high.less(p.id) {
			g.high = p.id
		}
		g.pending++
		g.dirty = true
	case old.number != c.number:
		if err := g.leave(old); err != nil {
			return err
		}
	}
	if old == nil || old.number != c.number {
		c.pending++
		c.dirty = true
		g.s.t.Set(g.ownedRow(c.number, p.id), nil)
	}
	p.number, p.name = c.number, c.name
	b := g.s.t.Alloc(pendingFixed + len(p.name))
	binary.BigEndian.PutUint64(b, uint64(p.delivered))
	binary.BigEndian.PutUint64(b[8:], uint64(p.times))
	binary.BigEndian.PutUint32(b[16:], p.number)
	copy(b[pendingFixed:], p.name)
	g.s.t.Set(g.pendingRow(p.id), b)
	return nil
}

// leave takes an entry from the consumer at which it is pending.
func (g *group) leave(p *pending) error {
	c, err := g.consumer(p.name)
	switch {
	case err != nil:
		return err
	case c == nil || c.number != p.number:
		return redis.Corrupt("%v is pending at nobody", p.id)
	}
	c.pending--
	c.dirty = true
	g.s.t.Clear(g.ownedRow(p.number, p.id))
	return nil
}

// drop makes an entry one that is not pending.
func (g *group) drop(p *pending) error {
	if err := g.leave(p); err != nil {
		return err
	}
	g.s.t.Clear(g.pendingRow(p.id))
	g.pending--
	g.dirty = true
	return g.settle()
}

// settle finds the first entry that is pending, if that may have gone.
func (g *group) settle() error {
	if g.pending == 0 {
		g.low, g.high = ID{}, ID{}
		return nil
	}
	return g.eachPending(g.low, g.high, func(p pending) error {
		g.low = p.id
		return errEnough
	})
}

// HasGroup reports whether there is a group.
func HasGroup(t kv.Txn, db *redis.DB, key, name []byte) (bool, error) {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return false, err
	}
	g, err := s.group(name)
	return g != nil, err
}

// Ack is XACK: how many of the IDs were pending.
func Ack(t kv.Txn, db *redis.DB, key, name []byte, ids []ID) (n int64, err error) {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return 0, err
	}
	g, err := s.group(name)
	if err != nil || g == nil {
		return 0, err
	}
	for _, id := range ids {
		p, found, err := g.pendingAt(id)
		if err == nil && found {
			n++
			err = g.drop(&p)
		}
		if err != nil {
			return 0, err
		}
	}
	if n > 0 {
		g.finish()
	}
	return n, nil
}

// Pending is an entry that is pending.
type Pending struct {
	ID       ID
	Consumer []byte
	// Delivered is when it was delivered last, in ms of the Unix epoch, and Times how often.
	Delivered, Times int64
}

// PendingOptions say which entries PendingRange is for.
type PendingOptions struct {
	Start, End ID
	Count      int64
	// MinIdle is for how many ms they have been idle at least.
	MinIdle int64
	// Consumer is at whom they are pending; nil is anybody.
	Consumer []byte
}

// GroupMissing is the error of a command on a group that is not there.
type GroupMissing func(key, group []byte) error

// readGroup is openGroup for commands whose error about a missing group is their own.
func (s *stream) readGroup(t kv.Txn, db *redis.DB, key, name []byte, missing GroupMissing) (*group, error) {
	if err := s.open(t, db, key); err != nil {
		return nil, err
	}
	g, err := s.group(name)
	if err == nil && g == nil {
		err = missing(key, name)
	}
	return g, err
}

func missingAtPending(key, name []byte) error {
	return redis.NewError("NOGROUP No such key '" + string(key) + "' or consumer group '" + string(name) + "'")
}

// PendingRange is XPENDING with a range: entries are appended to dst.
func PendingRange(t kv.Txn, db *redis.DB, key, name []byte, o PendingOptions, dst []Pending) ([]Pending, error) {
	var s stream
	g, err := s.readGroup(t, db, key, name, missingAtPending)
	if err != nil || o.Count <= 0 {
		return dst, err
	}
	now := t.NowMillis()
	take := func(p pending) error {
		if now-p.delivered < o.MinIdle && o.MinIdle != 0 {
			return nil
		}
		dst = append(dst, Pending{p.id, p.name, p.delivered, p.times})
		if o.Count--; o.Count == 0 {
			return errEnough
		}
		return nil
	}
	if o.Consumer == nil {
		err = g.eachPending(o.Start, o.End, take)
		return dst, err
	}
	c, err := g.consumer(o.Consumer)
	if err != nil || c == nil {
		return dst, err
	}
	err = c.owned(o.Start, func(id ID) error {
		if o.End.less(id) {
			return errEnough
		}
		p, found, err := g.pendingAt(id)
		if err == nil && !found {
			err = redis.Corrupt("%v is at a consumer and not pending", id)
		}
		if err != nil {
			return err
		}
		return take(p)
	})
	return dst, err
}

// Summary is what is pending in a group.
type Summary struct {
	Count       int64
	First, Last ID
	// Consumers are those at whom something is pending.
	Consumers []ConsumerPending
}

// ConsumerPending is how much is pending at a consumer.
type ConsumerPending struct {
	Name  []byte
	Count int64
}

// PendingSummary is XPENDING without a range.
func PendingSummary(t kv.Txn, db *redis.DB, key, name []byte) (sum Summary, err error) {
	var s stream
	g, err := s.readGroup(t, db, key, name, missingAtPending)
	if err != nil || g.pending == 0 {
		return sum, err
	}
	sum.Count = g.pending
	if err := g.eachPending(ID{}, MaxID, func(p pending) error {
		sum.First = p.id
		return errEnough
	}); err != nil {
		return sum, err
	}
	if sum.Last, err = g.lastPending(); err != nil {
		return sum, err
	}
	err = g.eachConsumer(func(c *consumer) error {
		if c.pending > 0 {
			sum.Consumers = append(sum.Consumers, ConsumerPending{c.name, c.pending})
		}
		return nil
	})
	return sum, err
}
