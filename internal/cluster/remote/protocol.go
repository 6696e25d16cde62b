package remote

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// The kinds of traffic. The numbers are on the wire.
const (
	kindRaft      transport.Kind = 1
	kindRead      transport.Kind = 2
	kindCommit    transport.Kind = 3
	kindStamp     transport.Kind = 4
	kindWatch     transport.Kind = 5
	kindEntry     transport.Kind = 6
	kindFate      transport.Kind = 7
	kindHorizons  transport.Kind = 8
	kindRoute     transport.Kind = 9
	kindComplete  transport.Kind = 10
	kindTurn      transport.Kind = 11
	kindBeat      transport.Kind = 12
	kindDetour    transport.Kind = 13
	kindFollow    transport.Kind = 14
	kindReport    transport.Kind = 16
	kindStates    transport.Kind = 17
	kindOperate   transport.Kind = 18
	kindAsk       transport.Kind = 19
	kindTalk      transport.Kind = 20
	kindRaftLarge transport.Kind = transport.Bulk + 1
	kindSnapshot  transport.Kind = transport.Bulk + 2
	kindPublish   transport.Kind = transport.Bulk + 3
)

// largeMessage is from which size on a message of Raft travels with the bulk.
const largeMessage = 256 << 10

var errMalformed = errors.New("malformed request between nodes")

// Read asks for keys, or for the pairs of a span.
type Read struct {
	Range   base.RangeID
	At      base.Stamp // zero: the newest state
	Keys    [][]byte   // or
	Span    base.Span
	Reverse bool
	Limit   int
}

// Pairs are what a read found: of keys, in the order in which they were asked for. The key
// is left out where there was only one.
type Pairs struct {
	Basis replica.Basis
	// NowMillis is the leader's TTL clock.
	NowMillis int64
	Pairs     []base.KeyValue
	// More: the limit, of pairs or of bytes, has ended the read.
	More bool
}

// Commit asks for a transaction's commit; see replica.Request.
type Commit struct {
	Range     base.RangeID
	Place     []byte // a key of the range
	At        base.Stamp
	Basis     replica.Basis
	ReadKeys  [][]byte
	ReadSpans []base.Span
	Mutations []base.Mutation
	Session   uint64
	Number    uint64
	// Guards are the numbers of watches at the leader.
	Guards []uint64
	// Origin is who writes; zero, which is not on the wire: nobody has to know.
	Origin uint64
}

// Committed is a commit's result. Without writes there is no version.
type Committed struct {
	Stamped bool
	Version base.Versionstamp
	// Dirty are the guards that forbade the commit; nothing was written then.
	Dirty []uint64
}

func appendSpan(dst []byte, s base.Span) []byte {
	open := uint64(0)
	if s.End == nil {
		open = 1
	}
	dst = binary.AppendUvarint(dst, open)
	return base.AppendBytes(base.AppendBytes(dst, s.Start), s.End)
}

