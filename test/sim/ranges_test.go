package sim

import (
	"flag"
	"testing"

	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

var (
	rangeSeeds = flag.Uint64("range-seeds", 60, "how many seeds over several ranges to run")
	rangeFirst = flag.Uint64("range-first", 1, "the first of them")
)

const rangeEvents = 3000

// TestRanges runs transactions over several ranges, with crashes of the store and of
// coordinators, splits, sweeps, and horizons that move.
func TestRanges(t *testing.T) {
	sum, whole := runSeeds(t, seeding{one: *seed, first: *rangeFirst, n: *rangeSeeds, replay: "go test ./test/sim -run TestRanges$ -v -args -seed %d"},
		func(s uint64, trace func(string)) (Result, error) {
			return Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true, Trace: trace})
		})
	if whole && *rangeSeeds >= 50 && (sum.Spread == 0 || sum.Orphans == 0 || sum.Settled == 0 || sum.Points[replica.PointLocked] == 0) {
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
	plant(t, []bug{
		{name: "latest read ignores write locks", faults: replica.Faults{ReadIgnoresLocks: true}, seed: 2},
		{name: "blind write passes a lock", faults: replica.Faults{BlindWritePassesLock: true}, seed: 14},
		{name: "no read locks", faults: replica.Faults{NoReadLocks: true}, seed: 48},
		{name: "prepared answered before commit", faults: replica.Faults{PreparedBeforeCommit: true}, seed: 30},
		{name: "resolve judged by its batch's stamp", faults: replica.Faults{ResolveByBatchStamp: true}, seed: 16},
		{name: "C asked before the last prepare", coordinator: coordinator.Faults{StampEarly: true}, seed: 28},
		{name: "read-only participant skipped", coordinator: coordinator.Faults{SkipReadOnly: true}, seed: 2},
		{name: "bounds ignored behind a split", faults: replica.Faults{IgnoreBounds: true}, cut: true, seed: 18},
	}, func(b *bug, s uint64) error {
		_, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: b.cut, Faults: b.faults, Coordinator: b.coordinator})
		return err
	})
}
