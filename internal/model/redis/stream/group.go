package stream

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/redis"
)

// The caller's errors about groups.
var (
	ErrBusyGroup = redis.NewError("BUSYGROUP Consumer Group name already exists")
	ErrNoStream  = redis.NewError("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM " +
		"option to create an empty stream automatically.")
)

// noGroup is the error of a group that is not there.
func noGroup(name, key []byte) error {
	return redis.NewError("NOGROUP No such consumer group '" + string(name) + "' for key name '" + string(key) + "'")
}

// unknownRead says that nobody knows how many entries a group has read.
const unknownRead = -1

const groupBytes = 4 + idBytes + 8 + 8 + 4 + 4 + 2*idBytes

// group is a group as one command sees it.
type group struct {
	s                       *stream
	name                    []byte
	number                  uint32
	last                    ID
	read                    int64
	pending                 int64
	consumers, nextConsumer uint32
	// low is the first that is pending, high is not before the last.
	low, high ID
	dirty     bool
	// loaded are the consumers that the command has looked at.
	loaded map[string]*consumer
}

func (s *stream) groupRow(name []byte) []byte {
	row := s.Part(s.t, redis.PartGroup, len(name))
	copy(row[len(row)-len(name):], name)
	return row
}

// nameTooLong reports whether a group's or a consumer's name exceeds what a row can have.
func (s *stream) nameTooLong(name []byte) bool {
	return len(s.Row)+1+4+4+idBytes+len(name) > limits.KeyBytes
}

// group looks a group up; nil if there is none.
func (s *stream) group(name []byte) (*group, error) {
	if !s.Found || s.groups == 0 || s.nameTooLong(name) {
		return nil, nil
	}
	raw, err := s.t.Snapshot().Get(s.groupRow(name))
	if err != nil || raw == nil {
		return nil, err
	}
	return s.decodeGroup(name, raw)
}

func (s *stream) decodeGroup(name, b []byte) (*group, error) {
	if len(b) != groupBytes {
		return nil, redis.Corrupt("group of %d bytes", len(b))
	}
	g := &group{s: s, name: name, number: binary.BigEndian.Uint32(b), last: getID(b[4:]), read: int64(binary.BigEndian.Uint64(b[20:])),
		pending: int64(binary.BigEndian.Uint64(b[28:])), consumers: binary.BigEndian.Uint32(b[36:]), nextConsumer: binary.BigEndian.Uint32(b[40:]),
		low: getID(b[44:]), high: getID(b[60:])}
	if g.pending < 0 || g.read < unknownRead || g.pending > 0 && g.high.less(g.low) {
		return nil, redis.Corrupt("group %q with %d pending", name, g.pending)
	}
	return g, nil
}

func (g *group) save() {
	b := g.s.t.Alloc(groupBytes)
	binary.BigEndian.PutUint32(b, g.number)
	g.last.put(b[4:])
	binary.BigEndian.PutUint64(b[20:], uint64(g.read))
	binary.BigEndian.PutUint64(b[28:], uint64(g.pending))
	binary.BigEndian.PutUint32(b[36:], g.consumers)
	binary.BigEndian.PutUint32(b[40:], g.nextConsumer)
	g.low.put(b[44:])
	g.high.put(b[60:])
	g.s.t.Set(g.s.groupRow(g.name), b)
}

// finish writes what a command has changed.
func (g *group) finish() {
	changed := g.dirty
	for _, c := range g.loaded {
		if c.dirty || c.seenOnly {
			c.save()
		}
		changed = changed || c.dirty
	}
	if changed {
		g.save()
		g.s.save()
	}
}

// eachGroup visits the groups by name.
func (s *stream) eachGroup(visit func(g *group) error) error {
	groups := base.Span{Start: s.Part(s.t, redis.PartGroup, 0), End: s.Part(s.t, redis.PartGroup+1, 0)}
	return s.visitNames(groups, func(name, value []byte) error {
		g, err := s.decodeGroup(name, value)
		if err != nil {
			return err
		}
		return visit(g)
	})
}

