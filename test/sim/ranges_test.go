package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

var rangeSeeds = flag.Int("range-seeds", 60, "how many seeds over several ranges to run: half of them fixed, half fresh")

const rangeEvents = 3000

// TestRanges runs transactions over several ranges, with crashes of the store and of
// coordinators, splits, sweeps, and horizons that move.
func TestRanges(t *testing.T) {
	if *seed != 0 {
		res, err := Run(Options{Seed: *seed, Events: rangeEvents, Ranges: true, Trace: func(line string) { fmt.Println(line) }})
		t.Logf("seed %d: %+v", *seed, res)
		if err != nil {
			t.Fatalf("seed %d: %+v", *seed, err)
		}
		return
	}
	fresh := uint64(time.Now().UnixNano())
	var sum Result
	for i := range *rangeSeeds {
		s := uint64(i + 1)
		if i%2 == 1 {
			s = fresh + uint64(i)
		}
		res, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true})
		if err != nil {
			t.Fatalf("seed %d fails (go test ./test/sim -run TestRanges -args -seed %d): %+v", s, s, err)
		}
		sum.Add(res)
	}
	t.Logf("%d seeds: %+v", *rangeSeeds, sum)
	if *rangeSeeds >= 50 && (sum.Spread == 0 || sum.Orphans == 0 || sum.Settled == 0 || sum.Points[replica.PointLocked] == 0) {
		t.Fatalf("%d commits over several ranges, %d orphans, %d sweeps, %d waits for locks", sum.Spread, sum.Orphans, sum.Settled,
			sum.Points[replica.PointLocked])
	}
}

func TestRangesSameSeedSameTrace(t *testing.T) {
	for s := range uint64(5) {
		a, errA := Run(Options{Seed: s + 1, Events: rangeEvents, Ranges: true})
		b, errB := Run(Options{Seed: s + 1, Events: rangeEvents, Ranges: true})
		if errA != nil || errB != nil || a != b {
			t.Fatalf("seed %d: %+v %v, then %+v %v", s+1, a, errA, b, errB)
		}
	}
}
