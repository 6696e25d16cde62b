package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

func open(t *testing.T, fs vfs.FS, dir string) (*store.Store, *kv.DB) {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: dir, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return s, kv.New(kvrange.New(s), time.Now)
}

func set(t *testing.T, db *kv.DB, key, value string) {
	t.Helper()
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		tx.Set([]byte(key), []byte(value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, db *kv.DB, key string) (value string) {
	t.Helper()
	if _, err := db.Transact(context.Background(), func(tx kv.Txn) error {
		v, err := tx.Get([]byte(key))
		value = string(v)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestNewStoreSurvivesPowerLoss: the first acknowledged write of a store is there
// after everything that was not synced is lost, the directories' entries included.
func TestNewStoreSurvivesPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, db := open(t, fs, "a/b/data")
	set(t, db, "\x04k", "v")
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = open(t, after, "a/b/data")
	if v := get(t, db, "\x04k"); v != "v" {
		t.Errorf("k is %q", v)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCloseUnderReaders: whoever reads while the store closes gets an error, and
// nobody panics.
func TestCloseUnderReaders(t *testing.T) {
	s, db := open(t, vfs.NewMem(), "data")
	for i := range 100 {
		set(t, db, fmt.Sprintf("\x04%03d", i), "v")
	}
	reading, ended := make(chan struct{}), make(chan error)
	go func() {
		first := true
		for {
			_, err := db.NewSession().Run(kv.Func(func(tx kv.Txn) error {
				return tx.Scan(base.Span{Start: []byte{4}, End: []byte{5}}, kv.ScanOptions{}, func(_, _ []byte) bool { return true })
			}))
			if first {
				first = false
				close(reading)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	<-reading
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.IsAny(err, base.ErrUnavailable, base.ErrClosed) {
		t.Fatal(err)
	}
}

// TestDamagedEndIsRefusedUnchanged: a log that ends before what the state was built
// from is refused, and nothing on disk is changed by that.
func TestDamagedEndIsRefusedUnchanged(t *testing.T) {
	fs := vfs.NewMem()
	s, db := open(t, fs, "data")
	for i := range 20 {
		set(t, db, "\x04k", fmt.Sprint(i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := read(t, fs, "data")
	damaged := ""
	for name, b := range files {
		if strings.HasPrefix(name, "data/log/") && strings.HasSuffix(name, ".log") && bytes.Contains(b, []byte("\x04k")) {
			damaged = name
		}
	}
	end := len(bytes.TrimRight(files[damaged], "\x00"))
	clear(files[damaged][end/2 : end])
	f, err := fs.OpenReadWrite(damaged, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(files[damaged], 0)
	if err = errors.CombineErrors(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(store.Options{FS: fs, Dir: "data", SegmentBytes: 1 << 20, OnFatal: func(error) {}})
	if !errors.Is(err, base.ErrCorruption) {
		t.Fatalf("%v", err)
	}
	for name, b := range read(t, fs, "data") {
		if !bytes.Equal(b, files[name]) {
			t.Errorf("refusing has changed %s", name)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("refusing has removed %s", name)
	}
}

// read is every file below dir.
func read(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		path := fs.PathJoin(dir, n)
		st, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.IsDir() {
			maps.Copy(out, read(t, fs, path))
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err = errors.CombineErrors(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		out[path] = b
	}
	return out
}

// TestWindowsShareMemory: the windows of a store's ranges stay within its budget together,
// and what the budget says is what they hold.
func TestWindowsShareMemory(t *testing.T) {
	const limit = 1 << 20
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", SegmentBytes: 1 << 20, WindowAge: time.Hour,
		WindowBytes: limit, OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	db := kv.New(kvrange.New(s), time.Now)
	split(t, s, "\x04m", 2)
	value := strings.Repeat("v", 10_000)
	for i := range 400 {
		set(t, db, fmt.Sprintf("\x04%c-%d", "az"[i%2], i), value)
		// A writer waits above the limit; one write may be on its way there.
		if used := s.WindowBytes(); used > limit+1<<16 {
			t.Fatalf("after %d writes windows of %d bytes", i, used)
		}
	}
	var sum int64
	for id, r := range s.Stats().Ranges {
		if r.WindowBytes == 0 || r.WindowBytes > limit {
			t.Errorf("the window of range %d has %d bytes", id, r.WindowBytes)
		}
		sum += r.WindowBytes
	}
	if used := s.WindowBytes(); sum != used {
		t.Errorf("the budget says %d, the windows hold %d", used, sum)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if used := s.WindowBytes(); used != 0 {
		t.Errorf("a closed store uses %d", used)
	}
}

// TestFlushPays: nothing is flushed for a log that is long because of what is in the windows,
// which a flush would not free.
func TestFlushPays(t *testing.T) {
	s, db := manual(t, vfs.NewMem())
	write := writer(t, s, db)
	const writes, bytes = 10, 10_000
	for i := range writes {
		write("\x04k", strings.Repeat(fmt.Sprint(i), bytes)) // of which the state gets the last one
	}
	pays := func(when string, least int64, want bool) {
		t.Helper()
		if got, err := s.FlushPays(least); got != want || err != nil {
			t.Errorf("%s: that a flush pays is %t (%v)", when, got, err)
		}
	}
	pays("all is in the window", 1, false)
	if err := s.Replica(1).EvictAll(); err != nil {
		t.Fatal(err)
	}
	pays("all is evicted", writes*bytes, true)
	pays("the log is short", 2*writes*bytes, false)
	if err := s.Maintain(); err != nil {
		t.Fatal(err)
	}
	pays("all is flushed", writes*bytes, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
