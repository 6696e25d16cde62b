package resp

import (
	"bytes"
	"strconv"
)

// AppendFormat appends the reply as redis-cli shows it on a terminal, with a
// final line feed. Big numbers, which redis-cli does not know, are printed like
// integers; attributes are left out.
func AppendFormat(dst []byte, v Value) []byte { return appendFormat(dst, v, nil) }

func appendFormat(dst []byte, v Value, indent []byte) []byte {
	switch v.Kind {
	case KindArray, KindMap, KindSet, KindPush:
		return appendAggregate(dst, v, indent)
	case KindError:
		dst = append(append(dst, "(error) "...), v.Str...)
	case KindInt:
		dst = strconv.AppendInt(append(dst, "(integer) "...), v.Int, 10)
	case KindBigNumber:
		dst = append(append(dst, "(integer) "...), v.Str...)
	case KindDouble:
		dst = append(append(dst, "(double) "...), v.Str...)
	case KindBulk:
		dst = AppendQuoted(dst, v.Str)
	case KindSimpleString, KindVerbatim:
		dst = append(dst, v.Str...)
	case KindBool:
		dst = appendBool(dst, v)
	default:
		dst = append(dst, "(nil)"...)
	}
	return append(dst, '\n')
}

func appendBool(dst []byte, v Value) []byte {
	if v.Int != 0 {
		return append(dst, "(true)"...)
	}
	return append(dst, "(false)"...)
}

// appendAggregate numbers the elements. The first one stands on the line that
// has begun; the others begin with indent.
func appendAggregate(dst []byte, v Value, indent []byte) []byte {
	name, mark, per := "array", byte(')'), 1
	switch v.Kind {
	case KindMap:
		name, mark, per = "hash", '#', 2
	case KindSet:
		name, mark = "set", '~'
	case KindPush:
		name = "push"
	}
	if len(v.Array) == 0 {
		return append(append(append(dst, "(empty "...), name...), ")\n"...)
	}
	width := len(strconv.Itoa(len(v.Array) / per))
	inner := append(bytes.Clone(indent), bytes.Repeat([]byte{' '}, width+2)...)
	for i := 0; i+per <= len(v.Array); i += per {
		if i > 0 {
			dst = append(dst, indent...)
		}
		number := strconv.Itoa(i/per + 1)
		dst = append(dst, bytes.Repeat([]byte{' '}, width-len(number))...)
		dst = append(append(dst, number...), mark, ' ')
		dst = appendFormat(dst, v.Array[i], inner)
		if per == 1 {
			continue
		}
		dst = append(dst[:len(dst)-1], " => "...)
		if value := v.Array[i+1]; severalLines(value) {
			dst = append(append(dst, '\n'), inner...)
		}
		dst = appendFormat(dst, v.Array[i+1], inner)
	}
	return dst
}

// severalLines reports whether a map's value has more than one element, so that
// it begins on a line of its own.
func severalLines(v Value) bool {
	switch v.Kind {
	case KindArray, KindSet, KindPush:
		return len(v.Array) > 1 || len(v.Array) == 1 && severalLines(v.Array[0])
	case KindMap:
		return len(v.Array) > 2 || len(v.Array) == 2 && severalLines(v.Array[1])
	}
	return false
}

// AppendRaw appends the reply as redis-cli prints it into a pipe, with a final
// line feed: elements on lines of their own, a map's key and value on one.
func AppendRaw(dst []byte, v Value) []byte { return append(appendRaw(dst, v), '\n') }

func appendRaw(dst []byte, v Value) []byte {
	switch v.Kind {
	case KindError:
		return append(append(dst, v.Str...), '\n')
	case KindInt:
		return strconv.AppendInt(dst, v.Int, 10)
	case KindBool:
		return appendBool(dst, v)
	case KindArray, KindSet, KindPush, KindMap:
		for i, e := range v.Array {
			switch {
			case i == 0:
			case v.Kind == KindMap && i%2 == 1:
				dst = append(dst, ' ')
			default:
				dst = append(dst, '\n')
			}
			dst = appendRaw(dst, e)
		}
		return dst
	}
	return append(dst, v.Str...)
}

// AppendQuoted appends s in double quotes, with the escapes that SplitWords reads.
func AppendQuoted(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch c {
		case '\\', '"':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\a':
			dst = append(dst, '\\', 'a')
		case '\b':
			dst = append(dst, '\\', 'b')
		default:
			if c < ' ' || c > '~' {
				dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
				continue
			}
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
