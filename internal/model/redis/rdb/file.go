package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFile says that a file is none of Redis's, or damaged.
var ErrFile = errors.New("rdb: not a file of Redis, or a damaged one")

// Opcodes of a file, where a value's type is expected. Redis's numbers.
const (
	opSlot         = 244
	opFunction     = 245
	opModuleAux    = 247
	opIdle         = 248
	opFreq         = 249
	opAux          = 250
	opSizes        = 251
	opExpireMs     = 252
	opExpire       = 253
	opSelect       = 254
	opEnd          = 255
	typeModule     = 7
	modulePartEnd  = 0
	modulePartInt  = 1
	modulePartUint = 2
	modulePartF32  = 3
	modulePartF64  = 4
	modulePartText = 5

	fileVersionMost = 12
	fileHeaderBytes = 9
	// fileChecked is the first version with a checksum at the end.
	fileChecked = 5
)

// File reads an RDB file, which is in memory or mapped into it.
type File struct {
	r       reader
	all     []byte
	version int
	db      int
	aux     map[string]string
}

// Record is a key of a file with its value, or a library of functions.
type Record struct {
	DB  int
	Key []byte
	// ExpireAt is in milliseconds of the Unix epoch; 0 is never.
	ExpireAt int64
	Value    Value
	// Function is the code of a library; then there is no key.
	Function []byte
	// Module says that the value belongs to a module, and was skipped.
	Module bool

	raw []byte
}

// elementBytes is what an element counts for besides its bytes.
const elementBytes = 16

// Size is about how many bytes the value has, which may be more than it takes in the file.
func (r *Record) Size() int {
	v := &r.Value
	n := len(r.raw) + len(v.Text)
	for _, e := range v.Elements {
		n += len(e) + elementBytes
	}
	for i := range v.Fields {
		n += len(v.Fields[i].Field) + len(v.Fields[i].Value) + elementBytes
	}
	for i := range v.Scored {
		n += len(v.Scored[i].Member) + elementBytes
	}
	return n
}

// Payload is the value as DUMP answers it.
func (r *Record) Payload() []byte {
	version := uint16(versionWritten)
	if r.raw[0] > typeStream2 {
		version = versionTimed
	}
	b := binary.LittleEndian.AppendUint16(append(make([]byte, 0, len(r.raw)+trailerBytes), r.raw...), version)
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

// OpenFile looks at a file's first bytes.
func OpenFile(b []byte) (*File, error) {
	if len(b) < fileHeaderBytes || string(b[:5]) != "REDIS" {
		return nil, fmt.Errorf("%w: it does not begin with REDIS", ErrFile)
	}
	version := 0
	for _, c := range b[5:fileHeaderBytes] {
		if c < '0' || c > '9' {
			return nil, fmt.Errorf("%w: version %q", ErrFile, b[5:fileHeaderBytes])
		}
		version = 10*version + int(c-'0')
	}
	if version < 1 || version > fileVersionMost {
		return nil, fmt.Errorf("%w: version %d", ErrFile, version)
	}
	return &File{r: reader{b: b[fileHeaderBytes:]}, all: b, version: version, aux: map[string]string{}}, nil
}

// Aux is what the file says of its origin, as far as it was read: redis-ver, ctime and so on.
func (f *File) Aux() map[string]string { return f.aux }

// Done is how many bytes were read.
func (f *File) Done() int { return len(f.all) - len(f.r.b) }

func (f *File) failed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrFile, what, f.Done())
}

// Next is the next record; io.EOF at the end, where the checksum was compared.
func (f *File) Next() (rec Record, err error) {
	for f.r.err == nil && len(f.r.b) > 0 {
		from := f.r.b
		op := f.r.byte()
		switch op {
		case opEnd:
			return rec, f.end(from)
		case opSelect:
			db := f.r.length()
			if db > math.MaxInt16 {
				return rec, f.failed("a database number")
			}
			f.db = int(db)
		case opSizes:
			f.r.length()
			f.r.length()
		case opSlot:
			f.r.length()
			f.r.length()
			f.r.length()
		case opAux:
			name := string(f.r.string())
			value := string(f.r.string())
			if len(f.aux) < 100 {
				f.aux[name] = value
			}
		case opExpireMs:
			rec.ExpireAt = f.r.signed(8)
		case opExpire:
			rec.ExpireAt = f.r.signed(4) * 1000
		case opIdle:
			f.r.length()
		case opFreq:
			f.r.byte()
		case opModuleAux:
			f.r.length()
			f.module()
		case opFunction:
			rec.Function = f.r.string()
			if f.r.err == nil {
				return rec, nil
			}
		default:
			return f.record(rec, op)
		}
	}
	return rec, f.failed("an unfinished record")
}

// record reads a key and its value.
func (f *File) record(rec Record, kind byte) (Record, error) {
	rec.DB = f.db
	rec.Key = f.r.string()
	from := f.r.b
	if kind == typeModule {
		rec.Module = true
		f.r.length()
		f.module()
	} else {
		var err error
		if rec.Value, err = f.r.value(kind); err != nil || f.r.err == nil && !rec.Value.valid() {
			return rec, f.failed(fmt.Sprintf("a value of type %d", kind))
		}
	}
	if f.r.err != nil {
		return rec, f.failed(fmt.Sprintf("a value of type %d", kind))
	}
	rec.raw = append(make([]byte, 0, len(from)-len(f.r.b)+1), kind)
	rec.raw = append(rec.raw, from[:len(from)-len(f.r.b)]...)
	return rec, nil
}

// module skips what a module has written.
func (f *File) module() {
	for f.r.err == nil {
		switch f.r.length() {
		case modulePartEnd:
			return
		case modulePartInt, modulePartUint:
			f.r.length()
		case modulePartF32:
			f.r.take(4)
		case modulePartF64:
			f.r.take(8)
		case modulePartText:
			f.r.string()
		default:
			f.r.fail()
		}
	}
}

// end compares the checksum; a zero says that there is none.
func (f *File) end(from []byte) error {
	if f.version < fileChecked {
		return io.EOF
	}
	until := len(f.all) - len(from) + 1
	sum := f.r.little(8)
	if f.r.err != nil {
		return f.failed("no checksum")
	}
	if sum != 0 && sum != checksum(f.all[:until]) {
		return fmt.Errorf("%w: the checksum is wrong", ErrFile)
	}
	return io.EOF
}
