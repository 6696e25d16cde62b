// Package redis is Redis's data model: one function per command over a kv.Txn.
// It knows no sockets, no RESP, no goroutines and no clock but the transaction's.
//
// What all types share is here: headers, slots, places, expiry, the commands on keys. So
// are strings, hashes and sets. Other types are packages that stand on Entry, a key as
// one command sees it: list, zset, stream; bitmap and hyperloglog are commands on
// strings, geo on sorted sets, sorting on lists and both sets, rdb on all types. Header and row numbers of
// all of them are below.
//
// A function takes the transaction, a DB handle and arguments, and returns
// values. The caller's mistakes are *Error, whose text is Redis's reply. One that
// returns an error has written nothing, save the deletion of what was overdue.
// Replies that are lists are appended to a slice of the caller. Values that are
// returned live until the transaction ends; arguments must live as long.
//
// # Layout
//
// Everything of a database stands under its prefix (package keyspace), by hash
// slot. All numbers below are on disk.
//
//	<db> <slot 2>
//	  ├─ 0x00 0x01                              counters: keys 8, expiring 8, with
//	  │                                         expiring elements 8 (little-endian)
//	  ├─ 0x01 <place 5> <key> 0x00 0x01         header
//	  │        ├─ 0x01 <number 4>               string: piece
//	  │        ├─ 0x02 <place 5> <field>        hash: flag 1 [expiry 8] value; set: flag 1
//	  │        ├─ 0x03 <millis 8> <field>       hash: TTL index of the fields
//	  │        ├─ 0x04 <position 8>             list: node, number 2 and a run
//	  │        ├─ 0x05 <place 5> <member>       sorted set: score 8
//	  │        └─ 0x06 ...                     sorted set: order, see package rank
//	  └─ 0x02 <millis 8> <key> 0x00 0x01        TTL index: the key's own expiry
//	                         └─ 0x01            ... or that of its first element
//
// The header:
//
//	 0           1         2       3
//	┌─────┬─────┬─────────┬───────┬──────────────┬──────────────────┬──────
//	│ ver │type │encoding │ flags │ [expiry 8]   │ [first element's │ body
//	│ 4 b │ 4 b │         │       │ if flag 0x01 │  8] if flag 0x02 │
//	└─────┴─────┴─────────┴───────┴──────────────┴──────────────────┴──────
//
//	string 1: encoding 1-3 (plain, raw, text): the bytes
//	          encoding 4 (pieces): length 8, bytes per piece 4
//	hash 2:   encoding 1 (fields): count 2, then lengths as uvarints and bytes
//	          encoding 2 (fields with times): the same, each with expiry 8
//	          encoding 3 (rows): count 8, count of expiring fields 8
//	list 3:   encoding 1 (ends): a run of all elements, behind their number 2
//	          encoding 2 (nodes): elements 8, first and last position 8 each, bytes
//	          in a listpack 4, elements per node 2, in the left and the right end
//	          2 each, bytes of the left end 4, the ends as runs
//	          encoding 3 (nodes of any length): the same
//	set 4:    encodings 1 and 3 of a hash whose fields, the members, have no values
//	sorted set 5: encoding 1 (members): count 2, then lengths as uvarints, bytes
//	          and scores 8 (big-endian floats), in their order
//	          encoding 2 (rows): count 8, levels of the order 1
//	stream 6: see package stream, as for its rows (0x08 to 0x0C)
//
// Flag 0x04 remembers that Redis would have left its compact encoding, 0x08 that a set
// would be no intset; they matter to OBJECT ENCODING alone, as do the string encodings 1 to 3. Redis's thresholds
// (44 bytes; 512 fields, 64 bytes) decide what is reported, Options what is done:
// rewriting a header costs its length, so hashes leave it at 64 fields or 2 KiB.
// A value that has left its header does not come back, but for lists: the two ends of one
// stay there, so that pushes and pops write nothing else, and 64 elements or 512 bytes at a
// time become a node between them, or come back from it. An index is a point as long as all
// nodes have as many elements; LRANGE is one scan of nodes, DEL one range clear.
//
// A string of up to 64 KiB is one row; APPEND and SETRANGE cut at 16 KiB, SETBIT and
// BITFIELD at 2 KiB, since they rewrite what they touch. Pieces are sparse: a missing or short one is
// zeros. A SET is bound by the transaction's 64 MiB; APPEND and SETRANGE build up
// to 512 MB over several transactions.
//
// # Invariants
//
// CheckDB verifies R1 to R4; the other packages' checks are handed to it.
//
//	R1  Every command that changes a key writes or clears its header row. (When a
//	    stream's consumer was last seen is no change.) So the header is the row to watch, reading it (with a conflict) protects what
//	    was read behind it, and rows behind it are read without conflicts.
//	R2  A slot's counters are the number of its headers, of those that expire and
//	    of those with an element that does. A slot without keys has no row.
//	R3  The TTL index has exactly one row for each of these times.
//	R4  A header counts the rows behind it; there are no others.
//	R5  Whoever meets an overdue key or field deletes it first (C11); nobody
//	    answers from one. Reads do so, too. A command deletes at most
//	    Options.ReapFields fields of a hash at once and skips the rest; HLEN alone
//	    counts them still.
//
// # Places and cursors
//
// A key's place is 39 bits of its XXH64, and a slot's keys are stored in the order
// of their places, as are the fields of a hash in rows. SCAN's cursor is a slot and
// a place, HSCAN's a place: a point in an order that does not depend on what else
// is stored. That gives what SCAN promises, with no state on the server:
//
//   - a key that stays is returned, whatever comes and goes, and exactly once;
//   - a step reads COUNT keys (and those of the last one's place), however many
//     share its slot: the order by name would not do, because a number cannot
//     address a place among a million names with a common prefix;
//   - a cursor survives restarts, other nodes, splits and moves;
//   - 14 + 39 = 53 bits: clients and Lua scripts that keep cursors in a double
//     do not break them.
//
// The price is five bytes per key. A million keys in one slot share a place about
// once. Whoever builds collisions on purpose makes the steps of his own scans
// longer. RANDOMKEY and HRANDFIELD look behind a random place.
//
// SCAN, KEYS, RANDOMKEY, DBSIZE and the like read without conflicts.
package redis
