// Package sim runs the real store and replica of one node on a simulated disk and
// clock. Clients, the replica's loop and the maintenance are coroutines: one runs
// at a time, up to the next point where other goroutines could run, and the seed
// says who is next. What clients do, when time passes, and every fault follow from
// it, too. The same seed gives the same trace.
//
// Faults: a crash at any I/O of the log, the oracle or the state (the process
// dies: what was written stays; or the power fails: any part of what was not
// synced is lost, torn inside a write), a bit that flips in a log segment, a disk
// without room, above the log and below it, a clock that jumps and goes back, a
// window under memory pressure, clean stops.
//
// What is checked: the history of every client against strict serializability
// (package history), operations on registers by porcupine, acknowledged writes
// after every crash, that a request id takes effect once, that guards hold, that
// versionstamps grow in real time, and that a damaged log is refused without being
// changed. docs/internals/simulation.md says what is not covered.
package sim
