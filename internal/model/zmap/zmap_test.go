//go:build !fuzzing

package zmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

func memory() *kv.DB {
	return kv.New(kvmem.New(func() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }), time.Now)
}

func ranged(t testing.TB) *kv.DB {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return kv.New(kvrange.New(s), time.Now)
}

func run(t testing.TB, db *kv.DB, fn kv.Func) error {
	t.Helper()
	return db.NewSession().RunAndWait(fn)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, db *kv.DB, m Map, key string) (v []byte) {
	t.Helper()
	must(t, run(t, db, func(txn kv.Txn) error {
		value, err := Get(txn, m, []byte(key))
		v = bytes.Clone(value)
		if value != nil && v == nil {
			v = []byte{}
		}
		return err
	}))
	return v
}

// pick is a selector over sorted keys: the index of the key that it means, -1
// before the first.
func pick(keys []string, key string, sel Selector) int {
	at, found := slices.BinarySearch(keys, key)
	switch {
	case sel == FirstGreaterThan && found:
		return at + 1
	case sel == LastLessThan:
		return at - 1
	case sel == LastLessOrEqual && !found:
		return at - 1
	}
	return at
}

// TestSelectors compares ranges and keys with a sorted slice, in the presence of
// other namespaces' rows around and of uncommitted writes.
func TestSelectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		n := rng.IntN(3)
		b := make([]byte, n)
		for i := range b {
			b[i] = "\x00ab\xff"[rng.IntN(4)]
		}
		return string(b)
	}
	for round := range 200 {
		db, m := memory(), Open(7)
		keys := map[string]bool{}
		must(t, run(t, db, func(txn kv.Txn) error {
			for _, other := range []Map{Open(6), Open(8)} {
				if err := Set(txn, other, []byte("x"), []byte("y")); err != nil {
					return err
				}
			}
			for range rng.IntN(6) {
				k := word()
				keys[k] = true
				if err := Set(txn, m, []byte(k), []byte(k)); err != nil {
					return err
				}
			}
			return nil
		}))
		tx := db.Begin()
		k := word()
		keys[k] = true
		must(t, Set(tx, m, []byte(k), []byte(k)))
		var sorted []string
		for k := range keys {
			sorted = append(sorted, k)
		}
		slices.Sort(sorted)
		for range 20 {
			checkRange(t, rng, tx, m, sorted, word)
			key, sel := word(), Selector(rng.IntN(4))
			got, err := GetKey(tx, m, []byte(key), sel)
			must(t, err)
			i := pick(sorted, key, sel)
			if outside := i < 0 || i >= len(sorted); outside != (got == nil) || !outside && string(got) != sorted[i] {
				t.Fatalf("round %d: GetKey(%q, %d) = %q of %q", round, key, sel, got, sorted)
			}
		}
		tx.Rollback()
	}
}

func checkRange(t *testing.T, rng *rand.Rand, r kv.Reader, m Map, sorted []string, word func() string) {
	o := Range{Limit: 1 + rng.IntN(4), Reverse: rng.IntN(2) == 0}
	begin, end := 0, len(sorted)
	if rng.IntN(4) > 0 {
		o.Begin = Bound{Key: []byte(word()), Set: true, Selector: Selector(rng.IntN(4))}
		begin = max(pick(sorted, string(o.Begin.Key), o.Begin.Selector), 0)
	}
	if rng.IntN(4) > 0 {
		o.End = Bound{Key: []byte(word()), Set: true, Selector: Selector(rng.IntN(4))}
		end = max(pick(sorted, string(o.End.Key), o.End.Selector), 0)
	}
	want := slices.Clone(sorted[begin:max(begin, end)])
	if o.Reverse {
		slices.Reverse(want)
	}
	want = want[:min(len(want), o.Limit)]
	var got []string
	must(t, Scan(r, m, o, func(key, value []byte) bool {
		if !bytes.Equal(key, value) {
			t.Errorf("key %q with value %q", key, value)
		}
		got = append(got, string(key))
		return true
	}))
	if !slices.Equal(got, want) {
		t.Fatalf("%+v of %q: got %q, want %q", o, sorted, got, want)
	}
}

func TestOpenSelectors(t *testing.T) {
	db, m := memory(), Open(7)
	must(t, run(t, db, func(txn kv.Txn) error {
		for _, k := range []string{"", "a", "b"} {
			if err := Set(txn, m, []byte(k), nil); err != nil {
				return err
			}
		}
		return Set(txn, Open(8), nil, nil)
	}))
	for _, tc := range []struct {
		begin, end Selector
		want       string
	}{
		{FirstGreaterOrEqual, FirstGreaterThan, "[ a b]"}, {FirstGreaterThan, FirstGreaterOrEqual, "[ a b]"},
		{FirstGreaterOrEqual, LastLessOrEqual, "[ a]"}, {LastLessThan, LastLessThan, "[ a]"},
	} {
		var got []string
		must(t, run(t, db, func(txn kv.Txn) error {
			got = nil
			return Scan(txn, m, Range{Begin: Bound{Selector: tc.begin}, End: Bound{Selector: tc.end}, Limit: 9},
				func(key, _ []byte) bool { got = append(got, string(key)); return true })
		}))
		if s := fmt.Sprint(got); s != tc.want {
			t.Errorf("%d %d: %s, want %s", tc.begin, tc.end, s, tc.want)
		}
	}
}

