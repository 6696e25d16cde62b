package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestRows counts what commands write: the shape that makes them cheap.
func TestRows(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	for _, c := range []struct {
		command string
		writes  int // mutations
		rows    int // afterwards
	}{
		{"SET k v", 2, 2}, // header, counters
		{"SET k w", 1, 2},
		{"INCR n", 2, 4},
		{"INCR n", 1, 4},
		{"GET k", 0, 4},
		{"SET k v EX 10", 3, 5}, // header, TTL row, counters
		{"SET k v EX 10", 1, 5}, // the same millisecond
		{"SET k v EX 11", 3, 5}, // header, two TTL rows
		{"SET k v", 3, 4},
		{"HSET h f v g w", 2, 6},
		{"HSET h f x", 1, 6},
		{"HINCRBY h n 1", 1, 6},
		{"HDEL h f g n", 3, 4}, // header, counters, their end
		{"DEL k n", 6, 0},
		{"SET big x*70000", 7, 7}, // five pieces
		{"SETRANGE big 69999 yy", 2, 7},
		{"APPEND big z", 2, 7},
		{"SET big v", 2, 2}, // one range
		{"SET k x*60000", 2, 4},
		{"APPEND k x", 7, 8}, // four pieces, the last one and the header twice
		{"DEL k", 3, 2},
	} {
		w.Do(redistest.Words(t, c.command)...)
		if w.Last.Writes != c.writes {
			t.Errorf("%s: %d writes, want %d", c.command, w.Last.Writes, c.writes)
		}
		if n := w.Rows(); n != c.rows {
			t.Errorf("%s: %d rows, want %d", c.command, n, c.rows)
		}
		w.Check()
	}
}

// TestLongString builds the longest string and reads its ends: it is sparse.
func TestLongString(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	if got := w.Do("SETRANGE", "s", "536870911", "x"); got != "(integer) 536870912" {
		t.Fatal(got)
	}
	if n := w.Rows(); n != 3 {
		t.Errorf("%d rows", n)
	}
	if got := w.Do("GETRANGE", "s", "-3", "-1"); got != `"\x00\x00x"` {
		t.Error(got)
	}
	if got := w.Do("APPEND", "s", "y"); got != "(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)" {
		t.Error(got)
	}
	if got := w.Do("GETRANGE", "s", "16383", "16385"); got != `"\x00\x00\x00"` {
		t.Error(got)
	}
	w.Check()
}

// TestStringAgainstBytes writes at random offsets.
func TestStringAgainstBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w := redistest.NewWorld(t, redis.Options{StringInlineBytes: 32, StringGrowBytes: 16, PieceBytes: 7})
	var want []byte
	for range 500 {
		offset, data := r.IntN(200), []byte(strings.Repeat("abc", r.IntN(12)))
		if need := offset + len(data); len(data) > 0 && need > len(want) {
			want = append(want, make([]byte, need-len(want))...)
		}
		if len(data) > 0 {
			copy(want[offset:], data)
		}
		w.Do("SETRANGE", "s", fmt.Sprint(offset), string(data))
		from, to := r.IntN(220), r.IntN(220)
		part := []byte{}
		if from <= to && from < len(want) {
			part = want[from:min(to+1, len(want))]
		}
		if got := w.Do("GETRANGE", "s", fmt.Sprint(from), fmt.Sprint(to)); got != redistest.Quote(part) {
			t.Fatalf("%d..%d: %s, want %q", from, to, got, part)
		}
		if got := w.Do("GET", "s"); len(want) > 0 && got != redistest.Quote(want) {
			t.Fatalf("%s, want %q", got, want)
		}
	}
	w.Check()
}

