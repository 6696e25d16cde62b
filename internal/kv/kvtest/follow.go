package kvtest

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// news is a follower that keeps what it is told.
type news struct {
	mu      sync.Mutex
	covered []base.Span
	heard   []string // keys of Redis; * is anything
	origins []uint64
}

func (n *news) Covered(piece base.Span) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.covered = append(n.covered, piece)
}

func (n *news) Lost(piece base.Span) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := slices.IndexFunc(n.covered, piece.Equal); at >= 0 {
		n.covered = slices.Delete(n.covered, at, at+1)
	}
	n.heard = append(n.heard, "lost")
}

func (n *news) Changed(list []base.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range list {
		key := []byte("*")
		if c.Key != nil {
			_, key, _ = keyspace.DecodeRedisHeader(c.Key)
		}
		n.heard, n.origins = append(n.heard, string(key)), append(n.origins, c.Origin)
	}
}

// covers reports whether all of span is covered.
func (n *news) covers(span base.Span) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortFunc(n.covered, func(a, b base.Span) int { return bytes.Compare(a.Start, b.Start) })
	end := span.Start
	for _, p := range n.covered {
		if bytes.Compare(p.Start, end) <= 0 && bytes.Compare(p.End, end) > 0 {
			end = p.End
		}
	}
	return bytes.Compare(end, span.End) >= 0
}

// hears fails unless n was told that, and nothing else, since it was asked before: at once
// where the engine works in this process.
func (n *news) hears(t *testing.T, db *kv.DB, want ...string) {
	t.Helper()
	until := time.Now().Add(time.Minute)
	for ; ; <-time.After(time.Millisecond) {
		n.mu.Lock()
		heard := slices.Clone(n.heard)
		if slices.Equal(heard, want) || db.Local() || time.Now().After(until) {
			n.heard = nil
			n.mu.Unlock()
			if !slices.Equal(heard, want) {
				t.Errorf("heard %q, want %q", heard, want)
			}
			return
		}
		n.mu.Unlock()
	}
}

// headerRow is the row of a Redis key's header in database 0 of a namespace.
func headerRow(ns keyspace.NamespaceID, slot uint16, name string) []byte {
	row := append(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, ns, 0), slot), keyspace.SlotKeys)
	return keyspace.AppendEscaped(append(row, "place"...), []byte(name))
}

// testFollow: who follows is told of the changes of Redis keys, by their headers, each once and
// in their order, and of nothing else.
func testFollow(t *testing.T, db *kv.DB) {
	const ns = 77
	span := base.PrefixSpan(keyspace.AppendModel(nil, ns, keyspace.ModelRedis))
	n := &news{}
	stop := db.Follow(span, n)
	stopped := false
	defer func() {
		if !stopped {
			stop()
		}
	}()
	for until := time.Now().Add(time.Minute); !n.covers(span); <-time.After(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("nobody tells of what is written")
		}
	}
	a, b := headerRow(ns, 1, "a"), headerRow(ns, 1, "b\x00")
	s := db.NewSession()
	write := func(fn func(tx kv.Txn)) {
		t.Helper()
		must(t, s.RunAndWait(kv.Func(func(tx kv.Txn) error {
			fn(tx)
			return nil
		})))
	}
	write(func(tx kv.Txn) { tx.Set(a, []byte("1")) })
	n.hears(t, db, "a")
	write(func(tx kv.Txn) {
		tx.Set(b, []byte("1"))
		tx.Set(append(slices.Clone(b), 1, 2), []byte("row"))
		tx.Set(headerRow(ns+1, 1, "another namespace"), []byte("1"))
	})
	n.hears(t, db, "b\x00")
	write(func(tx kv.Txn) {
		tx.Clear(a)
		tx.ClearRange(base.Span{Start: append(slices.Clone(b), 1), End: base.PrefixEnd(b)})
	})
	n.hears(t, db, "a")
	write(func(tx kv.Txn) { tx.ClearRange(base.PrefixSpan(b)) })
	n.hears(t, db, "b\x00")
	write(func(tx kv.Txn) {
		tx.ClearRange(base.PrefixSpan(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, ns, 0), 1)))
	})
	n.hears(t, db, "*")
	write(func(tx kv.Txn) {
		tx.AddWriteConflict(base.PrefixSpan(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, ns, 0), 1)))
	})
	n.hears(t, db, "*")
	if err := s.RunAndWait(kv.Func(func(tx kv.Txn) error {
		tx.Set(a, []byte("2"))
		return base.ErrKeyTooLarge
	})); err == nil {
		t.Fatal("a closure that failed")
	}
	s.Origin = 9
	write(func(tx kv.Txn) { tx.Set(a, []byte("3")) })
	n.hears(t, db, "a")
	n.mu.Lock()
	if last := n.origins[len(n.origins)-1]; last != 9 || n.origins[0] != 0 {
		t.Errorf("origins %d", n.origins)
	}
	n.mu.Unlock()
	stop()
	stopped = true
	write(func(tx kv.Txn) { tx.Set(a, []byte("4")) })
	n.hears(t, db)
}
