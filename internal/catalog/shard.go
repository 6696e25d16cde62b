package catalog

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// ShardKind says what a shard holds. The numbers are on disk.
type ShardKind byte

// Shard kinds.
const (
	// ShardRedis is a contiguous span of hash slots.
	ShardRedis ShardKind = 1
	// ShardBucket holds documents.
	ShardBucket ShardKind = 2
)

// String is the kind as operators write it.
func (k ShardKind) String() string {
	if k == ShardRedis {
		return "REDIS"
	}
	return "BUCKET"
}

// ParseShardKind reads a kind in any case.
func ParseShardKind(s string) (ShardKind, bool) {
	switch strings.ToUpper(s) {
	case "REDIS":
		return ShardRedis, true
	case "BUCKET":
		return ShardBucket, true
	}
	return 0, false
}

// ShardStatus says what clients may do with a shard.
type ShardStatus string

// Statuses.
const (
	ShardReadWrite  ShardStatus = "READWRITE"
	ShardReadOnly   ShardStatus = "READONLY"
	ShardInoperable ShardStatus = "INOPERABLE"
)

// ParseShardStatus reads a status in any case.
func ParseShardStatus(s string) (ShardStatus, bool) {
	st := ShardStatus(strings.ToUpper(s))
	return st, st == ShardReadWrite || st == ShardReadOnly || st == ShardInoperable
}

// Shard is a shard's row. A shard without one has its kind's defaults.
type Shard struct {
	// Primary is a member's id, empty if there is none.
	Primary  string      `json:"primary,omitempty"`
	Standbys []string    `json:"standbys,omitempty"`
	Status   ShardStatus `json:"status"`
	// Routed: an operator has chosen primary and standbys.
	Routed bool `json:"routed,omitempty"`
}

// ShardCounts says how many shards there are.
type ShardCounts struct{ Redis, Bucket int }

// Of is the number of shards of a kind.
func (c ShardCounts) Of(k ShardKind) int {
	if k == ShardRedis {
		return c.Redis
	}
	return c.Bucket
}

// DefaultShards is how many shards of each kind there are unless configured.
const DefaultShards = 16

// ShardOfSlot is the REDIS shard of a hash slot.
func (c ShardCounts) ShardOfSlot(slot uint16) int { return int(slot) * c.Redis / hashslot.Slots }

// ShardVersionKey is the row that every change of a status writes.
func ShardVersionKey() []byte { return []byte{keyspace.Sys, keyspace.SysShard, 0x00} }

func shardKey(k ShardKind, id int) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyspace.Sys, keyspace.SysShard, byte(k)}, uint16(id))
}

// ReadShard reads a shard's row. self is the member that has the REDIS shards
// nobody has routed: they work from the start.
func ReadShard(t kv.Reader, k ShardKind, id int, self string) (Shard, error) {
	value, err := t.Get(shardKey(k, id))
	if err != nil {
		return Shard{}, err
	}
	if value == nil {
		if k == ShardRedis {
			return Shard{Primary: self, Status: ShardReadWrite}, nil
		}
		return Shard{Status: ShardInoperable}, nil
	}
	var s Shard
	if err := json.Unmarshal(value, &s); err != nil {
		return Shard{}, corrupt("shard row %q: %v", value, err)
	}
	return s, nil
}

// WriteShard stores a shard's row.
func WriteShard(t kv.Txn, k ShardKind, id int, s Shard) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	old, err := ReadShard(t, k, id, "")
	if err != nil {
		return err
	}
	t.Set(shardKey(k, id), value)
	bumpShards(t)
	if k == ShardRedis && old.Status != s.Status {
		t.AddWriteConflict(allData()) // every fence (F1)
	}
	return nil
}

// ClearShards forgets all routes and statuses.
func ClearShards(t kv.Txn) {
	t.ClearRange(base.Span{Start: shardKey(ShardRedis, 0), End: []byte{keyspace.Sys, keyspace.SysShard + 1}})
	bumpShards(t)
	t.AddWriteConflict(allData())
}

