package rdb

import (
	"encoding/binary"
	"hash/crc64"
	"math"

	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// Value is a value of one type.
type Value struct {
	Kind redis.Type
	// Text is a string's, Elements a list's or a set's, and so on.
	Text     []byte
	Elements [][]byte
	Fields   []redis.TimedField
	Scored   []zset.Scored
	Stream   *stream.Snapshot
}

// Types of values. Redis's numbers.
const (
	typeString         = 0
	typeList           = 1
	typeSet            = 2
	typeZSetText       = 3
	typeHash           = 4
	typeZSet           = 5
	typeListZiplist    = 10
	typeSetIntset      = 11
	typeZSetZiplist    = 12
	typeHashZiplist    = 13
	typeQuicklist      = 14
	typeStream1        = 15
	typeHashListpack   = 16
	typeZSetListpack   = 17
	typeQuicklist2     = 18
	typeStream2        = 19
	typeSetListpack    = 20
	typeStream3        = 21
	typeHashTimed      = 24
	typeHashTimedPack  = 25
	versionWritten     = 10
	versionTimed       = 12
	versionMost        = 12
	trailerBytes       = 2 + 8
	quicklistPlain     = 1
	quicklistPacked    = 2
	streamNodeEntries  = 100
	streamNodeBytes    = 4096
	streamFlagDeleted  = 1
	streamFlagSame     = 2
	streamEntryFixed   = 3 // flag and the two parts of an ID
	unknownEntriesRead = math.MaxUint64
	timeMost           = 1<<46 - 1 // of a field
)

// table is that of Jones' CRC-64, which begins with zero and ends as it is.
var table = crc64.MakeTable(0x95ac9329ac4bc9b5)

func checksum(b []byte) uint64 { return ^crc64.Update(math.MaxUint64, table, b) }

// Unmarshal reads a payload. sound is false if it is none, or of a version that nobody
// knows; an error means that its value makes no sense.
func Unmarshal(b []byte) (v Value, sound bool, err error) {
	at := len(b) - trailerBytes
	if at < 1 || binary.LittleEndian.Uint16(b[at:]) > versionMost {
		return v, false, nil
	}
	if binary.LittleEndian.Uint64(b[at+2:]) != checksum(b[:at+2]) {
		return v, false, nil
	}
	r := reader{b: b[1:at]}
	v, err = r.value(b[0])
	if err == nil {
		err = r.err
	}
	if err == nil && (len(r.b) > 0 || !v.valid()) {
		err = errFormat
	}
	return v, true, err
}

// valid finds what the value of a key cannot be: nothing, or the same twice.
func (v *Value) valid() bool {
	seen := map[string]bool{}
	fresh := func(b []byte) bool {
		was := seen[string(b)]
		seen[string(b)] = true
		return !was
	}
	switch v.Kind {
	case redis.TypeString:
		return true
	case redis.TypeList:
		return len(v.Elements) > 0
	case redis.TypeSet:
		for _, e := range v.Elements {
			if !fresh(e) {
				return false
			}
		}
		return len(v.Elements) > 0
	case redis.TypeHash:
		for i := range v.Fields {
			if !fresh(v.Fields[i].Field) || v.Fields[i].ExpireAt < 0 || v.Fields[i].ExpireAt > timeMost {
				return false
			}
		}
		return len(v.Fields) > 0
	case redis.TypeZSet:
		for i := range v.Scored {
			if !fresh(v.Scored[i].Member) || math.IsNaN(v.Scored[i].Score) {
				return false
			}
		}
		return len(v.Scored) > 0
	case redis.TypeStream:
		return v.Stream.Valid()
	}
	return false
}

func (r *reader) value(kind byte) (v Value, err error) {
	switch kind {
	case typeString:
		return Value{Kind: redis.TypeString, Text: r.string()}, nil
	case typeList, typeSet:
		v.Kind = map[byte]redis.Type{typeList: redis.TypeList, typeSet: redis.TypeSet}[kind]
		for n := r.count(1); n > 0; n-- {
			v.Elements = append(v.Elements, r.string())
		}
		return v, nil
	case typeHash, typeHashTimed:
		return r.hash(kind == typeHashTimed), nil
	case typeZSetText, typeZSet:
		v.Kind = redis.TypeZSet
		for n := r.count(2); n > 0; n-- {
			m := zset.Scored{Member: r.string()}
			if m.Score = 0; kind == typeZSet {
				m.Score = r.double()
			} else {
				m.Score = r.textDouble()
			}
			v.Scored = append(v.Scored, m)
		}
		return v, nil
	case typeQuicklist, typeQuicklist2:
		return r.quicklist(kind == typeQuicklist2)
	case typeStream1, typeStream2, typeStream3:
		return r.stream(kind)
	case typeSetIntset:
		v.Kind = redis.TypeSet
		v.Elements, err = intset(r.string())
		return v, err
	}
	return r.compact(kind)
}

// compact is a value in a ziplist or a listpack.
func (r *reader) compact(kind byte) (v Value, err error) {
	if kind == typeHashTimedPack {
		r.little(8) // the first time
	}
	var all [][]byte
	switch kind {
	case typeListZiplist, typeZSetZiplist, typeHashZiplist:
		all, err = ziplist(r.string())
	case typeHashListpack, typeZSetListpack, typeSetListpack, typeHashTimedPack:
		var elements []packed
		elements, err = listpack(r.string())
		for i := range elements {
			all = append(all, elements[i].string())
		}
	default:
		err = errFormat
	}
	if err != nil {
		return v, err
	}
	switch kind {
	case typeListZiplist:
		return Value{Kind: redis.TypeList, Elements: all}, nil
	case typeSetListpack:
		return Value{Kind: redis.TypeSet, Elements: all}, nil
	case typeZSetZiplist, typeZSetListpack:
		return scoredPairs(all)
	case typeHashTimedPack:
		return timedTriples(all)
	}
	return fieldPairs(all)
}

func scoredPairs(all [][]byte) (v Value, err error) {
	v.Kind = redis.TypeZSet
	for ; len(all) > 1; all = all[2:] {
		score, ok := parseScore(all[1])
		if !ok {
			return v, errFormat
		}
		v.Scored = append(v.Scored, zset.Scored{Member: all[0], Score: score})
	}
	if len(all) > 0 {
		err = errFormat
	}
	return v, err
}

func fieldPairs(all [][]byte) (v Value, err error) {
	v.Kind = redis.TypeHash
	for ; len(all) > 1; all = all[2:] {
		v.Fields = append(v.Fields, timed(all[0], all[1], 0))
	}
	if len(all) > 0 {
		err = errFormat
	}
	return v, err
}

func timed(field, value []byte, at int64) redis.TimedField {
	return redis.TimedField{FieldValue: redis.FieldValue{Field: field, Value: value}, ExpireAt: at}
}

// timedTriples are fields, values and their times; 0 is none.
func timedTriples(all [][]byte) (v Value, err error) {
	v.Kind = redis.TypeHash
	for ; len(all) > 2; all = all[3:] {
		at, ok := parseInt(all[2])
		if !ok {
			return v, errFormat
		}
		v.Fields = append(v.Fields, timed(all[0], all[1], at))
	}
	if len(all) > 0 {
		err = errFormat
	}
	return v, err
}

// hash is one whose fields come one by one. Times count from the first one, which is 1.
func (r *reader) hash(times bool) Value {
	v := Value{Kind: redis.TypeHash}
	first := int64(0)
	if times {
		first = int64(r.little(8))
	}
	for n := r.count(2); n > 0; n-- {
		at := int64(0)
		if times {
			if ttl := r.length(); ttl > 0 {
				at = first + int64(ttl) - 1
			}
		}
		field := r.string()
		v.Fields = append(v.Fields, timed(field, r.string(), at))
	}
	return v
}

func (r *reader) quicklist(second bool) (v Value, err error) {
	v.Kind = redis.TypeList
	for n := r.count(1); n > 0 && r.err == nil && err == nil; n-- {
		container := uint64(quicklistPacked)
		if second {
			container = r.length()
		}
		node := r.string()
		switch {
		case r.err != nil:
		case container == quicklistPlain:
			v.Elements = append(v.Elements, node)
		case container != quicklistPacked:
			err = errFormat
		case second:
			var elements []packed
			elements, err = listpack(node)
			for i := range elements {
				v.Elements = append(v.Elements, elements[i].string())
			}
		default:
			var elements [][]byte
			elements, err = ziplist(node)
			v.Elements = append(v.Elements, elements...)
		}
	}
	return v, err
}

// Marshal is the payload of a value.
func Marshal(v *Value) []byte {
	w := writer{}
	version := uint16(versionWritten)
	switch v.Kind {
	case redis.TypeString:
		w.b = append(w.b, typeString)
		w.string(v.Text)
	case redis.TypeList, redis.TypeSet:
		w.b = append(w.b, map[redis.Type]byte{redis.TypeList: typeList, redis.TypeSet: typeSet}[v.Kind])
		w.length(uint64(len(v.Elements)))
		for _, e := range v.Elements {
			w.string(e)
		}
	case redis.TypeHash:
		if w.hash(v.Fields) {
			version = versionTimed
		}
	case redis.TypeZSet:
		w.b = append(w.b, typeZSet)
		w.length(uint64(len(v.Scored)))
		for i := range v.Scored {
			w.string(v.Scored[i].Member)
			w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v.Scored[i].Score))
		}
	case redis.TypeStream:
		w.b = append(w.b, typeStream2)
		w.stream(v.Stream)
	}
	w.b = binary.LittleEndian.AppendUint16(w.b, version)
	return binary.LittleEndian.AppendUint64(w.b, checksum(w.b))
}

