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

var groupSeed = flag.Uint64("group", 0, "run this seed of several nodes only, with its trace")

const groupEvents = 8000

// groupOptions are those of a seed of TestGroups.
func groupOptions(seed uint64) GroupOptions {
	return GroupOptions{Seed: seed, Events: groupEvents, QuorumReads: seed%4 == 0, Merging: seed%3 == 0, Dozing: seed%3 == 1}
}

func TestGroups(t *testing.T) {
	if *groupSeed != 0 {
		o := groupOptions(*groupSeed)
		o.Trace = func(line string) { fmt.Println(line) }
		res, err := RunGroup(o)
		t.Logf("seed %d: %+v", *groupSeed, res)
		if err != nil {
			t.Fatalf("seed %d: %+v", *groupSeed, err)
		}
		return
	}
	fresh := uint64(time.Now().UnixNano())
	var sum GroupResult
	for i := range *seeds / 2 {
		s := uint64(i + 1)
		if i%2 == 1 {
			s = fresh + uint64(i)
		}
		res, err := RunGroup(groupOptions(s))
		if err != nil {
			t.Fatalf("seed %d fails (make sim GROUP=%d): %+v", s, s, err)
		}
		sum.Add(res)
	}
	t.Logf("%d seeds: %+v", *seeds/2, sum)
	if missing := sum.Missing(false); *seeds >= 50 && len(missing) > 0 {
		t.Fatalf("this never happened: %v", missing)
	}
}

var mergeSeeds = flag.Int("merge-seeds", 60, "how many seeds with merges most of the time to run")

// TestGroupMerges runs little else than splits and merges over several nodes.
func TestGroupMerges(t *testing.T) {
	var sum GroupResult
	for i := range *mergeSeeds {
		s := uint64(i + 1)
		res, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, QuorumReads: s%4 == 0, Merging: true})
		if err != nil {
			t.Fatalf("seed %d fails (go test ./test/sim -run TestGroupMerge$ -args -group %d): %+v", s, s, err)
		}
		sum.Add(res)
	}
	t.Logf("%d seeds: %+v", *mergeSeeds, sum)
	if *mergeSeeds >= 50 && sum.Merges < 10 {
		t.Fatalf("%d merges", sum.Merges)
	}
}

// TestGroupMerge is one seed of TestGroupMerges, with its trace.
func TestGroupMerge(t *testing.T) {
	if *groupSeed == 0 {
		t.Skip("needs -group")
	}
	res, err := RunGroup(GroupOptions{Seed: *groupSeed, Events: 2 * groupEvents, QuorumReads: *groupSeed%4 == 0, Merging: true,
		Trace: func(line string) { fmt.Println(line) }})
	t.Logf("seed %d: %+v", *groupSeed, res)
	if err != nil {
		t.Fatalf("seed %d: %+v", *groupSeed, err)
	}
}

func TestGroupSameSeedSameTrace(t *testing.T) {
	sameTrace(t, 10, func(s uint64) (GroupResult, error) { return RunGroup(groupOptions(s)) })
}

// TestGroupPlantedBugs is TestPlantedBugs over several nodes.
func TestGroupPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "reply before commit", faults: replica.Faults{ReplyBeforeCommit: true}, seed: 1},
		{name: "log not synced", faults: replica.Faults{SkipSync: true}, seed: 4},
		{name: "reads without lease or proof", faults: replica.Faults{TrustLeader: true}, seed: 5},
		{name: "vote right after a restart", faults: replica.Faults{VoteAtOnce: true}, seed: 43},
		{name: "lease kept in a transfer", faults: replica.Faults{KeepLease: true}, seed: 61},
		{name: "own log taken for committed", faults: replica.Faults{TrustOwnLog: true}, seed: 2},
	}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: groupEvents, Faults: b.faults, Whole: true})
		return err
	})
}

// TestSleepPlantedBugs is TestPlantedBugs for what only ranges that sleep can break.
func TestSleepPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "a follower that wakes by itself keeps acknowledging", sleep: sleep.Faults{KeepAcknowledging: true}, seed: 1},
		{name: "an echo counts from when it comes in", sleep: sleep.Faults{AckWhenTaken: true}, seed: 1},
		{name: "the ends of sleeps are not looked at", sleep: sleep.Faults{IgnoreEnds: true}, seed: 1},
		{name: "another process is taken for the one before", sleep: sleep.Faults{IgnoreIncarnation: true}, seed: 1},
		{name: "a promise is forgotten in a restart", faults: replica.Faults{VoteAtOnce: true}, seed: 91},
	}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: b.faults, Sleep: b.sleep, Whole: true, Dozing: true})
		return err
	})
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

// plant wants every bug to be seen within so many seeds. First comes the one that has seen
// it; after a change of what is simulated that may be another one.
func plant(t *testing.T, bugs []bug, run func(b *bug, seed uint64) error) {
	const within = 200
	for i := range bugs {
		b := &bugs[i]
		t.Run(b.name, func(t *testing.T) {
			for n := range uint64(within + 1) {
				seed := n
				if n == 0 {
					seed = b.seed
				}
				if err := run(b, seed); err != nil {
					t.Logf("seen at seed %d (once at %d): %.300v", seed, b.seed, err)
					return
				}
			}
			t.Errorf("not seen within %d seeds", within)
		})
	}
}

// TestMergePlantedBugs is TestPlantedBugs for what only merges can break. TestFrozenServesNothing
// is another one.
func TestMergePlantedBugs(t *testing.T) {
	plant(t, []bug{{name: "thawed without a refusal", faults: replica.Faults{ThawAtOnce: true}, seed: 11}}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: b.faults, Merging: true})
		return err
	})
	plant(t, []bug{{name: "the right side's locks forgotten", faults: replica.Faults{ForgetRightTable: true}, seed: 8}}, func(b *bug, s uint64) error {
		_, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true, Faults: b.faults})
		return err
	})
}