const consumerBytes = 4 + 8 + 8 + 8

// consumer is one of a group's.
type consumer struct {
	g            *group
	name         []byte
	number       uint32
	seen, active int64 // ms of the Unix epoch; active is -1 before the first entry
	pending      int64
	dirty        bool
	seenOnly     bool // it was seen, and nothing else
}

func (g *group) consumerRow(name []byte) []byte {
	row := g.s.Part(g.s.t, redis.PartConsumer, 4+len(name))
	at := len(g.s.Row) + 1
	binary.BigEndian.PutUint32(row[at:], g.number)
	copy(row[at+4:], name)
	return row
}

// consumer looks a consumer up; nil if there is none.
func (g *group) consumer(name []byte) (*consumer, error) {
	if c := g.loaded[string(name)]; c != nil {
		return c, nil
	}
	if g.s.nameTooLong(name) {
		return nil, nil
	}
	raw, err := g.s.t.Snapshot().Get(g.consumerRow(name))
	if err != nil || raw == nil {
		return nil, err
	}
	c, err := g.decodeConsumer(name, raw)
	if err == nil {
		g.keep(c)
	}
	return c, err
}

func (g *group) keep(c *consumer) {
	if g.loaded == nil {
		g.loaded = map[string]*consumer{}
	}
	g.loaded[string(c.name)] = c
}

func (g *group) decodeConsumer(name, b []byte) (*consumer, error) {
	if len(b) != consumerBytes {
		return nil, redis.Corrupt("consumer of %d bytes", len(b))
	}
	return &consumer{g: g, name: name, number: binary.BigEndian.Uint32(b), seen: int64(binary.BigEndian.Uint64(b[4:])),
		active: int64(binary.BigEndian.Uint64(b[12:])), pending: int64(binary.BigEndian.Uint64(b[20:]))}, nil
}

func (c *consumer) save() {
	b := c.g.s.t.Alloc(consumerBytes)
	binary.BigEndian.PutUint32(b, c.number)
	binary.BigEndian.PutUint64(b[4:], uint64(c.seen))
	binary.BigEndian.PutUint64(b[12:], uint64(c.active))
	binary.BigEndian.PutUint64(b[20:], uint64(c.pending))
	c.g.s.t.Set(c.g.consumerRow(c.name), b)
}

// makeConsumer is consumer, which makes it if there is none.
func (g *group) makeConsumer(name []byte) (c *consumer, made bool, err error) {
	if g.s.nameTooLong(name) {
		return nil, false, redis.ErrKeyTooLong
	}
	if c, err = g.consumer(name); err != nil || c != nil {
		return c, false, err
	}
	c = &consumer{g: g, name: name, number: g.nextConsumer, seen: g.s.t.NowMillis(), active: -1, dirty: true}
	g.nextConsumer++
	g.consumers++
	g.dirty = true
	g.keep(c)
	g.s.Event(redis.EventStream, "xgroup-createconsumer")
	return c, true, nil
}

// see notes that a consumer has asked for something.
func (c *consumer) see() {
	if now := c.g.s.t.NowMillis(); now > c.seen {
		c.seen, c.seenOnly = now, true
	}
}

// eachConsumer visits the consumers by name.
func (g *group) eachConsumer(visit func(c *consumer) error) error {
	return g.s.visitNames(base.PrefixSpan(g.consumerRow(nil)), func(name, value []byte) error {
		c, err := g.decodeConsumer(name, value)
		if err != nil {
			return err
		}
		return visit(c)
	})
}

// GroupOptions are those of CreateGroup and SetGroup.
type GroupOptions struct {
	// Start is the text of the last ID that counts as delivered, $ for the stream's.
	Start []byte
	// Read is how many entries have been read; -1: nobody knows.
	Read int64
	// Make makes the stream if there is none.
	Make bool
}

