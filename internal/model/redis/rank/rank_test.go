package rank

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// kept is a tree between two transactions.
type kept struct {
	children      int64
	count, levels int64
}

func (k *kept) tree(t kv.Txn) *Tree {
	return &Tree{Txn: t, Reader: t.Snapshot(), Prefix: []byte("tree"), Children: k.children, Count: k.count, Levels: int(k.levels)}
}

func (k *kept) change(w *redistest.World, change func(t *Tree) error) {
	w.Must(func(txn kv.Txn) error {
		t := k.tree(txn)
		if err := change(t); err != nil {
			return err
		}
		k.count, k.levels = t.Count, int64(t.Levels)
		return t.Flush()
	})
}

func placeOf(i, long int) string {
	s := fmt.Sprintf("%04d", i)
	if i%3 == 0 {
		s = "0" + s
	}
	if i%7 == 0 {
		s += strings.Repeat("x", long)
	}
	return s
}

// TestModel compares a tree with a sorted slice: with few elements in a leaf, and with long ones,
// for which leaves and nodes are cut by their bytes.
func TestModel(t *testing.T) {
	for _, tc := range []struct{ children, long int }{{2, 0}, {3, 1}, {8, 300}, {256, 3000}, {256, 100}} {
		t.Run(fmt.Sprintf("%d children, %d bytes", tc.children, tc.long), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := redistest.NewWorld(t, redis.Options{})
				k := kept{children: int64(tc.children)}
				var all []string
				for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
					k.change(w, func(tree *Tree) error {
						what := rapid.IntRange(0, 7).Draw(rt, "what")
						n := rapid.IntRange(1, 120).Draw(rt, "elements")
						from := rapid.IntRange(0, 900).Draw(rt, "from")
						for i := range n {
							var err error
							if all, err = step(rt, tree, all, what, from, i, tc.long); err != nil {
								return err
							}
						}
						return nil
					})
					compare(rt, w, &k, all)
				}
			})
		})
	}
}

// step changes a tree and the slice.
func step(rt *rapid.T, tree *Tree, all []string, what, from, i, long int) ([]string, error) {
	p := placeOf(from+i, long)
	if what == 7 {
		what = rapid.IntRange(0, 6).Draw(rt, "now")
	}
	switch what {
	case 0:
		p = placeOf(rapid.IntRange(0, 999).Draw(rt, "place"), long)
	case 1:
		p = placeOf(from-i+120, long)
	case 3, 4, 6:
		if len(all) == 0 {
			return all, nil
		}
		at := len(all) - 1
		if what != 3 {
			at = rapid.IntRange(0, at).Draw(rt, "at")
		}
		p = all[at]
	case 5:
		p = ""
		if err := tree.First(func(place []byte) bool { p = string(place); return false }); err != nil || p == "" {
			return all, err
		}
		if p != all[0] {
			rt.Fatalf("%q is the first one, not %q", p, all[0])
		}
	}
	at, found := slices.BinarySearch(all, p)
	if what == 6 && found {
		to := placeOf(rapid.IntRange(0, 999).Draw(rt, "to"), long)
		if i, there := slices.BinarySearch(all, to); !there {
			all = slices.Insert(all, i, to)
			at, _ = slices.BinarySearch(all, p)
			return slices.Delete(all, at, at+1), tree.Move([]byte(p), []byte(to))
		}
	}
	if found {
		return slices.Delete(all, at, at+1), tree.Remove([]byte(p))
	}
	return slices.Insert(all, at, p), tree.Add([]byte(p))
}

// compare checks a tree and reads it in all ways.
func compare(rt *rapid.T, w *redistest.World, k *kept, all []string) {
	w.Must(func(txn kv.Txn) error {
		tree := k.tree(txn)
		var got []string
		if _, err := tree.Check(func(place []byte) { got = append(got, string(place)) }); err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, all) {
			rt.Fatalf("has %q, not %q", got, all)
		}
		for i, p := range all {
			if n, err := tree.Before([]byte(p)); err != nil || n != int64(i) {
				rt.Fatalf("%q is at %d (%v), not %d", p, n, err, i)
			}
			if at, err := tree.At(int64(i)); err != nil || string(at) != p {
				rt.Fatalf("at %d is %q (%v), not %q", i, at, err, p)
			}
		}
		for range 8 {
			lo, hi := strconv.Itoa(rapid.IntRange(0, 99).Draw(rt, "lo")), strconv.Itoa(rapid.IntRange(0, 99).Draw(rt, "hi"))
			count := rapid.IntRange(0, 100).Draw(rt, "count")
			for _, reverse := range []bool{false, true} {
				scanned(rt, tree, all, "0"+lo, "0"+hi, reverse, count)
			}
		}
		return nil
	})
}

