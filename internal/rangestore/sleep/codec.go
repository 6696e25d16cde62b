package sleep

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

var errMalformed = errors.New("malformed heartbeat of a store")

// Append appends the word's binary form: numbers as uvarints.
func (w Word) Append(dst []byte) []byte {
	for _, n := range [...]uint64{uint64(w.From), uint64(w.To), uint64(w.Ended)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// DecodeWord reads what Append wrote.
func DecodeWord(d *base.Decoder) Word {
	return Word{From: Incarnation(d.Uvarint()), To: Incarnation(d.Uvarint()), Ended: Number(d.Uvarint())}
}

// Append appends the beat's binary form: numbers as uvarints.
func (b *Beat) Append(dst []byte) []byte {
	dst = b.Word.Append(dst)
	answer := uint64(0)
	if b.Answer {
		answer = 1
	}
	for _, n := range [...]uint64{uint64(b.Sent), uint64(b.Echo), uint64(b.Seen), answer, uint64(len(b.Listed))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, id := range b.Listed {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

// DecodeBeat reads what Append wrote.
func DecodeBeat(from []byte) (Beat, error) {
	d := base.NewDecoder(from)
	b := Beat{Word: DecodeWord(&d), Sent: time.Duration(d.Uvarint()), Echo: time.Duration(d.Uvarint()), Seen: Number(d.Uvarint())}
	b.Answer = d.Uvarint() == 1
	for range d.Count(1) {
		b.Listed = append(b.Listed, base.RangeID(d.Uvarint()))
	}
	if !d.Done() || b.From == 0 || b.Sent < 0 || b.Echo < 0 {
		return Beat{}, errMalformed
	}
	return b, nil
}