// writer puts a payload together.
type writer struct{ b []byte }

func (w *writer) length(n uint64) {
	switch {
	case n < 1<<6:
		w.b = append(w.b, byte(n))
	case n < 1<<14:
		w.b = append(w.b, length14<<6|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		w.b = binary.BigEndian.AppendUint32(append(w.b, long32), uint32(n))
	default:
		w.b = binary.BigEndian.AppendUint64(append(w.b, long64), n)
	}
}

func (w *writer) string(s []byte) {
	w.length(uint64(len(s)))
	w.b = append(w.b, s...)
}

// hash writes fields, and reports whether some of them have times.
func (w *writer) hash(fields []redis.TimedField) bool {
	first := int64(0)
	for i := range fields {
		if at := fields[i].ExpireAt; at > 0 && (first == 0 || at < first) {
			first = at
		}
	}
	if first > 0 {
		w.b = binary.LittleEndian.AppendUint64(append(w.b, typeHashTimed), uint64(first))
	} else {
		w.b = append(w.b, typeHash)
	}
	w.length(uint64(len(fields)))
	for i := range fields {
		f := &fields[i]
		switch {
		case first == 0:
		case f.ExpireAt == 0:
			w.length(0)
		default:
			w.length(uint64(f.ExpireAt - first + 1))
		}
		w.string(f.Field)
		w.string(f.Value)
	}
	return first > 0
}
