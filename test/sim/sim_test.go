package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed only, with its trace")
	seeds = flag.Int("seeds", 200, "how many seeds to run: half of them fixed, half fresh")
)

const events = 2000

func TestSeeds(t *testing.T) {
	if *seed != 0 {
		res, err := Run(Options{Seed: *seed, Events: events, Trace: func(line string) { fmt.Println(line) }})
		t.Logf("seed %d: %+v", *seed, res)
		if err != nil {
			t.Fatalf("seed %d: %+v", *seed, err)
		}
		return
	}
	fresh := uint64(time.Now().UnixNano())
	var sum Result
	for i := range *seeds {
		s := uint64(i + 1)
		if i%2 == 1 {
			s = fresh + uint64(i)
		}
		res, err := Run(Options{Seed: s, Events: events})
		if err != nil {
			t.Fatalf("seed %d fails (make sim SEED=%d): %+v", s, s, err)
		}
		sum.Add(res)
	}
	t.Logf("%d seeds: %+v", *seeds, sum)
	if missing := sum.Missing(); *seeds >= 50 && len(missing) > 0 {
		t.Fatalf("this never happened: %v", missing)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	sameTrace(t, 10, func(s uint64) (Result, error) { return Run(Options{Seed: s, Events: events}) })
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

// TestPlantedBugs shows that the checkers see what they are there for. The
// same seeds pass without it. seed is the first that saw it when this was written.
func TestPlantedBugs(t *testing.T) {
	const within = 200
	bugs := []struct {
		name   string
		faults replica.Faults
		seed   uint64
	}{
		{"reply before commit", replica.Faults{ReplyBeforeCommit: true}, 1},
		{"log not synced", replica.Faults{SkipSync: true}, 1},
		{"reads not validated", replica.Faults{SkipValidation: true}, 1},
		{"latest read ignores a write in flight", replica.Faults{IgnoreTail: true}, 1},
		{"negative reply answered early", replica.Faults{AnswerAbsentEarly: true}, 6},
		{"stamp prefetched for an open batch", replica.Faults{PrefetchStamp: true}, 4},
		{"unknown stamp counts as older", replica.Faults{UnknownIsOlder: true}, 1},
		{"snapshot read does not wait", replica.Faults{SnapshotNoWait: true}, 3},
		{"cached read stamp", replica.Faults{CachedStamp: true}, 1},
		{"read-only closure not validated", replica.Faults{TrustReads: true}, 8},
		{"request id ignored", replica.Faults{ForgetResults: true}, 1},
		{"uncommitted successor counts", replica.Faults{CountUncommitted: true}, 160},
	}
	passes := uint64(0) // without a bug, up to this seed
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			for s := uint64(1); s <= within; s++ {
				for ; passes < s; passes++ {
					if _, err := Run(Options{Seed: passes + 1, Events: events}); err != nil {
						t.Fatalf("seed %d fails without a bug: %v", passes+1, err)
					}
				}
				if _, err := Run(Options{Seed: s, Events: events, Faults: b.faults}); err != nil {
					t.Logf("seen at seed %d (once at %d): %.200v", s, b.seed, err)
					return
				}
			}
			t.Fatalf("not seen within %d seeds", within)
		})
	}
}