func decodeSpan(d *base.Decoder) (s base.Span) {
	open := d.Uvarint()
	s.Start, s.End = d.Bytes(), d.Bytes()
	if open == 1 {
		s.End = nil
	}
	return s
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func appendNumbers(dst []byte, list ...uint64) []byte {
	for _, n := range list {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func appendBasis(dst []byte, b replica.Basis) []byte {
	return appendNumbers(dst, uint64(b.Range), uint64(b.Term), uint64(b.Pos))
}

func decodeBasis(d *base.Decoder) replica.Basis {
	return replica.Basis{Range: base.RangeID(d.Uvarint()), Term: base.Term(d.Uvarint()), Pos: base.Position(d.Uvarint())}
}

// place is a key of the range.
func (r *Read) place() []byte {
	if len(r.Keys) > 0 {
		return r.Keys[0]
	}
	return r.Span.Start
}

func (r *Read) append(dst []byte) []byte {
	dst = appendNumbers(dst, uint64(r.Range), uint64(r.At), uint64(len(r.Keys)))
	for _, key := range r.Keys {
		dst = base.AppendBytes(dst, key)
	}
	if len(r.Keys) > 0 {
		return dst
	}
	return appendSpan(appendNumbers(dst, flag(r.Reverse), uint64(r.Limit)), r.Span)
}

func decodeRead(b []byte) (r Read, err error) {
	d := base.NewDecoder(b)
	r.Range, r.At = base.RangeID(d.Uvarint()), base.Stamp(d.Uvarint())
	for n := d.Count(1); n > 0; n-- {
		r.Keys = append(r.Keys, d.Bytes())
	}
	if len(r.Keys) == 0 {
		r.Reverse, r.Limit, r.Span = d.Uvarint() == 1, int(d.Uvarint()), decodeSpan(&d)
	}
	if !d.Done() {
		err = errMalformed
	}
	return r, err
}

func (p *Pairs) append(dst []byte) []byte {
	dst = appendNumbers(appendBasis(dst, p.Basis), uint64(p.NowMillis), flag(p.More), uint64(len(p.Pairs)))
	for _, kv := range p.Pairs {
		dst = base.AppendBytes(base.AppendBytes(dst, kv.Key), kv.Value)
	}
	return dst
}

func decodePairs(b []byte) (p Pairs, err error) {
	d := base.NewDecoder(b)
	p.Basis = decodeBasis(&d)
	p.NowMillis, p.More = int64(d.Uvarint()), d.Uvarint() == 1
	for n := d.Count(2); n > 0; n-- {
		p.Pairs = append(p.Pairs, base.KeyValue{Key: d.Bytes(), Value: d.Bytes()})
	}
	if !d.Done() {
		err = errMalformed
	}
	return p, err
}

func (c *Commit) append(dst []byte) []byte {
	dst = appendBasis(appendNumbers(base.AppendBytes(appendNumbers(dst, uint64(c.Range)), c.Place), uint64(c.At)), c.Basis)
	dst = appendNumbers(dst, c.Session, c.Number, uint64(len(c.ReadKeys)))
	for _, k := range c.ReadKeys {
		dst = base.AppendBytes(dst, k)
	}
	dst = appendNumbers(dst, uint64(len(c.ReadSpans)))
	for _, s := range c.ReadSpans {
		dst = appendSpan(dst, s)
	}
	dst = appendNumbers(dst, uint64(len(c.Mutations)))
	for i := range c.Mutations {
		m := &c.Mutations[i]
		dst = appendNumbers(dst, uint64(m.Op))
		dst = base.AppendBytes(base.AppendBytes(dst, m.Key), m.Value)
	}
	dst = appendNumbers(appendNumbers(dst, uint64(len(c.Guards))), c.Guards...)
	if c.Origin != 0 {
		dst = appendNumbers(dst, c.Origin)
	}
	return dst
}

func decodeCommit(b []byte) (c Commit, err error) {
	d := base.NewDecoder(b)
	c.Range, c.Place, c.At = base.RangeID(d.Uvarint()), d.Bytes(), base.Stamp(d.Uvarint())
	c.Basis = decodeBasis(&d)
	c.Session, c.Number = d.Uvarint(), d.Uvarint()
	for n := d.Count(1); n > 0; n-- {
		c.ReadKeys = append(c.ReadKeys, d.Bytes())
	}
	for n := d.Count(3); n > 0; n-- {
		c.ReadSpans = append(c.ReadSpans, decodeSpan(&d))
	}
	for n := d.Count(3); n > 0; n-- {
		c.Mutations = append(c.Mutations, base.Mutation{Op: base.MutationOp(d.Uvarint()), Key: d.Bytes(), Value: d.Bytes()})
	}
	for n := d.Count(1); n > 0; n-- {
		c.Guards = append(c.Guards, d.Uvarint())
	}
	if !d.Done() {
		c.Origin = d.Uvarint()
	}
	if !d.Done() {
		err = errMalformed
	}
	return c, err
}

func (c *Committed) append(dst []byte) []byte {
	dst = append(appendNumbers(dst, flag(c.Stamped)), c.Version[:]...)
	return appendNumbers(appendNumbers(dst, uint64(len(c.Dirty))), c.Dirty...)
}

func decodeCommitted(b []byte) (c Committed, err error) {
	d := base.NewDecoder(b)
	c.Stamped = d.Uvarint() == 1
	copy(c.Version[:], d.Take(base.VersionstampLen))
	for n := d.Count(1); n > 0; n-- {
		c.Dirty = append(c.Dirty, d.Uvarint())
	}
	if !d.Done() {
		err = errMalformed
	}
	return c, err
}
