package check

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

const dir = "data"

// damaged is a row that a test plants.
type damaged struct{ key, value []byte }

// crashed is what a machine leaves that fails under way: some keys are in the
// state, the others in the log only.
func crashed(t *testing.T, plant ...damaged) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	st, err := store.Open(store.Options{FS: mem, Dir: dir, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	db, err := redis.Open(7, 2, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := kv.New(kvrange.New(st), time.Now)
	for i := range 300 {
		if i == 150 {
			if err := st.Maintain(); err != nil {
				t.Fatal(err)
			}
		}
		run(t, data, func(tx kv.Txn) error {
			key := fmt.Appendf(nil, "key:%d", i)
			if i%3 == 0 {
				_, err := redis.HSet(tx, db, key, [][]byte{[]byte("field"), []byte("value")})
				return err
			}
			_, err := redis.Set(tx, db, key, bytes.Repeat([]byte("v"), i), redis.SetOptions{})
			return err
		})
		run(t, data, func(tx kv.Txn) error {
			tx.Set(fmt.Appendf(keyspace.AppendModel(nil, 9, keyspace.ModelZMap), "%d", i), []byte("z"))
			return nil
		})
	}
	for _, p := range plant {
		run(t, data, func(tx kv.Txn) error { tx.Set(p.key, p.value); return nil })
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 1))})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return after
}

func run(t *testing.T, db *kv.DB, fn kv.Func) {
	t.Helper()
	ticket, err := db.NewSession().Run(fn)
	if err == nil {
		err = ticket.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents is everything in the directory.
func contents(t *testing.T, fs vfs.FS, path string, into map[string]string) map[string]string {
	t.Helper()
	names, err := fs.List(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		full := fs.PathJoin(path, name)
		if info, err := fs.Stat(full); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			contents(t, fs, full, into)
			continue
		}
		f, err := fs.Open(full)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		into[full] = string(b)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return into
}

// check runs a check and makes sure that it changes nothing.
func check(t *testing.T, fs vfs.FS) Report {
	t.Helper()
	before := contents(t, fs, dir, map[string]string{})
	r, err := Run(Options{FS: fs, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	after := contents(t, fs, dir, map[string]string{})
	for name, b := range before {
		if after[name] != b {
			t.Errorf("the check has changed %s", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("the check has made or removed files: %d, then %d", len(before), len(after))
	}
	return r
}

func TestSound(t *testing.T) {
	r := check(t, crashed(t))
	if len(r.Problems) > 0 || len(r.Skipped) > 0 {
		t.Fatalf("%+v", r)
	}
	if len(r.Databases) != 1 || r.Databases[0].Keys != 300 || r.Databases[0].Namespace != 7 || r.Databases[0].Number != 2 ||
		r.ZMapKeys != 300 || r.Ranges != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestPlantedContradictions(t *testing.T) {
	foreign := []byte{keyspace.Data, 1, 7, 99}
	db, err := redis.Open(7, 2, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	header := db.AppendHeaderKey(nil, []byte("key:4"))
	r := check(t, crashed(t, damaged{foreign, []byte("x")}, damaged{append(header, "orphan"...), []byte("x")}))
	got := fmt.Sprint(r.Problems)
	for _, want := range []string{"belongs to no part", "orphan"} {
		if !strings.Contains(got, want) {
			t.Errorf("no problem says %q: %s", want, got)
		}
	}
}

// TestSwappedDatabases: a database is reported under the number that clients select.
func TestSwappedDatabases(t *testing.T) {
	prefix := []byte{keyspace.Sys, keyspace.SysRedisDatabase, keyspace.DatabasePhysical}
	numbers := []byte{0, 1, 5, 3, 4, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	r := check(t, crashed(t, damaged{keyspace.AppendOrdered(prefix, 7), numbers}))
	if len(r.Problems) > 0 || len(r.Databases) != 1 || r.Databases[0].Number != 5 || r.Databases[0].Keys != 300 {
		t.Fatalf("%+v", r)
	}
	numbers[0] = 1
	r = check(t, crashed(t, damaged{keyspace.AppendOrdered(prefix, 7), numbers}))
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Where, "/sys/redis-db/physical/7") {
		t.Fatalf("%+v", r)
	}
}

func TestFlippedByte(t *testing.T) {
	fs := crashed(t)
	flip(t, fs, dir+"/log/0000000000000001.log", 6000)
	r := check(t, fs)
	if len(r.Problems) != 1 || !strings.HasSuffix(r.Problems[0].Where, ".log") || len(r.Skipped) != 2 {
		t.Fatalf("%+v", r)
	}
	_, err := raftlog.Verify(fs, dir+"/log", nil)
	var damage *raftlog.CorruptionError
	if !errors.As(err, &damage) {
		t.Fatal(err)
	}
}

func flip(t *testing.T, fs vfs.FS, name string, off int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := errors.CombineErrors(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNotAStore(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(Options{FS: fs, Dir: dir}); !errors.Is(err, ErrNotAStore) {
		t.Fatal(err)
	}
	if names, err := fs.List(dir); err != nil || len(names) > 0 {
		t.Fatalf("%v, %v", names, err)
	}
}

func TestInUse(t *testing.T) {
	path := t.TempDir()
	st, err := store.Open(store.Options{FS: vfs.Default, Dir: path, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(Options{Dir: path}); err == nil {
		t.Error("the check ran beside the store")
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Run(Options{Dir: path}); err != nil || len(r.Problems) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestOverlay(t *testing.T) {
	mem := vfs.NewMem()
	for _, name := range []string{"a", "b"} {
		f, err := mem.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Repeat([]byte(name), 3*pageBytes+100)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o := newOverlay(mem)
	model := bytes.Repeat([]byte("a"), 3*pageBytes+100)
	f, err := o.OpenReadWrite("a", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, rnd.IntN(3*pageBytes))
		if rnd.IntN(2) == 0 {
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
		}
		off := rnd.IntN(5 * pageBytes)
		if _, err := f.WriteAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
		if end := off + len(b); end > len(model) {
			model = append(model, make([]byte, end-len(model))...)
		}
		copy(model[off:], b)
		got := make([]byte, len(model))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, model) {
			t.Fatalf("the overlay differs from its model, %v", err)
		}
	}
	if err := errors.CombineErrors(o.Rename("a", "c"), o.Remove("b")); err != nil {
		t.Fatal(err)
	}
	if names, err := o.List(""); err != nil || fmt.Sprint(names) != "[c]" {
		t.Fatal(names, err)
	}
	if names, err := mem.List(""); err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
}
