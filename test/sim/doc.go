// Package sim runs the real store and replica of one node, single-threaded, on a
// simulated disk and clock. One seed is one run: what clients do, when the
// replica steps, when time passes, and every fault follow from it. The same seed
// gives the same trace.
//
// Faults: a crash at any I/O of the log, the oracle or the state (the process
// dies: what was written stays; or the power fails: any part of what was not
// synced is lost, torn inside a write), a bit that flips in a log segment, a disk
// without room.
//
// What is checked: the history of every client against strict serializability
// (package history), acknowledged writes after every crash, that replies wait for
// their commit, the log of versionstamped keys, and that a damaged log is refused
// without being changed.
package sim
