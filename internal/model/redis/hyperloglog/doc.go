// Package hyperloglog is Redis's commands that count different elements about, with a
// standard error of 0.81 %, in strings of at most 12,304 bytes: one function per command
// over a kv.Txn.
//
// The strings are Redis's own, byte by byte, so that they can be read and written by GET
// and SET, here and there:
//
//	 0      4          5    8                              16
//	┌──────┬──────────┬────┬──────────────────────────────┬───────────
//	│ HYLL │ encoding │ 0  │ what was counted, little-    │ registers
//	│      │          │    │ endian; its highest bit: not │
//	└──────┴──────────┴────┴──────────────────────────────┴───────────
//
//	encoding 0 (dense): 16,384 registers of six bits, the lower bits of a byte first
//	encoding 1 (sparse): runs of registers: 00llllll of l+1 zeros, 01llllll llllllll of
//	          l+1 zeros, 1vvvvvll of l+1 with v+1
//
// A register has the greatest number of zero bits that the hash of one of its elements
// begins with, and one. How registers are counted is from Otmar Ertl, New cardinality
// estimation algorithms for HyperLogLog sketches, arXiv:1702.01284.
package hyperloglog
