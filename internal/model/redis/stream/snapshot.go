package stream

import (
	"bytes"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Snapshot is all of a stream, as DUMP and RESTORE have it.
type Snapshot struct {
	Items                   []Item
	First, Last, MaxDeleted ID
	Added                   int64
	Groups                  []GroupSnapshot
}

// GroupSnapshot is all of a group.
type GroupSnapshot struct {
	Name []byte
	Last ID
	// Read is how many entries it has read, -1 if nobody knows.
	Read      int64
	Pending   []Pending
	Consumers []ConsumerInfo
}

// SnapshotOf reads all of a stream.
func SnapshotOf(t kv.Txn, db *redis.DB, key []byte) (snap Snapshot, err error) {
	full, err := FullInfo(t, db, key, 0)
	if err != nil {
		return snap, err
	}
	snap = Snapshot{Items: full.Items, First: full.First, Last: full.Last, MaxDeleted: full.MaxDeleted, Added: full.Added}
	for _, g := range full.AllGroups {
		snap.Groups = append(snap.Groups, GroupSnapshot{g.Name, g.Last, g.Read, g.Entries, g.AllConsumers})
	}
	return snap, nil
}

// Valid reports whether a snapshot can be one of a stream: entries are in their order, names
// are different, and what is pending is so at one consumer.
func (snap *Snapshot) Valid() bool {
	for i := range snap.Items {
		if i > 0 && !snap.Items[i-1].ID.less(snap.Items[i].ID) || snap.Last.less(snap.Items[i].ID) || len(snap.Items[i].Fields)%2 != 0 || len(snap.Items[i].Fields) == 0 {
			return false
		}
	}
	groups := map[string]bool{}
	for i := range snap.Groups {
		g := &snap.Groups[i]
		if groups[string(g.Name)] || g.Read < unknownRead || !g.valid() {
			return false
		}
		groups[string(g.Name)] = true
	}
	return snap.Added >= 0
}

// Fits is the error of a snapshot with an entry that is too long.
func (snap *Snapshot) Fits() error {
	for i := range snap.Items {
		if stringsBytes(snap.Items[i].Fields) > redis.MaxFieldValueBytes {
			return ErrTooLarge
		}
	}
	return nil
}

// nameReserve is by how much a row's name is longer than that of a field.
const nameReserve = 2*4 + idBytes

// Names are those of groups and consumers, a little longer, since so much more is in the
// names of their rows.
func (snap *Snapshot) Names() (names [][]byte) {
	longer := func(name []byte) { names = append(names, append(bytes.Clone(name), make([]byte, nameReserve)...)) }
	for i := range snap.Groups {
		longer(snap.Groups[i].Name)
		for _, c := range snap.Groups[i].Consumers {
			longer(c.Name)
		}
	}
	return names
}

func (g *GroupSnapshot) valid() bool {
	names := map[string]bool{}
	for _, c := range g.Consumers {
		if names[string(c.Name)] {
			return false
		}
		names[string(c.Name)] = true
	}
	for i := range g.Pending {
		if i > 0 && !g.Pending[i-1].ID.less(g.Pending[i].ID) || !names[string(g.Pending[i].Consumer)] {
			return false
		}
	}
	return true
}

// Restore makes a key that is absent a stream. The snapshot is Valid and Fits.
func Restore(t kv.Txn, db *redis.DB, key []byte, snap *Snapshot) error {
	var s stream
	if err := s.open(t, db, key); err != nil {
		return err
	}
	for i := range snap.Items {
		size := stringsBytes(snap.Items[i].Fields)
		t.Set(s.entryRow(snap.Items[i].ID), appendStrings(t.Alloc(size)[:0], snap.Items[i].Fields))
	}
	s.n, s.last, s.maxDeleted, s.added = int64(len(snap.Items)), snap.Last, snap.MaxDeleted, snap.Added
	if s.n > 0 {
		s.first = snap.Items[0].ID
	}
	for i := range snap.Groups {
		if err := s.restoreGroup(&snap.Groups[i]); err != nil {
			return err
		}
	}
	s.save()
	return nil
}

func (s *stream) restoreGroup(x *GroupSnapshot) error {
	if s.nameTooLong(x.Name) {
		return redis.ErrKeyTooLong
	}
	g := &group{s: s, name: x.Name, number: s.nextGroup, last: x.Last, read: x.Read}
	s.nextGroup++
	s.groups++
	for _, c := range x.Consumers {
		made, _, err := g.makeConsumer(bytes.Clone(c.Name))
		if err != nil {
			return err
		}
		made.seen, made.active = c.Seen, c.Active
	}
	for _, p := range x.Pending {
		c, err := g.consumer(p.Consumer)
		if err != nil {
			return err
		}
		if err := g.put(&pending{id: p.ID, delivered: p.Delivered, times: p.Times}, c, nil); err != nil {
			return err
		}
	}
	for _, c := range g.loaded {
		c.save()
	}
	g.save()
	return nil
}