func TestLimits(t *testing.T) {
	db, m := memory(), Open(7)
	long, big := make([]byte, KeyBytes+1), make([]byte, ValueBytes+1)
	for _, tc := range []struct {
		name string
		want error
		do   func(t kv.Txn) error
	}{
		{"set at the limits", nil, func(t kv.Txn) error { return Set(t, m, long[1:], big[1:]) }},
		{"set key", ErrKeyTooLarge, func(t kv.Txn) error { return Set(t, m, long, nil) }},
		{"set value", ErrValueTooLarge, func(t kv.Txn) error { return Set(t, m, nil, big) }},
		{"get", ErrKeyTooLarge, func(t kv.Txn) error { _, err := Get(t, m, long); return err }},
		{"delete", ErrKeyTooLarge, func(t kv.Txn) error { return Delete(t, m, long) }},
		{"range", ErrKeyTooLarge, func(t kv.Txn) error {
			return Scan(t, m, Range{Begin: Bound{Key: long, Set: true}}, nil)
		}},
		{"delete range", ErrKeyTooLarge, func(t kv.Txn) error { return DeleteRange(t, m, Bound{}, Bound{Key: long, Set: true}) }},
		{"inverted", ErrInvertedRange, func(t kv.Txn) error {
			return DeleteRange(t, m, Bound{Key: []byte("b"), Set: true}, Bound{Key: []byte("a"), Set: true})
		}},
		{"mutate", ErrValueTooLarge, func(t kv.Txn) error { return Mutate(t, m, base.OpMax, nil, big) }},
		{"stamp outside of the value", ErrVersionstampOffset, func(t kv.Txn) error {
			return Mutate(t, m, base.OpSetVersionstampedValue, nil, make([]byte, 13))
		}},
		{"stamp outside of the key", ErrVersionstampOffset, func(t kv.Txn) error {
			return Mutate(t, m, base.OpSetVersionstampedKey, []byte("short"), nil)
		}},
	} {
		if err := run(t, db, tc.do); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestAppendIfFits(t *testing.T) {
	db, m := memory(), Open(7)
	part := make([]byte, 40_000)
	for _, want := range []int{40_000, 80_000, 80_000} {
		must(t, run(t, db, func(txn kv.Txn) error { return Mutate(txn, m, base.OpAppendIfFits, []byte("k"), part) }))
		if n := len(get(t, db, m, "k")); n != want {
			t.Errorf("%d bytes, want %d", n, want)
		}
	}
}

func TestVersionstamps(t *testing.T) {
	db, m := ranged(t), Open(7)
	offset := func(template string, at uint32) []byte { return binary.LittleEndian.AppendUint32([]byte(template), at) }
	tx := db.Begin()
	must(t, Mutate(tx, m, base.OpSetVersionstampedKey, offset("log/..........!", 4), []byte("entry")))
	must(t, Mutate(tx, m, base.OpSetVersionstampedValue, []byte("last"), offset("at ..........", 3)))
	if _, err := Get(tx, m, []byte("last")); !errors.Is(err, base.ErrUnreadable) {
		t.Errorf("read of a stamped value: %v", err)
	}
	info, err := tx.Commit()
	must(t, err)
	stamp := string(info.Versionstamp[:])
	if v := get(t, db, m, "log/"+stamp+"!"); string(v) != "entry" {
		t.Errorf("stamped key: %q", v)
	}
	if v := get(t, db, m, "last"); string(v) != "at "+stamp {
		t.Errorf("stamped value: %q, want %q", v, stamp)
	}
}

// TestConcurrentAdds: increments in interactive transactions do not conflict.
func TestConcurrentAdds(t *testing.T) {
	db, m := ranged(t), Open(7)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				tx := db.Begin()
				if err := AddInt64(tx, m, []byte("n"), 3); err != nil {
					t.Error(err)
				}
				if _, err := tx.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, run(t, db, func(txn kv.Txn) error {
		n, found, err := GetInt64(txn, m, []byte("n"))
		if n != 3000 || !found {
			t.Errorf("%d, want 3000", n)
		}
		return err
	}))
}

func TestFloats(t *testing.T) {
	db, m := memory(), Open(7)
	set := func(f float64) error {
		return run(t, db, func(txn kv.Txn) error { return SetFloat64(txn, m, []byte("f"), f) })
	}
	add := func(f float64) error {
		return run(t, db, func(txn kv.Txn) error { return AddFloat64(txn, m, []byte("f"), f) })
	}
	must(t, set(math.Copysign(0, -1)))
	if v := get(t, db, m, "f"); !bytes.Equal(v, make([]byte, 8)) {
		t.Errorf("minus zero is stored as %x", v)
	}
	must(t, add(math.MaxFloat64))
	for _, tc := range []struct{ got, want error }{
		{add(math.MaxFloat64), ErrSumNotFinite}, {add(math.Inf(-1)), ErrDeltaNotFinite}, {set(math.NaN()), ErrNotFinite},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%v, want %v", tc.got, tc.want)
		}
	}
	must(t, run(t, db, func(txn kv.Txn) error { return Set(txn, m, []byte("f"), []byte("abc")) }))
	if err := add(1); !errors.Is(err, ErrStoredDouble) {
		t.Error(err)
	}
	for s, want := range map[string]error{"1e400": nil, "-Infinity": nil, "NaN": nil, "1.5": nil, "": ErrNotDouble, "abc": ErrNotDouble, "1 ": ErrNotDouble} {
		if _, err := ParseFloat64(s); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}

func TestDecimals(t *testing.T) {
	nines := strings.Repeat("9", 34)
	for _, tc := range []struct{ adds, want string }{
		{"1.5 3.0 4.5", "9.0"},
		{"1.50", "1.50"},
		{"100 -30.5", "69.5"},
		{"-0", "0"}, {"0.00", "0.00"}, {"-1.5 1.5", "0.0"}, {".5", "0.5"}, {"5.", "5"}, {"+7", "7"},
		{"1.5E+10 2.5E-5", "15000000000.000025"},
		{"1e3", "1000"}, {"1E-7", "0.0000001"},
		{"0.123456789012345678901234567890123", "0.123456789012345678901234567890123"},
		{nines + " 1", "1" + strings.Repeat("0", 34)},
		{"1" + strings.Repeat("0", 33) + "5", "1" + strings.Repeat("0", 34)},                               // half to even: down
		{"1" + strings.Repeat("0", 32) + "15", "1" + strings.Repeat("0", 32) + "20"},                       // half to even: up
		{"-1" + strings.Repeat("0", 32) + "15", "-1" + strings.Repeat("0", 32) + "20"},                     // symmetric
		{"1" + strings.Repeat("0", 33) + "51", "1" + strings.Repeat("0", 32) + "100"},                      // above the half
		{nines + ".9", "1" + strings.Repeat("0", 34)},                                                      // rounds to one digit more
		{"1e6144", "1" + strings.Repeat("0", 6144)},                                                        // padded to fit
		{"1e-6176", "0." + strings.Repeat("0", 6175) + "1"}, {"1e-6177", "0." + strings.Repeat("0", 6176)}, // underflow
		{"1e-2000000000", "0." + strings.Repeat("0", 6176)},
		{"1E+6145", "ERR Exponent is out of range for Decimal128 encoding of 1E+6145"},
		{"-12.5E+7000", "ERR Exponent is out of range for Decimal128 encoding of -1.25E+7001"},
		{"9e6144 9e6144", "ERR Exponent is out of range for Decimal128 encoding of 1.8" + strings.Repeat("0", 33) + "E+6145"},
		{"not-a-number", "ERR invalid decimal"}, {"", "ERR invalid decimal"}, {".", "ERR invalid decimal"}, {"1.2.3", "ERR invalid decimal"},
		{"1e", "ERR invalid decimal"}, {"--1", "ERR invalid decimal"}, {"1.-5", "ERR invalid decimal"}, {"1_0", "ERR invalid decimal"},
	} {
		if got := addAll(t, tc.adds); got != tc.want {
			t.Errorf("%.40s: got %.60s, want %.60s", tc.adds, got, tc.want)
		}
	}
}

// addAll adds decimals to a key and reads it.
func addAll(t *testing.T, adds string) string {
	db, m := memory(), Open(7)
	text := ""
	for _, s := range strings.Split(adds, " ") {
		err := run(t, db, func(txn kv.Txn) error {
			d, err := ParseDecimal(s)
			if err != nil {
				return err
			}
			if err := AddDecimal(txn, m, []byte("d"), d); err != nil {
				return err
			}
			sum, _, err := GetDecimal(txn, m, []byte("d"))
			text = sum.String()
			return err
		})
		if err != nil {
			return err.Error()
		}
	}
	return text
}

func TestStoredDecimals(t *testing.T) {
	db, m := memory(), Open(7)
	read := func(raw []byte) error {
		return run(t, db, func(txn kv.Txn) error {
			if err := Set(txn, m, []byte("d"), raw); err != nil {
				return err
			}
			_, _, err := GetDecimal(txn, m, []byte("d"))
			return err
		})
	}
	infinity := make([]byte, decimalBytes)
	infinity[decimalBytes-1] = 0x78
	if err := read(infinity); !errors.Is(err, ErrStoredDecimalSpecial) {
		t.Error(err)
	}
	if err := read([]byte("abc")); !errors.Is(err, ErrStoredDecimal) {
		t.Error(err)
	}
	must(t, run(t, db, func(txn kv.Txn) error {
		d, err := ParseDecimal("1.5")
		if err != nil {
			return err
		}
		return SetDecimal(txn, m, []byte("d"), d)
	}))
	// The bytes are those of every other implementation: 15 times ten to the -1.
	want := append([]byte{15}, make([]byte, 13)...)
	want = append(want, 0x3E, 0x30)
	if v := get(t, db, m, "d"); !bytes.Equal(v, want) {
		t.Errorf("1.5 is stored as %x, want %x", v, want)
	}
}
