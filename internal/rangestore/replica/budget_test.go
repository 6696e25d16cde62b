package replica

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
)

// spender is what a budget sees of a range.
type spender struct {
	budgeted
	own int64
}

func (s *spender) spend(b *Budget, bytes int64) {
	s.own = bytes
	s.tell(b, bytes)
}

func (s *spender) exceeds(b *Budget) bool { return b.exceeded(s.own, s.bytes, b.limit) }

// TestBudget: a range may use what others leave, and gives way when they need their part.
func TestBudget(t *testing.T) {
	b := NewBudget(100)
	var hot, cold spender
	hot.spend(b, 100)
	if hot.exceeds(b) {
		t.Fatal("a range that is alone may use all of it")
	}
	hot.own = 101 // not told yet
	if !hot.exceeds(b) {
		t.Fatal("it may not use more")
	}
	hot.spend(b, 100)
	cold.spend(b, 20)
	if !hot.exceeds(b) || cold.exceeds(b) {
		t.Fatal("of 120 bytes, he who has 100 must shrink, and he who has 20 must not")
	}
	hot.spend(b, 80)
	if hot.exceeds(b) || cold.exceeds(b) {
		t.Fatal("there is room for both")
	}
	hot.spend(b, 0)
	cold.spend(b, 100)
	if cold.exceeds(b) {
		t.Fatal("a range that uses nothing counts")
	}
	if cold.spend(b, 0); b.Used() != 0 || b.active.Load() != 0 {
		t.Fatalf("%d bytes of %d ranges are left", b.Used(), b.active.Load())
	}
}

// TestBudgetAlwaysShrinks: whenever more is used than there is, somebody has to shrink, and
// nobody otherwise.
func TestBudgetAlwaysShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBudget(1000)
		ranges := make([]spender, 8)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			ranges[rapid.IntRange(0, len(ranges)-1).Draw(t, "range")].spend(b, rapid.Int64Range(0, 600).Draw(t, "bytes"))
			var total, exceeding int64
			for i := range ranges {
				total += ranges[i].own
				if ranges[i].exceeds(b) {
					exceeding++
				}
			}
			if b.Used() != total || (total > 1000) != (exceeding > 0) {
				t.Fatalf("%d ranges must shrink where %d bytes are used (told: %d)", exceeding, total, b.Used())
			}
		}
	})
}

// TestBudgetOfStopped: a replica that stops with a full window, as one that was removed does,
// gives its part back.
func TestBudgetOfStopped(t *testing.T) {
	windows := NewBudget(1 << 20)
	r := alone(t, Options{Windows: windows})
	run := func() {
		t.Helper()
		for worked := true; worked; {
			var err error
			if worked, err = r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	if _, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: make([]byte, 1000)}}}); err != nil {
		t.Fatal(err)
	}
	run()
	if windows.Used() < 1000 || windows.Used() != r.Stats().WindowBytes {
		t.Fatalf("%d bytes are used, the window holds %d", windows.Used(), r.Stats().WindowBytes)
	}
	if r.Stop(); windows.Used() != 0 || windows.active.Load() != 0 {
		t.Errorf("%d bytes of %d ranges are left", windows.Used(), windows.active.Load())
	}
}
