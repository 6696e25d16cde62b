package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

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
	const within = 200
	for _, b := range []struct {
		name   string
		faults replica.Faults
		seed   uint64
	}{
		{"reply before commit", replica.Faults{ReplyBeforeCommit: true}, 1},
		{"log not synced", replica.Faults{SkipSync: true}, 4},
		{"reads without lease or proof", replica.Faults{TrustLeader: true}, 5},
		{"vote right after a restart", replica.Faults{VoteAtOnce: true}, 43},
		{"lease kept in a transfer", replica.Faults{KeepLease: true}, 61},
		{"own log taken for committed", replica.Faults{TrustOwnLog: true}, 2},
	} {
		t.Run(b.name, func(t *testing.T) {
			seen(t, within, b.seed, func(s uint64) error {
				_, err := RunGroup(GroupOptions{Seed: s, Events: groupEvents, Faults: b.faults, Whole: true})
				return err
			})
		})
	}
}

// TestSleepPlantedBugs is TestPlantedBugs for what only ranges that sleep can break.
func TestSleepPlantedBugs(t *testing.T) {
	const within = 200
	for _, b := range []struct {
		name   string
		faults replica.Faults
		sleep  sleep.Faults
		seed   uint64
	}{
		{"a follower that wakes by itself keeps acknowledging", replica.Faults{}, sleep.Faults{KeepAcknowledging: true}, 1},
		{"an echo counts from when it comes in", replica.Faults{}, sleep.Faults{AckWhenTaken: true}, 1},
		{"the ends of sleeps are not looked at", replica.Faults{}, sleep.Faults{IgnoreEnds: true}, 1},
		{"another process is taken for the one before", replica.Faults{}, sleep.Faults{IgnoreIncarnation: true}, 1},
		{"a promise is forgotten in a restart", replica.Faults{VoteAtOnce: true}, sleep.Faults{}, 91},
	} {
		t.Run(b.name, func(t *testing.T) {
			seen(t, within, b.seed, func(s uint64) error {
				_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: b.faults, Sleep: b.sleep, Whole: true, Dozing: true})
				return err
			})
		})
	}
}

// seen wants a run to fail within so many seeds.
func seen(t *testing.T, within int, once uint64, run func(seed uint64) error) {
	t.Helper()
	for s := uint64(0); s <= uint64(within); s++ {
		seed := s
		if s == 0 { // where it was seen; another seed after a change of what is simulated
			seed = once
		}
		if err := run(seed); err != nil {
			t.Logf("seen at seed %d (once at %d): %.300v", seed, once, err)
			return
		}
	}
	t.Errorf("not seen within %d seeds", within)
}

// TestMergePlantedBugs is TestPlantedBugs for what only merges can break. TestFrozenServesNothing
// is another one.
func TestMergePlantedBugs(t *testing.T) {
	const within = 200
	t.Run("thawed without a refusal", func(t *testing.T) {
		seen(t, within, 11, func(s uint64) error {
			_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: replica.Faults{ThawAtOnce: true}, Merging: true})
			return err
		})
	})
	t.Run("the right side's locks forgotten", func(t *testing.T) {
		seen(t, within, 8, func(s uint64) error {
			_, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true, Faults: replica.Faults{ForgetRightTable: true}})
			return err
		})
	})
}
