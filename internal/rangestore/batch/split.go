package batch

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Split is what the log says of a split. Everything else follows from the range's
// descriptor, which must have the epoch Epoch when the split is applied: otherwise
// it does nothing.
type Split struct {
	// Key is the first key of the right side.
	Key []byte
	// Right is the id of the range that the right side becomes.
	Right base.RangeID
	Epoch base.Epoch
}

// AddSplit makes the current transaction, which must be empty, a split. Nothing may
// be added behind it.
func (b *Builder) AddSplit(s Split) {
	b.h.Kind, b.h.split = KindSplit, uint32(len(b.Buf))
	value := binary.AppendUvarint(nil, uint64(s.Right))
	value = binary.AppendUvarint(value, uint64(s.Epoch))
	b.Buf = base.AppendBytes(base.AppendBytes(append(b.Buf, opSplit), s.Key), value)
}

// DecodeSplit reads the split of a batch of KindSplit. It keeps buf.
func DecodeSplit(buf []byte) (s Split, err error) {
	h, err := DecodeHeader(buf)
	if err != nil {
		return s, err
	}
	if h.Kind != KindSplit || buf[h.split] != opSplit {
		return s, errors.Wrapf(base.ErrCorruption, "batch of kind %d has no split at offset %d", h.Kind, h.split)
	}
	d := base.NewDecoder(buf[h.split+1:])
	s.Key = d.Bytes()
	value := base.NewDecoder(d.Bytes())
	s.Right, s.Epoch = base.RangeID(value.Uvarint()), base.Epoch(value.Uvarint())
	if !d.Done() || !value.Done() || s.Right == 0 {
		return Split{}, errors.Wrap(base.ErrCorruption, "split")
	}
	return s, nil
}
