// Package torture runs real processes, three nodes of a cluster, under everything that
// can be done to them from outside while clients move money between accounts and append to
// lists, in transactions over ranges that are cut and moved all the time: nodes are killed
// and stopped, alone and all at once, and cut off from each other, both ways, one way, and
// some from some. Beside that a fourth node joins, and one of the four is drained and removed,
// or dies for good, again and again. No reader may ever miss money, and what all clients saw
// must be one order of transactions (test/history).
//
// For the cuts every node gets a network of its own (a network namespace): the test runs
// itself again inside of one, in which it is allowed to make them. Where the system does
// not let it, the nodes share the loopback and are not cut off.
//
// TestPartitions does nothing but cut nodes off from each other, and measures how long it
// takes until everything can be written to again.
//
//	make torture                     ten minutes
//	make partitions                  each of five partitions twenty times
//	go test ./test/torture           two minutes; seconds with -short
//	go test ./test/torture -seed 7   the same faults again, but not the same schedule
package torture
