package sim

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

var (
	rangeSeeds = flag.Int("range-seeds", 60, "how many seeds over several ranges to run")
	rangeFirst = flag.Uint64("range-first", 1, "the first of them")
)

const rangeEvents = 3000

// TestRanges runs transactions over several ranges, with crashes of the store and of
// coordinators, splits, sweeps, and horizons that move.
func TestRanges(t *testing.T) {
	if *seed != 0 {
		res, err := Run(Options{Seed: *seed, Events: rangeEvents, Ranges: true, Cut: true, Trace: func(line string) { fmt.Println(line) }})
		t.Logf("seed %d: %+v", *seed, res)
		if err != nil {
			t.Fatalf("seed %d: %+v", *seed, err)
		}
		return
	}
	var sum Result
	for i := range *rangeSeeds {
		s := *rangeFirst + uint64(i)
		res, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true})
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
	sameTrace(t, 5, func(s uint64) (Result, error) {
		return Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true})
	})
}

// TestRangePlantedBugs is TestPlantedBugs for what only several ranges can break.
func TestRangePlantedBugs(t *testing.T) {
	const within = 200
	for _, b := range []struct {
		name        string
		faults      replica.Faults
		coordinator coordinator.Faults
		cut         bool
		seed        uint64
	}{
		{"latest read ignores write locks", replica.Faults{ReadIgnoresLocks: true}, coordinator.Faults{}, false, 2},
		{"blind write passes a lock", replica.Faults{BlindWritePassesLock: true}, coordinator.Faults{}, false, 14},
		{"no read locks", replica.Faults{NoReadLocks: true}, coordinator.Faults{}, false, 48},
		{"prepared answered before commit", replica.Faults{PreparedBeforeCommit: true}, coordinator.Faults{}, false, 30},
		{"resolve judged by its batch's stamp", replica.Faults{ResolveByBatchStamp: true}, coordinator.Faults{}, false, 16},
		{"C asked before the last prepare", replica.Faults{}, coordinator.Faults{StampEarly: true}, false, 28},
		{"read-only participant skipped", replica.Faults{}, coordinator.Faults{SkipReadOnly: true}, false, 2},
		{"bounds ignored behind a split", replica.Faults{IgnoreBounds: true}, coordinator.Faults{}, true, 18},
	} {
		t.Run(b.name, func(t *testing.T) {
			seen(t, within, b.seed, func(s uint64) error {
				_, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: b.cut, Faults: b.faults, Coordinator: b.coordinator})
				return err
			})
		})
	}
}