// TestScanReturnsWhatStays scans while other keys come and go, in one slot and
// in many, a new transaction for each step.
func TestScanReturnsWhatStays(t *testing.T) {
	for _, tag := range []string{"", "{t}"} {
		w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1})
		r := rand.New(rand.NewPCG(7, 8))
		stay := map[string]int{}
		for i := range 300 {
			k := fmt.Sprintf("%sstay%d", tag, i)
			stay[k] = 0
			if i%3 == 0 {
				w.Do("HSET", k, "a", "1", "b", "2") // rows behind the header
			} else {
				w.Do("SET", k, "v")
			}
		}
		steps := 0
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var keys [][]byte
			w.Must(func(t kv.Txn) (err error) {
				var next uint64
				next, keys, err = redis.Scan(t, w.At, cursor, redis.ScanOptions{Count: 7}, nil)
				cursor = next
				return err
			})
			if steps++; len(keys) > 10 {
				t.Errorf("%d keys in one step", len(keys))
			}
			for _, k := range keys {
				stay[string(k)]++
			}
			other := fmt.Sprintf("%sgo%d", tag, r.IntN(50))
			w.Do("SET", other, "v")
			w.Do("DEL", fmt.Sprintf("%sgo%d", tag, r.IntN(50)))
		}
		for k, n := range stay {
			if strings.Contains(k, "stay") && n != 1 {
				t.Errorf("%s came %d times", k, n)
			}
		}
		if steps < 40 {
			t.Errorf("%d steps", steps)
		}
	}
}

func TestHScanPages(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1})
	for i := range 200 {
		w.Do("HSET", "h", fmt.Sprint("f", i), "v")
	}
	seen := map[string]bool{}
	for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
		w.Must(func(t kv.Txn) error {
			next, fs, err := redis.HScan(t, w.At, []byte("h"), cursor, redis.ScanOptions{}, nil)
			if len(fs) > 12 {
				w.TB.Errorf("%d fields in one step", len(fs))
			}
			for _, f := range fs {
				seen[string(f.Field)] = true
			}
			cursor = next
			return err
		})
		w.Do("HSET", "h", fmt.Sprint("new", cursor), "v")
	}
	for i := range 200 {
		if !seen[fmt.Sprint("f", i)] {
			t.Errorf("f%d is missing", i)
		}
	}
}

// TestScanCursors gives SCAN cursors that no step returned.
func TestScanCursors(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1})
	w.Do("MSET", "a", "1", "b", "2")
	w.Do("HSET", "h", "f", "v", "g", "w")
	for _, c := range []uint64{1, 1 << 39, 1<<53 - 1, 1 << 53, 1<<64 - 1} {
		w.Must(func(t kv.Txn) error {
			if _, _, err := redis.Scan(t, w.At, c, redis.ScanOptions{}, nil); err != nil {
				return err
			}
			_, _, err := redis.HScan(t, w.At, []byte("h"), c, redis.ScanOptions{}, nil)
			return err
		})
	}
}

func TestRandomChoices(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 8})
	if w.Do("RANDOMKEY") != "(nil)" {
		t.Error("a key of an empty database")
	}
	w.Do("MSET", "a", "1", "b", "2", "c", "3")
	seen := map[string]int{}
	for range 300 {
		seen[w.Do("RANDOMKEY")]++
	}
	if len(seen) != 3 || seen[`"a"`] < 50 {
		t.Errorf("%v", seen)
	}
	args := []string{"HSET", "h"}
	for i := range 2 * redis.ExactSampleFields {
		args = append(args, fmt.Sprint(i), "v")
	}
	w.Do(args...)
	for _, count := range []int64{1, 50, 500, 5000, -50, -5000} {
		w.Must(func(t kv.Txn) error {
			fs, err := redis.HRandField(t, w.At, []byte("h"), count, w.Rand, nil)
			distinct := map[string]bool{}
			for _, f := range fs {
				distinct[string(f.Field)] = true
			}
			switch want := min(max(count, -count), int64(2*redis.ExactSampleFields)); {
			case count > 0 && int64(len(distinct)) != want:
				w.TB.Errorf("%d: %d distinct fields", count, len(distinct))
			case count < 0 && int64(len(fs)) != -count:
				w.TB.Errorf("%d: %d fields", count, len(fs))
			}
			return err
		})
	}
}

func TestFindDueFindsAll(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 2, ReapFields: 3})
	for i := range 100 {
		w.Do("SET", fmt.Sprint("k", i), "v", "PX", "100")
		w.Do("SET", fmt.Sprint("{t}k", i), "v", "PX", "100")
		w.Do("SET", fmt.Sprint("stays", i), "v")
	}
	for i := range 20 {
		w.Do("HSET", "h", fmt.Sprint(i), "v")
	}
	for i := range 19 {
		w.Do("HPEXPIRE", "h", "50", "FIELDS", "1", fmt.Sprint(i))
	}
	w.Now += 200
	w.Sweep(7)
	if got := w.Do("DBSIZE"); got != "(integer) 101" {
		t.Error(got)
	}
	if got := w.Do("HLEN", "h"); got != "(integer) 1" {
		t.Error(got)
	}
	w.Check()
	w.Must(func(t kv.Txn) error {
		s, err := redis.DBStats(t, w.At)
		if s.Keys != 101 || s.Expiring != 0 {
			w.TB.Errorf("%+v", s)
		}
		return err
	})
}

