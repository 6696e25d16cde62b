package census

import (
	"encoding/binary"
	"math"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
)

// Range is what a leader says of its range.
type Range struct {
	Descriptor base.RangeDescriptor
	// Term is that of the leader's spell: of two nodes that say they lead, the one with
	// the higher term does.
	Term   base.Term
	Leader base.ReplicaID
	// CaughtUp are the learners that have the log.
	CaughtUp []base.ReplicaID
	Load
	// Middle halves the bytes; nil where it was not looked for.
	Middle []byte
	// Hot is where the load would be cut; unknown where it was not looked for.
	Hot load.Verdict
}

// Load is what a range has and does.
type Load struct {
	Bytes int64 // on disk, about
	// Reads and Writes are transactions per second.
	Reads, Writes float64
}

// Node is what a node says of itself.
type Node struct {
	// CapacityBytes is what the store has and what its disk has room for.
	CapacityBytes, UsedBytes int64
	Full                     bool
}

// Report is what has changed since an earlier one, or everything.
type Report struct {
	Version uint64
	// All: what was reported before and is not in Ranges is not led any more.
	All    bool
	Node   Node
	Ranges []Range
	Gone   []base.RangeID // not led any more
}

var errMalformed = errors.New("malformed report of a node's ranges")

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

func decodeFloat(d *base.Decoder) float64 {
	b := d.Take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (r *Range) append(dst []byte) []byte {
	dst = base.AppendBytes(dst, r.Descriptor.Append(nil))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(r.Term)), uint64(r.Leader))
	dst = binary.AppendUvarint(dst, uint64(len(r.CaughtUp)))
	for _, id := range r.CaughtUp {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	dst = appendFloat(appendFloat(binary.AppendUvarint(dst, uint64(r.Bytes)), r.Reads), r.Writes)
	dst = base.AppendBytes(dst, r.Middle)
	dst = base.AppendBytes(binary.AppendUvarint(dst, uint64(r.Hot.Outcome)), r.Hot.Key)
	for _, share := range [...]float64{r.Hot.Left, r.Hot.Right, r.Hot.Crossing, r.Hot.Writes} {
		dst = appendFloat(dst, share)
	}
	return dst
}

func decodeRange(d *base.Decoder) (r Range, ok bool) {
	descriptor, err := base.DecodeRangeDescriptor(d.Bytes())
	r.Descriptor, r.Term, r.Leader = descriptor, base.Term(d.Uvarint()), base.ReplicaID(d.Uvarint())
	for n := d.Count(1); n > 0; n-- {
		r.CaughtUp = append(r.CaughtUp, base.ReplicaID(d.Uvarint()))
	}
	r.Bytes, r.Reads, r.Writes = int64(d.Uvarint()), decodeFloat(d), decodeFloat(d)
	r.Middle = nonempty(d.Bytes())
	outcome := d.Uvarint()
	r.Hot = load.Verdict{Outcome: load.Outcome(outcome), Key: nonempty(d.Bytes())}
	for _, share := range [...]*float64{&r.Hot.Left, &r.Hot.Right, &r.Hot.Crossing, &r.Hot.Writes} {
		*share = decodeFloat(d)
	}
	return r, err == nil && outcome <= uint64(load.SpansCross)
}

func nonempty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// rangeLeast is the length of the shortest range.
const rangeLeast = 50

// Append appends the report's binary form.
func (r *Report) Append(dst []byte) []byte {
	flags := uint64(0)
	if r.All {
		flags |= 1
	}
	if r.Node.Full {
		flags |= 2
	}
	for _, n := range [...]uint64{r.Version, flags, uint64(r.Node.CapacityBytes), uint64(r.Node.UsedBytes), uint64(len(r.Ranges))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for i := range r.Ranges {
		dst = r.Ranges[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Gone)))
	for _, id := range r.Gone {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

// DecodeReport reads what Append wrote.
func DecodeReport(b []byte) (r Report, err error) {
	d := base.NewDecoder(b)
	r.Version = d.Uvarint()
	flags := d.Uvarint()
	r.All, r.Node.Full = flags&1 != 0, flags&2 != 0
	r.Node.CapacityBytes, r.Node.UsedBytes = int64(d.Uvarint()), int64(d.Uvarint())
	for n := d.Count(rangeLeast); n > 0; n-- {
		x, ok := decodeRange(&d)
		if !ok {
			return Report{}, errMalformed
		}
		r.Ranges = append(r.Ranges, x)
	}
	for n := d.Count(1); n > 0; n-- {
		r.Gone = append(r.Gone, base.RangeID(d.Uvarint()))
	}
	if !d.Done() || flags > 3 {
		return Report{}, errMalformed
	}
	return r, nil
}
