package prepared

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// kind says what an entry is. The numbers are on disk; retired ones stay as _.
type kind byte

const (
	kindPrepare kind = 1
	kindRecord  kind = 2
	kindResolve kind = 3
	kindSettled kind = 4
	kindRetain  kind = 5
)

const formatVersion = 1

// entryBytesMax bounds an entry: a transaction at its limit, what it has read, and
// what goes with it.
const entryBytesMax = 2*limits.TransactionBytes + 1<<20

// keyBytesMax bounds a key; a versionstamped one ends in an offset of four bytes.
const keyBytesMax = limits.KeyBytes + 4

func appendHead(dst []byte, k kind) []byte { return append(dst, formatVersion, byte(k)) }

func appendStamp(dst []byte, s base.Stamp) []byte { return binary.AppendUvarint(dst, uint64(s)) }

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendSpans(dst []byte, spans []base.Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	for _, s := range spans {
		dst = appendBytes(appendBytes(dst, s.Start), s.End)
	}
	return dst
}

func (t *Txn) append(dst []byte) []byte {
	dst = append(dst, t.ID[:]...)
	dst = appendStamp(appendStamp(dst, t.Begin), t.Priority)
	return appendSpans(appendBytes(dst, t.Anchor), t.Participants)
}

// Append implements Entry.
func (p *Prepare) Append(dst []byte) []byte {
	dst = appendStamp(p.Txn.append(appendHead(dst, kindPrepare)), p.ReadStamp)
	dst = binary.AppendUvarint(dst, uint64(len(p.ReadKeys)))
	for _, k := range p.ReadKeys {
		dst = appendBytes(dst, k)
	}
	dst = appendSpans(dst, p.ReadSpans)
	dst = binary.AppendUvarint(dst, uint64(len(p.Mutations)))
	for i := range p.Mutations {
		m := &p.Mutations[i]
		dst = appendBytes(appendBytes(append(dst, byte(m.Op)), m.Key), m.Value)
	}
	return dst
}

// Append implements Entry.
func (r *Record) Append(dst []byte) []byte {
	return appendStamp(r.Txn.append(appendHead(dst, kindRecord)), r.Commit)
}

// Append implements Entry.
func (r *Resolve) Append(dst []byte) []byte {
	dst = append(appendHead(dst, kindResolve), r.ID[:]...)
	return appendStamp(appendStamp(dst, r.Begin), r.Commit)
}

// Append implements Entry.
func (s *Settled) Append(dst []byte) []byte {
	return append(appendHead(dst, kindSettled), s.ID[:]...)
}

// Append implements Entry.
func (r *Retain) Append(dst []byte) []byte {
	return appendStamp(appendStamp(appendHead(dst, kindRetain), r.Refuse), r.Forget)
}

// Decode reads what Append of an entry wrote. The entry shares memory with b.
func Decode(b []byte) (Entry, error) {
	if len(b) > entryBytesMax {
		return nil, errors.Wrapf(base.ErrCorruption, "entry of %d bytes", len(b))
	}
	d := decoder{b: b}
	e := d.entry()
	return e, d.end("entry")
}

// Copy is e's binary form and what others will read in it; it shares no memory with
// e. An entry that nobody could read is refused.
func Copy(e Entry) (payload []byte, read Entry, err error) {
	payload = e.Append(nil)
	if read, err = Decode(payload); err != nil {
		return nil, nil, errors.Wrapf(base.ErrInvalidMutation, "%T: %v", e, err)
	}
	return payload, read, nil
}

// DecodeRequest is Decode for what a coordinator sends: a prepare may hold atomic
// operations, which the range computes before it logs them.
func DecodeRequest(b []byte) (Entry, error) {
	if len(b) > entryBytesMax {
		return nil, errors.Wrapf(base.ErrInvalidMutation, "request of %d bytes", len(b))
	}
	d := decoder{b: b, atomic: true}
	e := d.entry()
	if d.end("request") != nil || e == nil {
		return nil, errors.Wrap(base.ErrInvalidMutation, "malformed request")
	}
	return e, nil
}

// decoder reads fields; the first that is not what it should be fails them all.
type decoder struct {
	b      []byte
	bad    bool
	atomic bool // operations are allowed
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// end reports whether everything was right and nothing is left.
func (d *decoder) end(what string) error {
	if d.bad || len(d.b) > 0 {
		return errors.Wrapf(base.ErrCorruption, "%s of a transaction over several ranges", what)
	}
	return nil
}

func (d *decoder) head() kind {
	if d.byte() != formatVersion {
		d.fail()
	}
	return kind(d.byte())
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

// number reads a uvarint in its only, that is its shortest, form.
func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || size > 1 && d.b[size-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) stamp() base.Stamp { return base.Stamp(d.number()) }

func (d *decoder) bytes(limit int) []byte {
	n := d.number()
	if n > uint64(len(d.b)) || n > uint64(limit) {
		d.fail()
		return nil
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) key() []byte {
	k := d.bytes(keyBytesMax)
	if len(k) == 0 {
		d.fail()
	}
	return k
}

func (d *decoder) span() base.Span {
	s := base.Span{Start: d.bytes(keyBytesMax), End: d.bytes(keyBytesMax)}
	if s.Empty() {
		d.fail()
	}
	return s
}

// list calls item as often as the number that follows says, or until it fails:
// every item takes at least a byte, so an announced length allocates nothing.
func (d *decoder) list(item func()) {
	for n := d.number(); n > 0 && !d.bad; n-- {
		item()
	}
}

func (d *decoder) spans() (spans []base.Span) {
	d.list(func() { spans = append(spans, d.span()) })
	return spans
}

func (d *decoder) id() (id TxnID) {
	for i := range id {
		id[i] = d.byte()
	}
	if id == (TxnID{}) {
		d.fail()
	}
	return id
}

func (d *decoder) txn() Txn {
	return Txn{ID: d.id(), Begin: d.stamp(), Priority: d.stamp(), Anchor: d.key(), Participants: d.spans()}
}

func (d *decoder) entry() Entry {
	switch d.head() {
	case kindPrepare:
		return d.prepare()
	case kindRecord:
		return &Record{Txn: d.txn(), Commit: d.stamp()}
	case kindResolve:
		return &Resolve{ID: d.id(), Begin: d.stamp(), Commit: d.stamp()}
	case kindSettled:
		return &Settled{ID: d.id()}
	case kindRetain:
		return &Retain{Refuse: d.stamp(), Forget: d.stamp()}
	}
	d.fail()
	return nil
}

func (d *decoder) prepare() *Prepare {
	p := &Prepare{Txn: d.txn(), ReadStamp: d.stamp()}
	d.list(func() { p.ReadKeys = append(p.ReadKeys, d.key()) })
	p.ReadSpans = d.spans()
	d.list(func() { p.Mutations = append(p.Mutations, d.mutation()) })
	return p
}

func (d *decoder) mutation() base.Mutation {
	m := base.Mutation{Op: base.MutationOp(d.byte()), Key: d.key(), Value: d.bytes(limits.PairBytes)}
	ok := d.atomic && m.Op.Atomic()
	switch m.Op {
	case base.OpSet, base.OpClear:
		ok = true
	case base.OpClearRange, base.OpTouch:
		ok = !base.Span{Start: m.Key, End: m.Value}.Empty()
	case base.OpSetVersionstampedKey:
		_, _, ok = base.VersionstampOffset(m.Key)
	case base.OpSetVersionstampedValue:
		_, _, ok = base.VersionstampOffset(m.Value)
	}
	if !ok {
		d.fail()
	}
	return m
}
