package tuple

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"
)

// The Append functions add one element to a tuple that is being built in dst, at
// its top level: the concatenation of encoded elements is an encoded tuple.

// AppendNull appends nil.
func AppendNull(dst []byte) []byte { return append(dst, codeNull) }

// AppendBytes appends a byte string; nil is the empty one.
func AppendBytes(dst, b []byte) []byte {
	dst = append(dst, codeBytes)
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			dst = append(dst, b...)
			return append(dst, 0)
		}
		dst = append(dst, b[:i+1]...)
		dst = append(dst, escape)
		b = b[i+1:]
	}
}

// AppendString appends a Unicode string.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, codeString)
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			dst = append(dst, s...)
			return append(dst, 0)
		}
		dst = append(dst, s[:i+1]...)
		dst = append(dst, escape)
		s = s[i+1:]
	}
}

// AppendInt appends a signed integer.
func AppendInt(dst []byte, n int64) []byte {
	if n >= 0 {
		return AppendUint(dst, uint64(n))
	}
	magnitude := -uint64(n)
	size := intBytes(magnitude)
	return appendLow(append(dst, byte(codeZero-size)), ^magnitude, size)
}

// AppendUint appends an unsigned integer. It is encoded like the signed integer
// of the same value.
func AppendUint(dst []byte, n uint64) []byte {
	size := intBytes(n)
	return appendLow(append(dst, byte(codeZero+size)), n, size)
}

func intBytes(n uint64) int { return (bits.Len64(n) + 7) / 8 }

// appendLow appends the low size bytes of n, big-endian.
func appendLow(dst []byte, n uint64, size int) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return append(dst, b[8-size:]...)
}

// AppendBigInt appends an integer of any size up to MaxIntegerBytes; it panics
// above. Integers of eight bytes and less are encoded as AppendInt does.
func AppendBigInt(dst []byte, n *big.Int) []byte {
	size := (n.BitLen() + 7) / 8
	negative := n.Sign() < 0
	switch {
	case size > MaxIntegerBytes:
		panic(fmt.Sprintf("tuple: integer of %d bytes", size))
	case size > maxSmallIntBytes && negative:
		dst = append(dst, codeNegativeBig, ^byte(size))
	case size > maxSmallIntBytes:
		dst = append(dst, codePositiveBig, byte(size))
	case negative:
		dst = append(dst, byte(codeZero-size))
	default:
		dst = append(dst, byte(codeZero+size))
	}
	from := len(dst)
	dst = append(dst, make([]byte, size)...)
	n.FillBytes(dst[from:])
	if negative {
		invert(dst[from:])
	}
	return dst
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// AppendFloat32 appends a float32.
func AppendFloat32(dst []byte, f float32) []byte {
	n := math.Float32bits(f)
	if n>>31 != 0 {
		n = ^n
	} else {
		n ^= 1 << 31
	}
	return binary.BigEndian.AppendUint32(append(dst, codeFloat32), n)
}

// AppendFloat64 appends a float64.
func AppendFloat64(dst []byte, f float64) []byte {
	n := math.Float64bits(f)
	if n>>63 != 0 {
		n = ^n
	} else {
		n ^= 1 << 63
	}
	return binary.BigEndian.AppendUint64(append(dst, codeFloat64), n)
}

// AppendBool appends a truth value.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

// AppendUUID appends a UUID.
func AppendUUID(dst []byte, u UUID) []byte {
	return append(append(dst, codeUUID), u[:]...)
}

// AppendVersionstamp appends a versionstamp. If it is incomplete, the ten bytes
// that the commit replaces begin one byte behind the end of dst.
func AppendVersionstamp(dst []byte, v Versionstamp) []byte {
	return v.append(append(dst, codeVersionstamp))
}

// AppendTuple appends t as one element; Tuple.Append appends its elements.
func AppendTuple(dst []byte, t Tuple) []byte { return appendNested(dst, t, 1) }

// AppendElement appends an element of any type. It panics where Pack does.
func AppendElement(dst []byte, e Element) []byte { return appendElement(dst, e, 0) }

func appendNested(dst []byte, t Tuple, depth int) []byte {
	if depth > MaxDepth {
		panic(fmt.Sprintf("tuple: nested deeper than %d", MaxDepth))
	}
	dst = append(dst, codeNested)
	for _, e := range t {
		if e == nil {
			dst = append(dst, codeNull, escape)
			continue
		}
		dst = appendElement(dst, e, depth)
	}
	return append(dst, 0)
}

// appendElement appends an element of a tuple at the given depth.
func appendElement(dst []byte, e Element, depth int) []byte {
	switch e := e.(type) {
	case nil:
		return AppendNull(dst)
	case []byte:
		return AppendBytes(dst, e)
	case string:
		return AppendString(dst, e)
	case Tuple:
		return appendNested(dst, e, depth+1)
	case int:
		return AppendInt(dst, int64(e))
	case int64:
		return AppendInt(dst, e)
	case uint64:
		return AppendUint(dst, e)
	case float64:
		return AppendFloat64(dst, e)
	case bool:
		return AppendBool(dst, e)
	case UUID:
		return AppendUUID(dst, e)
	case Versionstamp:
		return AppendVersionstamp(dst, e)
	}
	return appendRare(dst, e)
}

func appendRare(dst []byte, e Element) []byte {
	switch e := e.(type) {
	case int32:
		return AppendInt(dst, int64(e))
	case int16:
		return AppendInt(dst, int64(e))
	case int8:
		return AppendInt(dst, int64(e))
	case uint:
		return AppendUint(dst, uint64(e))
	case uint32:
		return AppendUint(dst, uint64(e))
	case uint16:
		return AppendUint(dst, uint64(e))
	case uint8:
		return AppendUint(dst, uint64(e))
	case *big.Int:
		return AppendBigInt(dst, e)
	case big.Int:
		return AppendBigInt(dst, &e)
	case float32:
		return AppendFloat32(dst, e)
	}
	panic(fmt.Sprintf("tuple: element of type %T", e))
}
