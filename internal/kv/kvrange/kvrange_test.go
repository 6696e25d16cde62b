package kvrange_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/kv/kvtest"
)

func openBench(b *testing.B) *store.Store {
	s, err := store.Open(store.Options{FS: vfs.Default, Dir: b.TempDir(), OnFatal: func(err error) { b.Errorf("fatal: %+v", err) }})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func open(t *testing.T, fs vfs.FS, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: dir, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Engine {
		s := open(t, vfs.NewMem(), "data")
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return kvrange.New(s)
	})
}

// TestPromptScan: who keeps others waiting does not put much of the window in order, with
// one range either; where that is done it reads.
func TestPromptScan(t *testing.T) {
	const many = 30_000
	s := open(t, vfs.NewMem(), "data")
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	db := kv.New(kvrange.New(s), time.Now)
	session := db.NewSession()
	for i := 0; i < many; i += 1000 {
		if err := session.RunAndWait(kv.Func(func(tx kv.Txn) error {
			for j := i; j < i+1000; j++ {
				tx.Set(fmt.Appendf(nil, "\x04together%06d", j), []byte("v"))
			}
			tx.Set(fmt.Appendf(nil, "\x04%07d", i), []byte("v"))
			return nil
		})); err != nil {
			t.Fatal(err)
		}
	}
	look := func(prompt bool, from, to string) (n int, err error) {
		session.Prompt = prompt
		err = session.RunAndWait(kv.Func(func(tx kv.Txn) error {
			n = 0
			return tx.Scan(base.Span{Start: []byte(from), End: []byte(to)}, kv.ScanOptions{}, func([]byte, []byte) bool {
				n++
				return true
			})
		}))
		return n, err
	}
	for range 3 { // it does not do it in pieces, either
		if n, err := look(true, "\x04together", "\x04togethes"); !errors.Is(err, base.ErrWouldWait) {
			t.Fatalf("%d keys, %v", n, err)
		}
		if n, err := look(true, "\x040", "\x041"); err != nil && !errors.Is(err, base.ErrWouldWait) || err == nil && n != many/1000 {
			t.Errorf("beside them: %d keys, %v", n, err)
		}
	}
	for _, prompt := range []bool{false, true} {
		if n, err := look(prompt, "\x04together", "\x04togethes"); err != nil || n != many {
			t.Errorf("prompt %t: %d keys, %v", prompt, n, err)
		}
	}
}
