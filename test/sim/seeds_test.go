package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// seeding is which seeds a test runs, and how somebody runs one of them again.
type seeding struct {
	one      uint64 // only this one, with its trace
	first, n uint64
	fresh    bool // every other one has never been run before
	replay   string
}

// result is what a run did; the results of many are summed up.
type result[R any] interface {
	*R
	Add(R)
}

// runSeeds runs seeds, each with what it has been asked to trace, and sums up what they did.
// whole says that they were all of them.
func runSeeds[R any, P result[R]](t *testing.T, s seeding, run func(seed uint64, trace func(string)) (R, error)) (sum R, whole bool) {
	t.Helper()
	if s.one != 0 {
		res, err := run(s.one, func(line string) { fmt.Println(line) })
		t.Logf("seed %d: %+v", s.one, res)
		if err != nil {
			t.Fatalf("seed %d: %+v", s.one, err)
		}
		return res, false
	}
	fresh := uint64(time.Now().UnixNano())
	for i := range s.n {
		seed := s.first + i
		if s.fresh && i%2 == 1 {
			seed = fresh + i
		}
		res, err := run(seed, nil)
		if err != nil {
			t.Fatalf("seed %d fails (%s): %+v", seed, fmt.Sprintf(s.replay, seed), err)
		}
		P(&sum).Add(res)
	}
	t.Logf("%d seeds: %+v", s.n, sum)
	return sum, true
}

// sameTrace runs each seed twice.
func sameTrace[R comparable](t *testing.T, seeds uint64, run func(seed uint64) (R, error)) {
	t.Helper()
	for s := uint64(1); s <= seeds; s++ {
		a, errA := run(s)
		b, errB := run(s)
		if errA != nil || errB != nil || a != b {
			t.Fatalf("seed %d: %+v %v, then %+v %v", s, a, errA, b, errB)
		}
	}
}

// bug is one that can be planted, and a seed that has seen it.
type bug struct {
	name        string
	faults      replica.Faults
	coordinator coordinator.Faults
	sleep       sleep.Faults
	cut         bool // ranges are cut and united
	seed        uint64
}

var rate = flag.Uint64("rate", 0, "count the seeds that see a planted bug, among so many, instead of looking for the first")

// plant wants every bug to be seen within so many seeds. First comes the one that has seen
// it; after a change of what is simulated that may be another one. Without the bug that seed
// must pass.
func plant(t *testing.T, bugs []bug, run func(b *bug, seed uint64) error) {
	const within = 200
	for i := range bugs {
		b := &bugs[i]
		t.Run(b.name, func(t *testing.T) {
			if *rate > 0 {
				seen, first := 0, uint64(0)
				for s := uint64(1); s <= *rate; s++ {
					if run(b, s) != nil {
						if seen++; seen == 1 {
							first = s
						}
					}
				}
				t.Logf("seen by %d of %d seeds, first by %d", seen, *rate, first)
				return
			}
			for n := range uint64(within + 1) {
				seed := n
				if n == 0 {
					seed = b.seed
				}
				if err := run(b, seed); err != nil {
					t.Logf("seen at seed %d (once at %d): %.300v", seed, b.seed, err)
					if err := run(&bug{cut: b.cut}, seed); err != nil {
						t.Errorf("seed %d fails without the bug: %+v", seed, err)
					}
					return
				}
			}
			t.Errorf("not seen within %d seeds", within)
		})
	}
}
