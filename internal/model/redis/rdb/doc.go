// Package rdb is DUMP and RESTORE: values in the format of Redis's RDB files, of versions
// 6 to 12.
//
//	type 1 | value | version 2 | CRC-64 of all before 8     (little-endian)
//
// Redis has many types for a value, one for each of its encodings in memory. All of them
// are read but those that are older than Redis 2.6; written are those that every version
// of Redis reads as it would its own: strings, elements one by one, and for streams the
// format of 7.0. A hash with fields that expire takes that of 7.4.
package rdb
