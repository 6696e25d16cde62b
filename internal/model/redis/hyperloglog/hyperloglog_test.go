package hyperloglog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestRegisters: a register keeps the greatest value, and changes no other one, in both
// encodings.
func TestRegisters(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{4, sparseValues, valueMax} {
		s := empty()
		d, err := s.toDense()
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, registers)
		for range 3000 {
			i, v := r.IntN(registers), byte(1+r.IntN(most))
			if r.IntN(2) == 0 {
				i = r.IntN(64)
			}
			higher := v > want[i]
			want[i] = max(want[i], v)
			for _, at := range []*sketch{&s, &d} {
				next, raised, err := at.set(i, v)
				if err != nil || raised != higher {
					t.Fatal(raised, err)
				}
				*at = next
			}
		}
		for _, x := range []sketch{s, d} {
			got := make([]byte, registers)
			if err := x.each(func(i int, v byte) { got[i] = v }); err != nil || !bytes.Equal(got, want) {
				t.Errorf("dense %v: %v", x.dense(), err)
			}
		}
	}
}

// TestAccuracy: counts are off by no more than four standard errors.
func TestAccuracy(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{StringInlineBytes: 64, PieceBytes: 1000})
	for n := 1; n <= 1<<17; n *= 2 {
		elements := make([][]byte, 0, n)
		for i := range n {
			elements = append(elements, fmt.Append(nil, "element ", i))
		}
		w.Must(func(t kv.Txn) error {
			_, err := Add(t, w.At, []byte("h"), elements)
			return err
		})
		w.Must(func(txn kv.Txn) error {
			got, err := Count(txn, w.At, [][]byte{[]byte("h")})
			if off := float64(got)/float64(n) - 1; off > 0.033 || off < -0.033 {
				t.Errorf("%d elements are counted as %d", n, got)
			}
			return err
		})
		w.Check()
	}
}

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Error(err)
	}
}

// TestCountWritesNothing, not even what was counted.
func TestCountWritesNothing(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	w.Must(func(t kv.Txn) error {
		_, err := Add(t, w.At, []byte("h"), redistest.Bytes("a", "b"))
		return err
	})
	for _, keys := range [][][]byte{redistest.Bytes("h"), redistest.Bytes("h", "none")} {
		w.Must(func(t kv.Txn) error {
			_, err := Count(t, w.At, keys)
			return err
		})
		if w.Last.Writes != 0 {
			t.Errorf("%d writes", w.Last.Writes)
		}
	}
}

// FuzzSketch feeds strings that say anything.
func FuzzSketch(f *testing.F) {
	s := empty()
	f.Add([]byte(s), 5, byte(3))
	s, _, _ = s.set(100, 7)
	f.Add([]byte(s), 99, byte(7))
	f.Fuzz(func(t *testing.T, b []byte, i int, v byte) {
		if valid(b) != nil {
			return
		}
		s := sketch(slices.Clone(b))
		fine := s.each(func(int, byte) {}) == nil
		i &= registers - 1
		v = v%valueMax + 1
		after, _, err := s.set(i, v)
		if err != nil || !fine {
			return
		}
		got := byte(0)
		if err := after.each(func(j int, x byte) {
			if j == i {
				got = x
			}
		}); err != nil || got < v {
			t.Errorf("%x: register %d is %d after %d: %v", b, i, got, v, err)
		}
	})
}
