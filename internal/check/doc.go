// Package check verifies the data directory of a stopped store and changes
// nothing in it.
//
//	identity ─ log: every record ─ state: every block ─ restart ─ every key
//
// A store's data is its state on disk together with the part of the log that the
// state does not contain yet, so that the two cannot be judged apart. Therefore
// the check starts the store: on a file system in which everything on disk can
// be read and all writes stay in memory. It replays the log as a restart would,
// and then walks over the keys that a client would find.
//
// What it holds the keys against: each key belongs to a known part of the
// keyspace, and each Redis database agrees with the layout that package
// model/redis describes (headers, elements, counters, expiry index).
package check
