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

// encoding says how a value is laid out. The numbers are on disk, each type has
// its own.
type encoding uint8

const (
	// A string in its header.
	encInline encoding = 1
	// The same, which OBJECT ENCODING calls raw whatever its length.
	encInlineRaw encoding = 2
	// The same, which OBJECT ENCODING never calls int.
	encInlineText encoding = 3
	// A string in pieces behind its header.
	encPieces encoding = 4

	// A hash or a set in its header.
	encFields encoding = 1
	// A hash with a time of expiry at each field.
	encFieldsTTL encoding = 2
	// A hash or a set with a row per field, or member.
	encRows encoding = 3
)

// Flags of a header record. On disk.
const (
	flagExpires        byte = 1 << 0 // eight bytes of expiry follow
	flagElementExpires byte = 1 << 1 // eight bytes of the first element's expiry follow
	flagWide           byte = 1 << 2 // Redis would not call it a listpack any more
	flagText           byte = 1 << 3 // a set that Redis would not call an intset
	flagsKnown              = flagExpires | flagElementExpires | flagWide | flagText
)

// header is a decoded header record.
type header struct {
	kind Type
	enc  encoding
	wide bool
	text bool
	// expireAt is when the key ends, in ms of the Unix epoch; 0: never.
	expireAt int64
	// elementsAt is when the first of its elements does; 0: none.
	elementsAt int64
	// body belongs to the type and its encoding.
	body []byte
}

const headerFixedBytes = 3

func (h *header) size() int {
	n := headerFixedBytes
	if h.expireAt != 0 {
		n += 8
	}
	if h.elementsAt != 0 {
		n += 8
	}
	return n
}

// put writes everything but the body and returns where the body begins.
func (h *header) put(b []byte) int {
	b[0] = headerVersion<<4 | byte(h.kind)
	b[1] = byte(h.enc)
	n, flags := headerFixedBytes, byte(0)
	if h.wide {
		flags |= flagWide
	}
	if h.text {
		flags |= flagText
	}
	if h.expireAt != 0 {
		flags |= flagExpires
		binary.BigEndian.PutUint64(b[n:], uint64(h.expireAt))
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
func decodeHeader(b []byte) (h header, err error) {
	if len(b) < headerFixedBytes {
		return h, corrupt("header of %d bytes", len(b))
	}
	if b[0]>>4 != headerVersion {
		return h, corrupt("header version %d", b[0]>>4)
	}
	h.kind, h.enc = Type(b[0]&0x0F), encoding(b[1])
	flags, n := b[2], headerFixedBytes
	if h.kind == TypeNone || h.kind > TypeStream || flags&^flagsKnown != 0 {
		return h, corrupt("header of type %d with flags %#x", h.kind, flags)
	}
	h.wide, h.text = flags&flagWide != 0, flags&flagText != 0
	if flags&flagExpires != 0 {
		if h.expireAt, n, err = takeTime(b, n); err != nil {
			return h, err
		}
	}
	if flags&flagElementExpires != 0 {
		if h.elementsAt, n, err = takeTime(b, n); err != nil {
			return h, err
		}
	}
	h.body = b[n:]
	return h, h.validate()
}

func takeTime(b []byte, n int) (int64, int, error) {
	if len(b) < n+8 {
		return 0, n, corrupt("header of %d bytes ends in a time", len(b))
	}
	at := int64(binary.BigEndian.Uint64(b[n:]))
	if at <= 0 {
		return 0, n, corrupt("header with expiry %d", at)
	}
	return at, n + 8, nil
}

// validate checks what costs no more than a look at the fixed parts.
func (h *header) validate() error {
	switch h.kind {
	case TypeString:
		return h.validateString()
	case TypeHash:
		return h.validateHash()
	case TypeSet:
		if h.elementsAt != 0 {
			return corrupt("set with expiring members")
		}
		return h.validateHash()
	case TypeList:
		return h.validateList()
	case TypeZSet:
		return h.validateZSet()
	}
	return nil
}

func (h *header) validateString() error {
	if h.elementsAt != 0 {
		return corrupt("string with expiring elements")
	}
	switch h.enc {
	case encInline, encInlineRaw, encInlineText:
		return nil
	case encPieces:
		if len(h.body) == piecesBodyBytes && h.piecesLen() >= 0 && h.pieceBytes() > 0 {
			return nil
		}
	}
	return corrupt("string of encoding %d with a body of %d bytes", h.enc, len(h.body))
}

func (h *header) validateHash() error {
	switch h.enc {
	case encFields, encFieldsTTL:
		if len(h.body) > 0 && (h.enc == encFieldsTTL) == (h.elementsAt != 0) {
			return nil
		}
	case encRows:
		if len(h.body) != rowsBodyBytes {
			break
		}
		n, expiring := h.rowCounts()
		if n > 0 && expiring >= 0 && expiring <= n && (expiring > 0) == (h.elementsAt != 0) {
			return nil
		}
	}
	return corrupt("%v of encoding %d with a body of %d bytes", h.kind, h.enc, len(h.body))
}

// hasRows reports whether rows stand behind the header.
func (h *header) hasRows() bool {
	switch h.kind {
	case TypeString:
		return h.enc == encPieces
	case TypeHash, TypeSet:
		return h.enc == encRows
	case TypeList:
		return h.enc != encListEnds
	case TypeZSet:
		return h.enc != encMembers
	}
	return true
}
