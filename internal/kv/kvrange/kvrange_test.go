package kvrange_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

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
