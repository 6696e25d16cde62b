// Package tuple encodes lists of typed values as keys whose byte order is the
// order of the values. The encoding is that of FoundationDB's tuple layer, to the
// byte (https://github.com/apple/foundationdb/blob/main/design/tuple.md), so keys
// can be shared with its bindings.
//
//	code       element                  Go type packed            Go type unpacked
//	00         null                     nil                       nil
//	01         byte string              []byte                    []byte
//	02         Unicode string (UTF-8)   string                    string
//	05         nested tuple             Tuple                     Tuple
//	0b         integer of 9-255 bytes,  *big.Int                  *big.Int
//	           negative
//	0c-1c      integer of 0-8 bytes     int…, uint…, *big.Int     int64, or uint64
//	                                                              or *big.Int if too large
//	1d         integer of 9-255 bytes   *big.Int                  *big.Int
//	20         IEEE 754 binary32        float32                   float32
//	21         IEEE 754 binary64        float64                   float64
//	26, 27     false, true              bool                      bool
//	30         UUID                     UUID                      UUID
//	33         versionstamp of 96 bits  Versionstamp              Versionstamp
//
// Invariants:
//
//  1. bytes.Compare(a.Pack(), b.Pack()) == Compare(a, b).
//  2. If a is a proper prefix of b, a.Pack() is a proper prefix of b.Pack().
//  3. Unpack(t.Pack()) is t, but for the Go type of integers; NaN keeps its bits.
//
// Elements of different types are ordered by their codes, so all integers are
// below all floats, and a float32 is below every float64. Floats are in the
// total order of IEEE 754: negative NaN, -Inf, …, -0.0, 0.0, …, +Inf, NaN.
//
// [Tuple.Pack] serves most callers. On hot paths the Append functions build a key
// in a reused buffer, and [Decoder] reads one element after the other without
// allocating.
package tuple