func TestStatsAverage(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	w.Do("SET", "a", "v", "PX", "1000")
	w.Do("SET", "b", "v", "PX", "3000")
	w.Must(func(t kv.Txn) error {
		s, err := redis.DBStats(t, w.At)
		if s != (redis.Stats{Keys: 2, Expiring: 2, AverageTTLMillis: 2000}) {
			w.TB.Errorf("%+v", s)
		}
		return err
	})
}

func TestSlots(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1})
	w.Do("MSET", "{t}1", "v", "{t}2", "v", "other", "v")
	w.Do("HSET", "{t}h", "f", "v", "g", "w")
	w.Must(func(t kv.Txn) error {
		slot := hashslot.Slot([]byte("t"))
		n, err := redis.CountKeysInSlot(t, w.At, slot)
		if err != nil || n != 3 {
			w.TB.Error(n, err)
		}
		keys, err := redis.KeysInSlot(t, w.At, slot, 10, nil)
		slices.SortFunc(keys, bytes.Compare)
		if fmt.Sprintf("%s", keys) != "[{t}1 {t}2 {t}h]" {
			w.TB.Errorf("%s", keys)
		}
		return err
	})
}

// TestLimits holds the edges of what rows can name.
func TestLimits(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	long := strings.Repeat("k", limits.KeyBytes)
	for _, cmd := range [][]string{{"SET", long, "v"}, {"MSET", "a", "v", long, "v"}, {"HSET", "h", "a", "b", long, "v"}} {
		if got := w.Do(cmd...); got != "(error) "+redis.ErrKeyTooLong.Error() {
			t.Error(got)
		}
	}
	if got := w.Do("HSET", "h", "a", "b", "f", strings.Repeat("v", limits.PairBytes)); got != "(error) "+redis.ErrFieldValueTooLong.Error() {
		t.Error(got)
	}
	most := long
	for w.Do("SET", most, "v", "EX", "10") != "OK" {
		most = most[1:]
	}
	if len(most) < limits.KeyBytes-100 {
		t.Errorf("a key is at most %d bytes long", len(most))
	}
	w.Do("HSET", "h", "f", strings.Repeat("v", redis.MaxFieldValueBytes))
	w.Do("HEXPIRE", "h", "10", "FIELDS", "1", "f")
	if got := w.Do("DBSIZE"); got != "(integer) 2" {
		t.Error(got)
	}
	if got := w.Do("DEL", long, most); got != "(integer) 1" {
		t.Error(got)
	}
	w.Check()
	if _, err := redis.Open(1, redis.Databases, redis.Options{}); !errors.Is(err, redis.ErrDBIndex) {
		t.Error(err)
	}
}

// TestCheckFindsDamage breaks stored rows one by one.
func TestCheckFindsDamage(t *testing.T) {
	build := func() *redistest.World {
		w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1, StringInlineBytes: 4, PieceBytes: 4})
		w.Do("SET", "s", "v", "EX", "100")
		w.Do("SET", "p", "0123456789")
		w.Do("HSET", "h", "f", "v", "g", "w")
		w.Do("HEXPIRE", "h", "50", "FIELDS", "1", "f")
		return w
	}
	var all [][]byte
	w := build()
	w.Must(func(t kv.Txn) error {
		return t.Scan(w.At.Span(), kv.ScanOptions{}, func(k, _ []byte) bool {
			all = append(all, bytes.Clone(k))
			return true
		})
	})
	for _, row := range all {
		if bytes.Contains(row, []byte("\x00\x01\x01\x00")) && strings.Contains(keyspace.Pretty(row), `"p"`) {
			continue // a missing piece is zeros
		}
		w := build()
		w.Must(func(t kv.Txn) error { t.Clear(row); return nil })
		w.Must(func(t kv.Txn) error {
			r, err := redis.CheckDB(t, w.At, w.Checks)
			if len(r.Problems) == 0 {
				w.TB.Errorf("the check misses %s", keyspace.Pretty(row))
			}
			return err
		})
	}
}