func scanned(rt *rapid.T, tree *Tree, all []string, lo, hi string, reverse bool, count int) {
	var want, got []string
	for _, p := range all {
		if p >= lo && p < hi {
			want = append(want, p)
		}
	}
	if reverse {
		slices.Reverse(want)
	}
	want = want[:min(len(want), max(count, 1))]
	err := tree.Scan([]byte(lo), []byte(hi), reverse, func(place []byte) bool {
		got = append(got, string(place))
		return len(got) < count
	})
	if err != nil || !slices.Equal(got, want) {
		rt.Fatalf("from %q to %q (in reverse: %t): %q (%v), not %q", lo, hi, reverse, got, err, want)
	}
}

// TestAppend: what is added at an end fills the leaves, and what goes at the beginning leaves
// nothing behind.
func TestAppend(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	k := kept{children: 16}
	const n = 3000
	k.change(w, func(tree *Tree) error {
		for i := range n {
			if err := tree.Add(fmt.Appendf(nil, "%08d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	rows := k.rows(t, w)
	if rows > n/16+n/16/8 {
		t.Errorf("%d rows for %d elements in their order", rows, n)
	}
	k.change(w, func(tree *Tree) error {
		for range n - 20 {
			var first []byte
			if err := tree.First(func(place []byte) bool { first = bytes.Clone(place); return false }); err != nil {
				return err
			}
			if err := tree.Remove(first); err != nil {
				return err
			}
		}
		return nil
	})
	if rows = k.rows(t, w); rows > 8 {
		t.Errorf("%d rows for 20 elements", rows)
	}
}

func (k *kept) rows(t *testing.T, w *redistest.World) (rows int64) {
	w.Must(func(txn kv.Txn) (err error) {
		rows, err = k.tree(txn).Check(func([]byte) {})
		if err != nil {
			t.Fatal(err)
		}
		return err
	})
	return rows
}

func FuzzRun(f *testing.F) {
	f.Add([]byte{1, 'a', 2, 'b', 'c'}, []byte("b"))
	f.Add([]byte{0x80, 1}, []byte("b"))
	var many []byte
	for i := range 100 {
		many = append(many, 1, byte(i))
	}
	f.Add(many, []byte{50})
	f.Add(many, []byte{32})
	f.Fuzz(func(t *testing.T, run, place []byte) {
		places, err := split(run)
		n, err2 := count(run)
		if (err == nil) != (err2 == nil) || err == nil && n != int64(len(places)) {
			t.Fatalf("%d places (%v), and %d (%v)", len(places), err, n, err2)
		}
		if again, marks, err := unmarked(run); err == nil {
			_, _, _, _ = findMarked(again, marks, place)
		}
		if err != nil || !slices.IsSortedFunc(places, bytes.Compare) || len(slices.CompactFunc(slices.Clone(places), bytes.Equal)) < len(places) {
			_, _, _, _ = find(run, place)
			return
		}
		want, found := slices.BinarySearchFunc(places, place, bytes.Compare)
		at, last, got, err := find(run, place)
		if err != nil || got != found {
			t.Fatalf("%x is found: %t (%v)", place, got, err)
		}
		if before, _ := count(run[:at]); before != int64(want) || want > 0 && !bytes.Equal(last, places[want-1]) {
			t.Fatalf("%x is at %d behind %x", place, before, last)
		}
		again, marks, err := unmarked(marked(run, func(n int) []byte { return make([]byte, n) }))
		if err != nil || !bytes.Equal(again, run) || len(marks) != max(len(places)-1, 0)/markEvery*markBytes {
			t.Fatalf("%x has come back as %x with marks %x (%v)", run, again, marks, err)
		}
		if at2, last2, got2, err := findMarked(run, marks, place); at2 != at || got2 != got || err != nil || !bytes.Equal(last2, last) && len(marks) == 0 {
			t.Fatalf("%x is at %d behind %x (%v), not at %d behind %x", place, at2, last2, err, at, last)
		}
	})
}
