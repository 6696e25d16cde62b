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

const events = 600

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
		sum.Ops += res.Ops
		sum.Acknowledged += res.Acknowledged
		sum.Conflicts += res.Conflicts
		sum.Unknown += res.Unknown
		sum.Crashes += res.Crashes
		sum.Flips += res.Flips
		sum.DiskFull += res.DiskFull
	}
	t.Logf("%d seeds: %+v", *seeds, sum)
	if *seeds >= 50 && (sum.Crashes == 0 || sum.Conflicts == 0 || sum.Unknown == 0 || sum.Flips == 0 || sum.DiskFull == 0) {
		t.Fatalf("a kind of event never happened: %+v", sum)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for s := range uint64(10) {
		a, errA := Run(Options{Seed: s + 1, Events: events})
		b, errB := Run(Options{Seed: s + 1, Events: events})
		if errA != nil || errB != nil || a != b {
			t.Fatalf("seed %d: %+v %v, then %+v %v", s+1, a, errA, b, errB)
		}
	}
}

// TestPlantedBugs shows that the checker would see what it is there for.
func TestPlantedBugs(t *testing.T) {
	const within = 60
	for name, f := range map[string]replica.Faults{
		"reply before commit": {ReplyBeforeCommit: true},
		"log not synced":      {SkipSync: true},
		"reads not validated": {SkipValidation: true},
		"tail ignored":        {IgnoreTail: true},
	} {
		t.Run(name, func(t *testing.T) {
			for s := uint64(1); s <= within; s++ {
				if _, err := Run(Options{Seed: s, Events: events, Faults: f}); err != nil {
					t.Logf("seen at seed %d: %.200v", s, err)
					return
				}
			}
			t.Fatalf("not seen within %d seeds", within)
		})
	}
}