func TestEvents(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	for _, c := range []struct{ command, events string }{
		{"SET k v EX 10", "n 0 new k|$ 0 set k|g 0 expire k"},
		{"SET k v", "$ 0 set k"},
		{"GET none", "m 0 keymiss none"},
		{"RENAME k l", "n 0 new l|g 0 rename_from k|g 0 rename_to l"},
		{"PEXPIRE l 1", "g 0 expire l"},
		{"WAIT 1", ""},
		{"GET l", "x 0 expired l|m 0 keymiss l"},
		{"HSET h f v", "n 0 new h|h 0 hset h"},
		{"HPEXPIRE h 1 FIELDS 1 f", "h 0 hexpire h"},
		{"WAIT 1", ""},
		{"HLEN h", "h 0 hexpired h|g 0 del h|m 0 keymiss h"},
	} {
		w.Do(redistest.Words(t, c.command)...)
		if got := strings.Join(w.Events, "|"); got != c.events {
			t.Errorf("%s: %s, want %s", c.command, got, c.events)
		}
	}
}

// TestHeaderGuardsRows has one transaction read behind a header, where reads
// leave no conflicts, and another change what it read.
func TestHeaderGuardsRows(t *testing.T) {
	for _, change := range []string{"HSET h f new", "HDEL h g", "DEL h", "HPEXPIRE h 100 FIELDS 1 g", "SETRANGE s 9 x", "FLUSHALL", "RENAME s s2"} {
		w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1, StringInlineBytes: 4, StringGrowBytes: 4, PieceBytes: 4})
		w.Do("HSET", "h", "f", "v", "g", "w")
		w.Do("SET", "s", "0123456789")
		tx := w.DB.Begin()
		if v, err := redis.HGet(tx, w.At, []byte("h"), []byte("f")); err != nil || string(v) != "v" {
			t.Fatal(v, err)
		}
		if v, err := redis.Get(tx, w.At, []byte("s")); err != nil || string(v) != "0123456789" {
			t.Fatal(v, err)
		}
		w.Do(redistest.Words(t, change)...)
		if _, err := redis.HSet(tx, w.At, []byte("other"), redistest.Bytes("a", "b")); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(); !errors.Is(err, base.ErrConflict) {
			t.Errorf("%s: %v", change, err)
		}
		if got := w.Do("EXISTS", "other"); got != "(integer) 0" {
			t.Errorf("%s: %s", change, got)
		}
		w.Check()
	}
}

// TestScanKeepsToTheSlotOfAPattern: where only one slot can have a match, the others
// are not looked at.
func TestScanKeepsToTheSlotOfAPattern(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	const others = 500
	for i := range others {
		w.Do("SET", fmt.Sprint("other:", i), "v")
	}
	for _, key := range []string{"{tag}1", "{tag}2", "x{tag}3", "{tag", "{}tag", "{ta*g}4", "plain"} {
		w.Do("SET", key, "v")
	}
	for _, tc := range []struct {
		pattern string
		single  bool
		want    []string
	}{
		{"{tag}*", true, []string{"{tag}1", "{tag}2"}},
		{"x{tag}[3-9]", true, []string{"x{tag}3"}},
		{`{ta\*g}?`, true, []string{"{ta*g}4"}},
		{"plain", true, []string{"plain"}},
		{"{tag", true, []string{"{tag"}},
		{"{tag}9*", true, nil},
		{"{tag*", false, []string{"{tag", "{tag}1", "{tag}2"}},
		{"{ta*g}*", false, []string{"{ta*g}4", "{tag}1", "{tag}2"}},
		{"{}tag*", false, []string{"{}tag"}},
		{"*{tag}*", false, []string{"x{tag}3", "{tag}1", "{tag}2"}},
	} {
		var found []string
		steps := 0
		for cursor := uint64(0); ; steps++ {
			var next uint64
			if _, err := w.Session.Run(kv.Func(func(txn kv.Txn) error {
				n, keys, err := redis.Scan(txn, w.At, cursor, redis.ScanOptions{Match: []byte(tc.pattern), Count: 10}, nil)
				for _, key := range keys {
					found = append(found, string(key))
				}
				next = n
				return err
			})); err != nil {
				t.Fatal(err)
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
		slices.Sort(found)
		if !slices.Equal(found, tc.want) || steps == 0 != tc.single {
			t.Errorf("%s: found %q after %d more steps, want %q", tc.pattern, found, steps, tc.want)
		}
	}
}
