// Package zmap is an ordered map of bytes to bytes per namespace, with the
// operations of the key-value core itself: point and range reads, key selectors,
// atomic mutations, and typed numbers. A function takes a kv.Txn, a Map and
// arguments and returns values; it knows no sockets and no RESP.
//
// # Layout
//
//	data/<namespace>/0x02 <key>  →  value
//
// A key stands as it is, so the order of the keys is that of their bytes and
// every range of the map is one range of the core. The empty key is a key.
//
// Numbers are little-endian: int64 (8 bytes, two's complement), float64 (8 bytes,
// IEEE 754), decimal128 (16 bytes, IEEE 754 in its binary integer encoding, low
// word first). Nothing marks a value as a number; the length is all that is checked.
//
// # Conflicts
//
// Atomic mutations, and so the increments of int64, read nothing: transactions
// that do them to the same key do not conflict. The other increments read and
// write. APPEND_IF_FITS has to know the length here, because the map's limit is
// below that of the core: a short command reads the value, an interactive
// transaction looks at it without a conflict, so appends from several of them at
// once may exceed ValueBytes, up to the core's limit.
//
// # Limits
//
// Keys have up to 10,000 bytes and values up to 100,000, as in FoundationDB, whose
// clients know these numbers.
package zmap