func bumpShards(t kv.Txn) {
	t.Atomic(base.OpAdd, ShardVersionKey(), []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// ShardTable is a snapshot of the statuses of the REDIS shards.
type ShardTable struct {
	// Restricted is false when every shard is READWRITE.
	Restricted bool
	counts     ShardCounts
	status     []ShardStatus
	version    uint64
	watch      kv.Watch
	ticket     base.Ticket
}

// Guard is the watch in the first range that guards any write (S1, F4).
func (t *ShardTable) Guard() kv.Watch { return t.watch }

// Ticket is what must be committed before a refusal may be revealed.
func (t *ShardTable) Ticket() base.Ticket { return t.ticket }

// Status is the status of the shard that holds a slot, and its number.
func (t *ShardTable) Status(slot uint16) (ShardStatus, int) {
	id := t.counts.ShardOfSlot(slot)
	return t.status[id], id
}

// Worst is the first shard with the most restrictive status of all.
func (t *ShardTable) Worst() (ShardStatus, int) {
	for _, s := range []ShardStatus{ShardInoperable, ShardReadOnly} {
		if id := slices.Index(t.status, s); id >= 0 {
			return s, id
		}
	}
	return ShardReadWrite, 0
}

// Shards keeps a process's table up to date. It is safe for concurrent use.
type Shards struct {
	db     *kv.DB
	counts ShardCounts
	table  atomic.Pointer[ShardTable]
	mu     struct {
		sync.Mutex
		session *kv.Session
	}
}

// OpenShards reads the table. Counts of zero mean DefaultShards. The numbers of
// shards are fixed when they are opened for the first time, since a status
// belongs to a span of slots.
func OpenShards(db *kv.DB, counts ShardCounts) (*Shards, error) {
	for _, n := range []*int{&counts.Redis, &counts.Bucket} {
		if *n <= 0 || *n > hashslot.Slots {
			*n = DefaultShards
		}
	}
	s := &Shards{db: db}
	s.mu.session = db.NewSession()
	if err := s.mu.session.RunAndWait(kv.Func(func(t kv.Txn) error {
		s.counts = counts
		key := settingKey("shards")
		value, err := t.Get(key)
		if err != nil {
			return err
		}
		if value != nil {
			return json.Unmarshal(value, &s.counts)
		}
		if value, err = json.Marshal(counts); err == nil {
			t.Set(key, value)
		}
		return err
	})); err != nil {
		return nil, err
	}
	_, err := s.Refresh()
	return s, err
}

// Counts is how many shards there are.
func (s *Shards) Counts() ShardCounts { return s.counts }

// Table is the present table.
func (s *Shards) Table() *ShardTable { return s.table.Load() }

// Close gives the watch back.
func (s *Shards) Close() { s.Table().watch.Close() }

// Refresh reads the table again if it may have changed, and returns the present one.
func (s *Shards) Refresh() (*ShardTable, error) { return s.RefreshTo(0) }

// RefreshTo is Refresh for those who know that a version has been reached, be it that
// news of it is still on its way.
func (s *Shards) RefreshTo(version uint64) (*ShardTable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.table.Load()
	if old != nil {
		if dirty, _ := old.watch.Dirty(); !dirty && old.version >= version {
			return old, nil
		}
	}
	next := &ShardTable{counts: s.counts, watch: s.db.Watch(ShardVersionKey())}
	var err error
	next.ticket, err = s.mu.session.Run(kv.Func(func(t kv.Txn) (err error) {
		if next.version, err = readVersion(t, ShardVersionKey()); err != nil {
			return err
		}
		next.status, next.Restricted = next.status[:0], false
		for id := range s.counts.Redis {
			row, err := ReadShard(t, ShardRedis, id, "")
			if err != nil {
				return err
			}
			next.status = append(next.status, row.Status)
			next.Restricted = next.Restricted || row.Status != ShardReadWrite
		}
		return nil
	}))
	if err != nil {
		next.watch.Close()
		return old, err
	}
	s.table.Store(next)
	if old != nil {
		old.watch.Close()
	}
	return next, nil
}

// refreshPause is how long Watch waits after an error.
const refreshPause = 250 * time.Millisecond

// Watch refreshes the table whenever another process has changed it, until stop
// is closed. failed is told about errors.
func (s *Shards) Watch(stop <-chan struct{}, failed func(error)) {
	for {
		select {
		case <-stop:
			return
		case <-s.Table().watch.Changed():
		}
		if _, err := s.Refresh(); err != nil {
			failed(err)
			select {
			case <-stop:
				return
			case <-time.After(refreshPause):
			}
		}
	}
}
