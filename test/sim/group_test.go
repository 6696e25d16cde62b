package sim

import (
	"flag"
	"testing"

	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

var groupSeed = flag.Uint64("group", 0, "run this seed of several nodes only, with its trace")

const groupEvents = 8000

// groupOptions are those of a seed of TestGroups.
func groupOptions(seed uint64) GroupOptions {
	return GroupOptions{Seed: seed, Events: groupEvents, QuorumReads: seed%4 == 0, Merging: seed%3 == 0, Dozing: seed%3 == 1}
}

// runGroup runs with a trace, if there is one.
func runGroup(o GroupOptions, trace func(string)) (GroupResult, error) {
	o.Trace = trace
	return RunGroup(o)
}

func TestGroups(t *testing.T) {
	sum, whole := runSeeds(t, seeding{one: *groupSeed, first: 1, n: *seeds / 2, fresh: true, replay: "make sim GROUP=%d"},
		func(s uint64, trace func(string)) (GroupResult, error) { return runGroup(groupOptions(s), trace) })
	if missing := sum.Missing(false); whole && *seeds >= 50 && len(missing) > 0 {
		t.Fatalf("this never happened: %v", missing)
	}
}

var mergeSeeds = flag.Uint64("merge-seeds", 60, "how many seeds with merges most of the time to run")

// TestGroupMerges runs little else than splits and merges over several nodes.
func TestGroupMerges(t *testing.T) {
	sum, whole := runSeeds(t, seeding{one: *groupSeed, first: 1, n: *mergeSeeds, replay: "go test ./test/sim -run TestGroupMerges$ -v -args -group %d"},
		func(s uint64, trace func(string)) (GroupResult, error) {
			return runGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, QuorumReads: s%4 == 0, Merging: true}, trace)
		})
	if whole && *mergeSeeds >= 50 && sum.Merges < 10 {
		t.Fatalf("%d merges", sum.Merges)
	}
}

func TestGroupSameSeedSameTrace(t *testing.T) {
	sameTrace(t, 10, func(s uint64) (GroupResult, error) { return RunGroup(groupOptions(s)) })
}

// TestGroupPlantedBugs is TestPlantedBugs over several nodes.
func TestGroupPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "reply before commit", faults: replica.Faults{ReplyBeforeCommit: true}, seed: 1},
		{name: "log not synced", faults: replica.Faults{SkipSync: true}, seed: 7},
		{name: "reads without lease or proof", faults: replica.Faults{TrustLeader: true}, seed: 1},
		{name: "vote right after a restart", faults: replica.Faults{VoteAtOnce: true}, seed: 5},
		{name: "lease kept in a transfer", faults: replica.Faults{KeepLease: true}, seed: 1},
		{name: "own log taken for committed", faults: replica.Faults{TrustOwnLog: true}, seed: 2},
	}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: groupEvents, Faults: b.faults, Whole: true})
		return err
	})
}

// TestSleepPlantedBugs is TestPlantedBugs for what only ranges that sleep can break.
func TestSleepPlantedBugs(t *testing.T) {
	plant(t, []bug{
		{name: "a follower that wakes by itself keeps acknowledging", sleep: sleep.Faults{KeepAcknowledging: true}, seed: 4},
		{name: "an echo counts from when it comes in", sleep: sleep.Faults{AckWhenTaken: true}, seed: 10},
		{name: "the ends of sleeps are not looked at", sleep: sleep.Faults{IgnoreEnds: true}, seed: 4},
		{name: "another process is taken for the one before", sleep: sleep.Faults{IgnoreIncarnation: true}, seed: 1},
		{name: "a promise is forgotten in a restart", faults: replica.Faults{VoteAtOnce: true}, seed: 6},
	}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: b.faults, Sleep: b.sleep, Whole: true, Dozing: true})
		return err
	})
}

// TestMergePlantedBugs is TestPlantedBugs for what only merges can break. TestFrozenServesNothing
// is another one.
func TestMergePlantedBugs(t *testing.T) {
	plant(t, []bug{{name: "thawed without a refusal", faults: replica.Faults{ThawAtOnce: true}, seed: 9}}, func(b *bug, s uint64) error {
		_, err := RunGroup(GroupOptions{Seed: s, Events: 2 * groupEvents, Faults: b.faults, Merging: true})
		return err
	})
	plant(t, []bug{{name: "the right side's locks forgotten", faults: replica.Faults{ForgetRightTable: true}, seed: 8}}, func(b *bug, s uint64) error {
		_, err := Run(Options{Seed: s, Events: rangeEvents, Ranges: true, Cut: true, Faults: b.faults})
		return err
	})
}
