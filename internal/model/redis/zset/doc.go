// Package zset is the sorted sets of Redis's data model, see package redis: one function
// per command over a kv.Txn.
//
// A sorted set inside its header: the number of members in two bytes, then for each in
// their order its length as a uvarint, its bytes, and eight bytes of score.
//
// A sorted set in rows: a row per member, by place, says its score; package rank keeps
// score and member in their order, in leaves of 512 bytes, and counts them. The body says how
// many members and levels there are. All that a new member or one that goes needs is read by
// name: its row, and the nodes above its leaf.
//
// A score is eight bytes of a float. In the order they are turned so that they sort.
// There is one zero.
package zset
