// Package bitmap is Redis's commands on the bits of strings: one function per command over
// a kv.Txn. Bits are counted from the highest one of the first byte.
//
// A long string is in pieces, see package redis, and what no piece holds is zeros: each
// command costs what it touches of those that are there.
package bitmap
