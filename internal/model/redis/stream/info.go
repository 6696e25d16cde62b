package stream

import (
	"bytes"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Info is what XINFO STREAM tells.
type Info struct {
	Len, Added              int64
	First, Last, MaxDeleted ID
	Groups                  int64
	// FirstItem and LastItem are there if Len is not 0, and not in a full one.
	FirstItem, LastItem Item

	// Items and AllGroups are those of a full one.
	Items     []Item
	AllGroups []GroupInfo
}

// Nodes is about how many nodes Redis would have.
func (i *Info) Nodes() int64 { return (i.Len + nodeEntries - 1) / nodeEntries }

// GroupInfo is what XINFO tells of a group.
type GroupInfo struct {
	Name               []byte
	Consumers, Pending int64
	Last               ID
	// Read is how many entries it has read and Lag how many are left; -1: nobody knows.
	Read, Lag int64

	// What follows is told of in full only.
	Entries      []Pending
	AllConsumers []ConsumerInfo
}

// ConsumerInfo is what XINFO tells of a consumer.
type ConsumerInfo struct {
	Name    []byte
	Pending int64
	// Seen and Active are in ms of the Unix epoch; Active is -1 before the first entry.
	Seen, Active int64

	// Entries is told of in full only.
	Entries []Pending
}

// openInfo is open for XINFO, which wants a stream.
func (s *stream) openInfo(t kv.Txn, db *redis.DB, key []byte) error {
	if err := s.read(t, db, key); err != nil {
		return err
	}
	if !s.Found {
		return redis.ErrNoSuchKey
	}
	return nil
}

func (s *stream) info() Info {
	return Info{Len: s.n, Added: s.added, First: s.first, Last: s.last, MaxDeleted: s.maxDeleted, Groups: int64(s.groups)}
}

// StreamInfo is XINFO STREAM.
func StreamInfo(t kv.Txn, db *redis.DB, key []byte) (i Info, err error) {
	var s stream
	if err := s.openInfo(t, db, key); err != nil {
		return i, err
	}
	i = s.info()
	if i.FirstItem, _, err = s.edge(false); err == nil {
		i.LastItem, _, err = s.edge(true)
	}
	return i, err
}

// FullInfo is XINFO STREAM FULL, up to count of all that is listed; 0 is all.
func FullInfo(t kv.Txn, db *redis.DB, key []byte, count int64) (i Info, err error) {
	var s stream
	if err := s.openInfo(t, db, key); err != nil {
		return i, err
	}
	i = s.info()
	if i.Items, err = s.items(ID{}, MaxID, false, count, nil); err != nil {
		return i, err
	}
	err = s.eachGroup(func(g *group) error {
		info := g.info()
		var err error
		if info.Entries, err = g.first(count); err != nil {
			return err
		}
		err = g.eachConsumer(func(c *consumer) error {
			x := c.info()
			x.Entries, err = c.first(count)
			info.AllConsumers = append(info.AllConsumers, x)
			return err
		})
		i.AllGroups = append(i.AllGroups, info)
		return err
	})
	return i, err
}

// first are up to count entries that are pending; 0 is all.
func (g *group) first(count int64) (all []Pending, err error) {
	err = g.eachPending(ID{}, MaxID, func(p pending) error {
		all = append(all, Pending{p.id, p.name, p.delivered, p.times})
		if count--; count == 0 {
			return errEnough
		}
		return nil
	})
	return all, err
}

func (c *consumer) first(count int64) (all []Pending, err error) {
	err = c.owned(ID{}, func(id ID) error {
		p, found, err := c.g.pendingAt(id)
		if err == nil && !found {
			err = redis.Corrupt("%v is at a consumer and not pending", id)
		}
		if err != nil {
			return err
		}
		all = append(all, Pending{p.id, p.name, p.delivered, p.times})
		if count--; count == 0 {
			return errEnough
		}
		return nil
	})
	return all, err
}

func (g *group) info() GroupInfo {
	i := GroupInfo{Name: bytes.Clone(g.name), Consumers: int64(g.consumers), Pending: g.pending, Last: g.last, Read: g.read, Lag: unknownRead}
	s := g.s
	switch read := s.distance(g.last); {
	case s.added == 0:
		i.Lag = 0
	case g.read != unknownRead && !s.holes(g.last):
		i.Lag = s.added - g.read
	case read != unknownRead:
		i.Lag = s.added - read
	}
	return i
}

func (c *consumer) info() ConsumerInfo {
	return ConsumerInfo{Name: bytes.Clone(c.name), Pending: c.pending, Seen: c.seen, Active: c.active}
}

// Groups is XINFO GROUPS.
func Groups(t kv.Txn, db *redis.DB, key []byte) (all []GroupInfo, err error) {
	var s stream
	if err := s.openInfo(t, db, key); err != nil {
		return nil, err
	}
	err = s.eachGroup(func(g *group) error {
		all = append(all, g.info())
		return nil
	})
	return all, err
}

// Consumers is XINFO CONSUMERS.
func Consumers(t kv.Txn, db *redis.DB, key, name []byte) (all []ConsumerInfo, err error) {
	var s stream
	if err := s.openInfo(t, db, key); err != nil {
		return nil, err
	}
	g, err := s.group(name)
	if err == nil && g == nil {
		err = noGroup(name, key)
	}
	if err != nil {
		return nil, err
	}
	err = g.eachConsumer(func(c *consumer) error {
		all = append(all, c.info())
		return nil
	})
	return all, err
}
