// Package sleep decides which ranges sleep, and keeps the promises of their replicas
// meanwhile: one heartbeat per pair of stores stands for those of all ranges that sleep
// between them. It is a pure table of who has said what; replicas and the store ask it.
//
//	leader's store                            follower's store
//	  Offer ── heartbeat of Raft: sleep? ──▶  Hold     the replica does not tick any more
//	  Confirm ◀───────────── it sleeps ─────
//	  (all have confirmed: it sleeps)
//	  Tick ──── Beat, sent at s ───────────▶  Take
//	  Take ◀─── Beat, echoes s ─────────────           and holds all but what it lists
//
// Both stores hold a set of ranges that sleep between them, whoever leads them. A sleep
// ends on one side first; that side gives the end the next number and lists it in its
// beats until the other side says that it has seen it. Numbers are per pair and direction.
//
// # Invariants
//
//	Z1  What a beat says holds at the moment when it is made: every range whose
//	    sleep its store has begun and not ended sleeps here. A replica ends its sleep
//	    before it ticks, votes or takes any message.
//	Z2  A beat stands for a heartbeat of every range that sleeps at its receiver, led by
//	    its sender. A replica that wakes goes on as if it had ticked since the last one,
//	    or since it fell asleep: Sleep.Ticks.
//	Z3  A range's leader sleeps only while it knows of no end: all other members have
//	    confirmed, and none of them has an end with a number above that of its word.
//	Z4  What an end does not say is not assumed. A word that was overtaken by an end, a
//	    list with a gap, another process on the other side, or its silence ends the
//	    sleeps that it may concern.
//
// From these follows what a lease may rely on (docs/internals/leases.md): when the leader's
// store takes an echo of s, every follower whose range has not been ended by the same beat
// or an earlier one had, at some moment after s, just heard its leader.
package sleep
