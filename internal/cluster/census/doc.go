// Package census keeps what a node's store knows of the ranges that it leads: where
// their replicas are, how large they are, how much is read and written, and where they
// could be cut. Who cares for all ranges asks every node for what has changed.
//
//	Look, every second:  replicas' meters ──► rates, samples, sizes ──► what is published
//	Since(version)                                                ──► Report: what has changed
//
// What has not changed much is not published again, so that ranges in which nothing
// happens cost a look at their meters and nothing else, here or on the way. Sizes are
// estimated when something was written, keys for a cut looked for when a range is near
// its bounds.
package census
