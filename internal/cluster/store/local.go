package store

import (
	"bytes"
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
)

// Range-local keys have the same names in every range. On disk the range's id, eight
// bytes, stands behind the prefix, so that the ranges of a store do not meet. The disk
// of no range (id 0) shows what is stored.

const localIDBytes = 8

var metaStart = []byte{keyspace.Meta}

func isLocal(key []byte) bool { return len(key) > 0 && key[0] == keyspace.RangeLocal }

func localPrefix(id base.RangeID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyspace.RangeLocal}, uint64(id))
}

// stored is where a key of the range is stored.
func (d *disk) stored(key []byte) []byte {
	if !isLocal(key) || d.id == 0 {
		return key
	}
	return append(localPrefix(d.id), key[1:]...)
}

// named is the name of a stored key in its range.
func (d *disk) named(stored []byte) []byte {
	if !isLocal(stored) || d.id == 0 {
		return stored
	}
	return append([]byte{keyspace.RangeLocal}, stored[1+localIDBytes:]...)
}

// localPart is where the range's local keys are stored, dataPart where the others of
// a span are.
func localPart(id base.RangeID) base.Span { return base.PrefixSpan(localPrefix(id)) }

func dataPart(span base.Span) base.Span {
	if bytes.Compare(span.Start, metaStart) < 0 {
		span.Start = metaStart
	}
	return span
}

// rangeParts is where everything of a range is stored.
func rangeParts(d base.RangeDescriptor) []base.Span {
	return []base.Span{localPart(d.ID), dataPart(d.Span)}
}

// parts is where the keys of a span of the range are stored.
func (d *disk) parts(span base.Span) []base.Span {
	if !isLocal(span.Start) || d.id == 0 {
		return []base.Span{span}
	}
	local := base.Span{Start: d.stored(span.Start), End: localPart(d.id).End}
	if isLocal(span.End) {
		local.End = d.stored(span.End)
		return []base.Span{local}
	}
	return []base.Span{local, dataPart(span)}
}

// scanParts visits a span that begins among the range-local keys.
func (d *disk) scanParts(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	parts := d.parts(span)
	for i := range parts {
		part := parts[i]
		if reverse {
			part = parts[len(parts)-1-i]
		}
		ended, err := d.scan(part, reverse, func(key, value []byte) bool { return visit(d.named(key), value) })
		if ended || err != nil {
			return err
		}
	}
	return nil
}
