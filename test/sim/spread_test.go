package sim

import (
	"flag"
	"testing"

	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

var (
	spreadSeeds = flag.Uint64("spread-seeds", 45, "how many seeds with transactions over ranges of several nodes to run")
	spreadFirst = flag.Uint64("spread-first", 1, "the first of them")
)

// spreadOptions are those of a seed of TestSpread.
func spreadOptions(seed uint64) GroupOptions {
	return GroupOptions{Seed: seed, Events: groupEvents, QuorumReads: seed%4 == 0, Merging: seed%3 == 0,
		Dozing: seed%3 == 1, Spread: true}
}

// TestSpread runs transactions over ranges that different nodes lead, while those are split,
// merged and moved, and nodes and coordinators end.
func TestSpread(t *testing.T) {
	sum, whole := runSeeds(t, seeding{one: *groupSeed, first: *spreadFirst, n: *spreadSeeds, replay: "go test ./test/sim -run TestSpread$ -v -args -group %d"},
		func(s uint64, trace func(string)) (GroupResult, error) { return runGroup(spreadOptions(s), trace) })
	if missing := sum.Missing(true); whole && *spreadSeeds >= 40 && len(missing) > 0 {
		t.Fatalf("this never happened: %v", missing)
	}
}

func TestSpreadSameSeedSameTrace(t *testing.T) {
	sameTrace(t, 4, func(s uint64) (GroupResult, error) { return RunGroup(spreadOptions(s)) })
}

// TestSpreadPlantedBugs is TestRangePlantedBugs over several nodes.
func TestSpreadPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "latest read ignores write locks", faults: replica.Faults{ReadIgnoresLocks: true}, seed: 1},
		{name: "blind write passes a lock", faults: replica.Faults{BlindWritePassesLock: true}, seed: 5},
		{name: "no read locks", faults: replica.Faults{NoReadLocks: true}, seed: 21},
		{name: "prepared answered before commit", faults: replica.Faults{PreparedBeforeCommit: true}, seed: 2},
		{name: "late prepare accepted", faults: replica.Faults{Table: prepared.TableFaults{LatePrepare: true}}, seed: 11},
		{name: "resolve judged by its batch's stamp", faults: replica.Faults{ResolveByBatchStamp: true}, seed: 1},
		{name: "C asked before the last prepare", coordinator: coordinator.Faults{StampEarly: true}, seed: 1},
		{name: "read-only participant skipped", coordinator: coordinator.Faults{SkipReadOnly: true}, seed: 1},
	}, func(b *bug, s uint64) error {
		o := spreadOptions(s)
		o.Faults, o.Coordinator = b.faults, b.coordinator
		_, err := RunGroup(o)
		return err
	})
}
