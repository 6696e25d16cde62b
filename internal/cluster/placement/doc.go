// Package placement decides where replicas and leaders belong and where ranges are
// cut. It is a pure function: a snapshot of the cluster goes in, a plan comes out.
// The leader of the meta range calls it, carries the plan out, and calls it again.
//
//	nodes, ranges, pins, ──► Decide ──► plan: at most one operator per range,
//	settings, now                             reports of what it cannot mend
//	                     ──► Explain ─► text: each rule, what it saw, its answer
//
// The rules are asked in the order of ruleTable, each about every range before the
// next one, so that what matters more gets the slots first. A rule may pass, act
// or hold; after an act or a hold later rules leave the range alone in this round.
//
//	quorum     nothing is done without a live majority
//	busy       nothing is done beside another operator, or without a leader
//	finish     joint configurations are left, learners promoted or removed
//	dead       voters on lost nodes are replaced after a delay
//	leave      leaders, then voters, leave draining, decommissioning and full nodes
//	count      voters are added up to the number wanted, or removed above it
//	split      at the bounds of pins, by size, by load
//	primary    the leader is the one that a pin prefers
//	pins       voters are where pins demand and prefer them
//	diversity  voters share as few failure domains as possible
//	merge      small and cold neighbours are brought together and united
//	load       leaderships leave overloaded nodes, the hottest range first
//	leaders    nodes lead about as many ranges as others
//	replicas   nodes hold about as many replicas and bytes as others
//
// Splits stand above balance because they move no data and make what is to be
// balanced smaller.
//
// # Rules
//
//   - P1 One operator per range, and one change of its membership at a time. A range
//     with a learner or a joint configuration gets no second change until the first
//     has ended or was undone.
//   - P2 A plan never costs a quorum: no operator without a live majority in the
//     configuration that is and in the one that it makes. Suspected nodes count as
//     not live here and as not dead for "dead". A range that has lost its majority
//     to dead nodes is reported, for only people can decide what to give up.
//   - P3 A range has at most one voter more than wanted, and only while it has to
//     hand over from its leader. The number falls below what is wanted only if
//     operators take nodes away, to an odd number of at least three.
//   - P4 Replica ids are never used again: AddLearner names the descriptor's next id,
//     so an operator that comes too late is recognised.
//   - P5 The leader is never removed. It hands over first.
//   - P6 Operators are bounded in the whole cluster and per node. What ends a change
//     that was begun is not held up by them.
//   - P7 What is optional (pins, diversity, merges, balance) moves replicas only of
//     ranges whose voters are all live, and only to nodes that have been up for a
//     while. So a node that flaps between up and suspected causes no moves.
//   - P8 Everything optional makes something strictly better that no other rule makes
//     worse: pins, then diversity at equal pins, then balance at equal diversity. In
//     balance "better" needs a margin on top of what the move itself shifts, and load,
//     which wavers by itself, a band in which nothing happens. So the cluster comes to
//     rest (TestConverges), and without margins it does not (TestHysteresisIsNeeded).
//   - P9 Splits and merges have bounds that are at least a factor of two apart, and
//     cool-downs, so that they do not undo each other.
//   - P10 No replica is put where a pin's demand does not allow it, even if there are
//     fewer than wanted; one that is there already stays, and is reported, until an
//     allowed node can take it, for a pin is no reason to lose a copy. A pin's
//     preferences win over diversity and balance, for somebody asked for them by name;
//     they lose against the health of a node.
//   - P11 Equal snapshots give equal plans and equal explanations: no clock, no
//     randomness, no order of maps.
//
// # Words
//
// A voter is lost if its node is removed or has been dead for Settings.DeadAfter. A
// node is leaving if it is draining or being decommissioned. The weight of a node is
// the number of its replicas, half of each counted by its bytes. Load is in
// operations per second: reads and writes for a leader, half of the writes for
// others. Tallies are of the state that will be when everything in progress has
// ended, so that a plan does not repeat what an earlier one has begun.
package placement