// openGroup opens a stream with its group. It wants that there are both.
func (s *stream) openGroup(t kv.Txn, db *redis.DB, key, name []byte) (*group, error) {
	if err := s.open(t, db, key); err != nil {
		return nil, err
	}
	if !s.Found {
		return nil, ErrNoStream
	}
	g, err := s.group(name)
	if err == nil && g == nil {
		err = noGroup(name, key)
	}
	return g, err
}

// startOf reads where a group begins.
func (s *stream) startOf(text []byte, parse func(b []byte, seq uint64) (ID, error)) (ID, error) {
	if string(text) == "$" {
		return s.last, nil
	}
	return parse(text, 0)
}

// CreateGroup is XGROUP CREATE.
func CreateGroup(t kv.Txn, db *redis.DB, key, name []byte, o GroupOptions) error {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return err
	}
	if !s.Found && !o.Make {
		return ErrNoStream
	}
	start, err := s.startOf(o.Start, ParseID)
	if err != nil {
		return err
	}
	if s.nameTooLong(name) {
		return redis.ErrKeyTooLong
	}
	old, err := s.group(name)
	if err != nil {
		return err
	}
	if old != nil {
		return ErrBusyGroup
	}
	g := &group{s: &s, name: name, number: s.nextGroup, last: start, read: o.Read}
	s.nextGroup++
	s.groups++
	g.save()
	s.save()
	s.Event(redis.EventStream, "xgroup-create")
	return nil
}

// SetGroup is XGROUP SETID.
func SetGroup(t kv.Txn, db *redis.DB, key, name []byte, o GroupOptions) error {
	var s stream
	g, err := s.openGroup(t, db, key, name)
	if err != nil {
		return err
	}
	start, err := s.startOf(o.Start, ParseEnd)
	if err != nil {
		return err
	}
	g.last, g.read, g.dirty = start, o.Read, true
	g.finish()
	s.Event(redis.EventStream, "xgroup-setid")
	return nil
}

// DestroyGroup is XGROUP DESTROY: whether there was one.
func DestroyGroup(t kv.Txn, db *redis.DB, key, name []byte) (bool, error) {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return false, err
	}
	if !s.Found {
		return false, ErrNoStream
	}
	g, err := s.group(name)
	if err != nil || g == nil {
		return false, err
	}
	t.Clear(s.groupRow(name))
	t.ClearRange(base.PrefixSpan(g.consumerRow(nil)))
	t.ClearRange(base.PrefixSpan(g.numbered(redis.PartPending, 0)))
	t.ClearRange(base.PrefixSpan(g.numbered(redis.PartOwned, 0)))
	s.groups--
	s.save()
	s.Event(redis.EventStream, "xgroup-destroy")
	return true, nil
}

// CreateConsumer is XGROUP CREATECONSUMER: whether it is new.
func CreateConsumer(t kv.Txn, db *redis.DB, key, name, who []byte) (bool, error) {
	var s stream
	g, err := s.openGroup(t, db, key, name)
	if err != nil {
		return false, err
	}
	_, made, err := g.makeConsumer(who)
	if err == nil && made {
		g.finish()
	}
	return made, err
}

// DelConsumer is XGROUP DELCONSUMER: how many entries were pending at it.
func DelConsumer(t kv.Txn, db *redis.DB, key, name, who []byte) (pending int64, err error) {
	var s stream
	g, err := s.openGroup(t, db, key, name)
	if err != nil {
		return 0, err
	}
	c, err := g.consumer(who)
	if err != nil || c == nil {
		return 0, err
	}
	if err := c.owned(ID{}, func(id ID) error {
		t.Clear(g.pendingRow(id))
		return nil
	}); err != nil {
		return 0, err
	}
	pending = c.pending
	t.ClearRange(base.PrefixSpan(c.ownedRows()))
	t.Clear(g.consumerRow(who))
	delete(g.loaded, string(who))
	g.consumers--
	g.pending -= pending
	g.dirty = true
	if err := g.settle(); err != nil {
		return 0, err
	}
	g.finish()
	s.Event(redis.EventStream, "xgroup-delconsumer")
	return pending, nil
}
