package redis

import "encoding/binary"

// Type is the type of a value. The numbers are on disk.
type Type uint8

// Types.
const (
	TypeNone   Type = 0
	TypeString Type = 1
	TypeHash   Type = 2
	TypeList   Type = 3
	TypeSet    Type = 4
	TypeZSet   Type = 5
	TypeStream Type = 6
)

var typeNames = [...]string{"none", "string", "hash", "list", "set", "zset", "stream"}

// String is the name that TYPE answers.
func (k Type) String() string {
	if int(k) < len(typeNames) {
		return typeNames[k]
	}
	return "unknown"
}

// TypeByName finds a type by its name in lower case.
func TypeByName(name string) (Type, bool) {
	for i, n := range typeNames[1:] {
		if n == name {
			return Type(i + 1), true
		}
	}
	return TypeNone, false
}

// headerVersion is the layout of header records, in the upper half of their
// first byte. On disk.
const headerVersion = 1

// Encoding says how a value is laid out. The numbers are on disk, each type has
// its own.
type Encoding uint8

const (
	// A string in its header.
	EncInline Encoding = 1
	// The same, which OBJECT ENCODING calls raw whatever its length.
	EncInlineRaw Encoding = 2
	// The same, which OBJECT ENCODING never calls int.
	EncInlineText Encoding = 3
	// A string in pieces behind its header.
	EncPieces Encoding = 4

	// A hash or a set in its header.
	encFields Encoding = 1
	// A hash with a time of expiry at each field.
	encFieldsTTL Encoding = 2
	// A hash or a set with a row per field, or member.
	encRows Encoding = 3

	// A list, a sorted set or a stream in its header.
	encWhole Encoding = 1
)

// Flags of a header record. On disk.
const (
	flagExpires        byte = 1 << 0 // eight bytes of expiry follow
	flagElementExpires byte = 1 << 1 // eight bytes of the first element's expiry follow
	flagWide           byte = 1 << 2 // Redis would not call it a listpack any more
	flagText           byte = 1 << 3 // a set that Redis would not call an intset
	flagsKnown              = flagExpires | flagElementExpires | flagWide | flagText
)

// Header is a decoded header record.
type Header struct {
	Kind Type
	Enc  Encoding
	Wide bool
	text bool
	// expireAt is when the key ends, in ms of the Unix epoch; 0: never.
	ExpireAt int64
	// elementsAt is when the first of its elements does; 0: none.
	elementsAt int64
	// body belongs to the type and its encoding.
	Body []byte
}

const headerFixedBytes = 3

func (h *Header) size() int {
	n := headerFixedBytes
	if h.ExpireAt != 0 {
		n += 8
	}
	if h.elementsAt != 0 {
		n += 8
	}
	return n
}

// put writes everything but the body and returns where the body begins.
func (h *Header) put(b []byte) int {
	b[0] = headerVersion<<4 | byte(h.Kind)
	b[1] = byte(h.Enc)
	n, flags := headerFixedBytes, byte(0)
	if h.Wide {
		flags |= flagWide
	}
	if h.text {
		flags |= flagText
	}
	if h.ExpireAt != 0 {
		flags |= flagExpires
		binary.BigEndian.PutUint64(b[n:], uint64(h.ExpireAt))
		n += 8
	}
	if h.elementsAt != 0 {
		flags |= flagElementExpires
		binary.BigEndian.PutUint64(b[n:], uint64(h.elementsAt))
		n += 8
	}
	b[2] = flags
	return n
}

// decodeHeader reads a record. The body shares its memory.
func decodeHeader(b []byte) (h Header, err error) {
	if len(b) < headerFixedBytes {
		return h, Corrupt("header of %d bytes", len(b))
	}
	if b[0]>>4 != headerVersion {
		return h, Corrupt("header version %d", b[0]>>4)
	}
	h.Kind, h.Enc = Type(b[0]&0x0F), Encoding(b[1])
	flags, n := b[2], headerFixedBytes
	if h.Kind == TypeNone || h.Kind > TypeStream || flags&^flagsKnown != 0 {
		return h, Corrupt("header of type %d with flags %#x", h.Kind, flags)
	}
	h.Wide, h.text = flags&flagWide != 0, flags&flagText != 0
	if flags&flagExpires != 0 {
		if h.ExpireAt, n, err = takeTime(b, n); err != nil {
			return h, err
		}
	}
	if flags&flagElementExpires != 0 {
		if h.elementsAt, n, err = takeTime(b, n); err != nil {
			return h, err
		}
	}
	h.Body = b[n:]
	return h, h.Validate()
}

func takeTime(b []byte, n int) (int64, int, error) {
	if len(b) < n+8 {
		return 0, n, Corrupt("header of %d bytes ends in a time", len(b))
	}
	at := int64(binary.BigEndian.Uint64(b[n:]))
	if at <= 0 {
		return 0, n, Corrupt("header with expiry %d", at)
	}
	return at, n + 8, nil
}

// TimedElements reports whether some of a hash's fields expire.
func (h *Header) TimedElements() bool { return h.elementsAt != 0 }

// Validate checks what costs no more than a look at the fixed parts.
func (h *Header) Validate() error {
	if h.elementsAt != 0 && h.Kind != TypeHash {
		return Corrupt("%v with expiring elements", h.Kind)
	}
	switch h.Kind {
	case TypeString:
		return h.validateString()
	case TypeHash:
		return h.validateHash()
	case TypeSet:
		return h.validateHash()
	}
	return nil // whoever knows the type looks at the body
}

func (h *Header) validateString() error {
	switch h.Enc {
	case EncInline, EncInlineRaw, EncInlineText:
		return nil
	case EncPieces:
		if len(h.Body) == piecesBodyBytes && h.piecesLen() >= 0 && h.pieceBytes() > 0 {
			return nil
		}
	}
	return Corrupt("string of encoding %d with a body of %d bytes", h.Enc, len(h.Body))
}

func (h *Header) validateHash() error {
	switch h.Enc {
	case encFields, encFieldsTTL:
		if len(h.Body) > 0 && (h.Enc == encFieldsTTL) == (h.elementsAt != 0) {
			return nil
		}
	case encRows:
		if len(h.Body) != rowsBodyBytes {
			break
		}
		n, expiring := h.rowCounts()
		if n > 0 && expiring >= 0 && expiring <= n && (expiring > 0) == (h.elementsAt != 0) {
			return nil
		}
	}
	return Corrupt("%v of encoding %d with a body of %d bytes", h.Kind, h.Enc, len(h.Body))
}

// hasRows reports whether rows stand behind the header.
func (h *Header) hasRows() bool {
	switch h.Kind {
	case TypeString:
		return h.Enc == EncPieces
	case TypeHash, TypeSet:
		return h.Enc == encRows
	}
	return h.Enc != encWhole
}
