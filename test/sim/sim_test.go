package sim

import (
	"flag"
	"testing"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed only, with its trace")
	seeds = flag.Uint64("seeds", 200, "how many seeds to run: half of them fixed, half fresh")
)

const events = 2000

func TestSeeds(t *testing.T) {
	sum, whole := runSeeds(t, seeding{one: *seed, first: 1, n: *seeds, fresh: true, replay: "make sim SEED=%d"},
		func(s uint64, trace func(string)) (Result, error) {
			return Run(Options{Seed: s, Events: events, Trace: trace})
		})
	if missing := sum.Missing(); whole && *seeds >= 50 && len(missing) > 0 {
		t.Fatalf("this never happened: %v", missing)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	sameTrace(t, 10, func(s uint64) (Result, error) { return Run(Options{Seed: s, Events: events}) })
}

// TestPlantedBugs shows that the checkers see what they are there for.
func TestPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "reply before commit", faults: replica.Faults{ReplyBeforeCommit: true}, seed: 2},
		{name: "log not synced", faults: replica.Faults{SkipSync: true}, seed: 1},
		{name: "reads not validated", faults: replica.Faults{SkipValidation: true}, seed: 1},
		{name: "latest read ignores a write in flight", faults: replica.Faults{IgnoreTail: true}, seed: 1},
		{name: "negative reply answered early", faults: replica.Faults{AnswerAbsentEarly: true}, seed: 21},
		{name: "stamp prefetched for an open batch", faults: replica.Faults{PrefetchStamp: true}, seed: 4},
		{name: "stamps answered out of order", faults: replica.Faults{SwapStamps: true}, seed: 1},
		{name: "unknown stamp counts as older", faults: replica.Faults{UnknownIsOlder: true}, seed: 1},
		{name: "snapshot read does not wait", faults: replica.Faults{SnapshotNoWait: true}, seed: 3},
		{name: "cached read stamp", faults: replica.Faults{CachedStamp: true}, seed: 1},
		{name: "read-only closure not validated", faults: replica.Faults{TrustReads: true}, seed: 28},
		{name: "request id ignored", faults: replica.Faults{ForgetResults: true}, seed: 1},
		{name: "uncommitted successor counts", faults: replica.Faults{CountUncommitted: true}, seed: 3},
	}, func(b *bug, s uint64) error {
		_, err := Run(Options{Seed: s, Events: events, Faults: b.faults})
		return err
	})
}
