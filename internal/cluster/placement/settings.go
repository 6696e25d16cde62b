package placement

import (
	"time"

	"github.com/cockroachdb/errors"
)

// ReplicasMax bounds the voters of a range.
const ReplicasMax = 7

// Margin is by how much two nodes must differ, beyond what a move would shift,
// before balancing moves something: a share of the cluster's mean, but not less
// than a fixed amount. Without a margin two nodes would give each other the same
// range for ever (P8).
type Margin struct{ Share, Least float64 }

func (m Margin) of(mean float64) float64 { return max(m.Share*mean, m.Least) }

// Settings are the cluster's.
type Settings struct {
	// Replicas is how many voters a range has where no pin says otherwise.
	Replicas int
	// DeadAfter is how long a node is dead before its replicas are replaced.
	DeadAfter time.Duration
	// SettleAfter is how long a node is up before it gets leaders and replicas
	// for any reason but repair.
	SettleAfter time.Duration
	// LearnerTimeout is how long a learner may take to catch up.
	LearnerTimeout time.Duration

	// Operators bounds those in progress in the whole cluster, CopiesPerNode the
	// replicas that a node sends or receives at a time, TransfersPerNode the
	// leaderships that it gives or takes. Operators that end what was begun are
	// not held up.
	Operators, CopiesPerNode, TransfersPerNode int

	// FullAbove is the used share of a store's capacity above which replicas
	// leave; AcceptBelow is the share up to which it takes some.
	FullAbove, AcceptBelow float64

	// SplitBytes splits a larger range; two neighbours are merged if they have
	// MergeBytes at most together.
	SplitBytes, MergeBytes int64
	// SplitOps splits a range with more operations per second; neighbours are
	// merged if they have MergeOps at most together.
	SplitOps, MergeOps float64
	// SplitCooldown passes between splits of a range, MergeCooldown between its
	// last split or merge and a merge.
	SplitCooldown, MergeCooldown time.Duration
	// MoveCooldown passes before balancing moves the same range again.
	MoveCooldown time.Duration

	// BusyCPU is the share of a node's processors below which its load is not
	// worth a move.
	BusyCPU float64
	// LeaderMargin is in leaders, ReplicaMargin in replicas of mean size,
	// LoadMargin in operations per second.
	LeaderMargin, ReplicaMargin, LoadMargin Margin
}

// DefaultSettings suit a cluster of a few nodes to a few dozen.
func DefaultSettings() Settings {
	return Settings{
		Replicas:         3,
		DeadAfter:        5 * time.Minute,
		SettleAfter:      30 * time.Second,
		LearnerTimeout:   10 * time.Minute,
		Operators:        64,
		CopiesPerNode:    4,
		TransfersPerNode: 16,
		FullAbove:        0.92,
		AcceptBelow:      0.85,
		SplitBytes:       512 << 20,
		MergeBytes:       128 << 20,
		SplitOps:         10_000,
		MergeOps:         1_000,
		SplitCooldown:    20 * time.Second,
		MergeCooldown:    10 * time.Minute,
		MoveCooldown:     time.Minute,
		BusyCPU:          0.4,
		LeaderMargin:     Margin{Share: 0.05, Least: 1},
		ReplicaMargin:    Margin{Share: 0.05, Least: 1},
		LoadMargin:       Margin{Share: 0.15, Least: 500},
	}
}

// check refuses settings under which placement would undo its own work.
func (s *Settings) check() error {
	switch {
	case s.Replicas < 1 || s.Replicas > ReplicasMax || s.Replicas%2 == 0:
		return errors.Newf("%d replicas: an odd number up to %d is possible", s.Replicas, ReplicasMax)
	case s.AcceptBelow >= s.FullAbove:
		return errors.Newf("a store that takes replicas up to %.2f is full above %.2f", s.AcceptBelow, s.FullAbove)
	case 2*s.MergeBytes > s.SplitBytes || 2*s.MergeOps > s.SplitOps:
		return errors.New("merged ranges would be split again: the bounds for merging are more than half of those for splitting")
	case s.Operators < 1 || s.CopiesPerNode < 1 || s.TransfersPerNode < 1:
		return errors.New("no operator may run at all")
	}
	return nil
}
