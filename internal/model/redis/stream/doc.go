// Package stream is the streams of Redis's data model, see package redis: one function per
// command over a kv.Txn.
//
// Everything is a row, named so that what a command asks for is a point or a range. All
// numbers are big-endian, an ID is its milliseconds and its sequence number, 16 bytes.
//
//	header      entries 8, first 16, last 16 and greatest deleted ID 16, entries ever
//	            added 8, groups 4, number of the next group 4
//	0x08 <ID>   entry: the number of its strings, their lengths as uvarints and bytes;
//	            fields and values in turn
//	0x09 <name> group: number 4, last delivered ID 16, entries read 8, pending 8,
//	            consumers 4, number of the next consumer 4, the first that is pending and
//	            one that is not before the last 16 each
//	0x0A <group 4> <name>
//	            consumer: number 4, seen 8, active 8, pending 8
//	0x0B <group 4> <ID>
//	            pending: delivered 8, times 8, consumer's number 4 and name
//	0x0C <group 4> <consumer 4> <ID>
//	            pending at the consumer
//
// The first ID in the header and the bounds of a group keep scans off the deletions that
// trimming and acknowledging leave behind. A group's upper bound tells, too, that what is
// delivered for the first time is not pending yet.
//
// Every change writes the header (R1), but for one: when a consumer was last seen.
package stream
