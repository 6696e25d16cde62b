// Package eviction makes a database a cache: it deletes keys when they take more than
// maxmemory, those that its policy chooses.
//
//	commands ─► Usage: who used which key when       node-local, by a hash of the key
//	                                  │
//	Evictor: keys × their mean size ──┴─► candidates from random places ─► the worst go
//
// The data lies on disk, so what is bounded is what the keys and values take, not the
// memory of the process: the number of keys, which is kept exactly, times a mean of sizes
// that were looked at. It is looked at ten times a second at most, so there may be more
// for a moment.
package eviction
