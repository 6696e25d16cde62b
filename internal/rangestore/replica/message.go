package replica

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// Message is what one replica of a range says to another: a message of Raft, and
// the moments that a lease is made of.
type Message struct {
	Range    base.RangeID
	From, To base.ReplicaID
	Node     base.NodeID // the sender's
	// Sent is when a leader sent this, on its own clock.
	Sent time.Duration
	// Echo is the Sent of the newest message that the sender took from the
	// receiver as the leader of the term EchoTerm.
	Echo     time.Duration
	EchoTerm base.Term
	Raft     *pb.Message
	// Start is, in a message that makes replicas, the first key of the range.
	Start []byte
	// Gone tells the receiver that it was removed from the range. The message of Raft
	// says nothing then.
	Gone bool
	// Rest says whether the message is about sleep, and Word is the sender's store's then.
	Rest Rest
	Word sleep.Word
	// Snapshot is what a message with a snapshot brings along. It travels by itself.
	Snapshot *Snapshot
}

// IsLocal reports whether the message is one that a replica sends to itself only.
func (m *Message) IsLocal() bool { return raft.IsLocalMsg(m.Raft.GetType()) }

// IsSnapshot reports whether the message brings a snapshot along.
func (m *Message) IsSnapshot() bool { return m.Raft.GetType() == pb.MsgSnap }

// Makes reports whether the message may make a replica where there is none: it is a
// leader's heartbeat, or a candidate asks a voter that a split should have made.
func (m *Message) Makes() bool {
	switch m.Raft.GetType() {
	case pb.MsgHeartbeat, pb.MsgPreVote, pb.MsgVote:
		return true
	}
	return false
}

// IsLeaders reports whether the message comes from a range's leader.
func (m *Message) IsLeaders() bool {
	switch m.Raft.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		return true
	}
	return false
}

// errMessage is what DecodeMessage answers for damaged bytes.
var errMessage = errors.New("malformed message between replicas")

// entryBytesMin is the least that an entry takes in a message; it bounds how many
// there can be before they are decoded.
const entryBytesMin = 4

// Append appends the message's binary form: numbers as uvarints, then entries
// and strings with their lengths. Of a snapshot it carries where it stands, not
// what is in it.
func (m *Message) Append(dst []byte) []byte {
	r := m.Raft
	reject := uint64(0)
	if r.GetReject() {
		reject = 1
	}
	about := uint64(m.Rest) << 1
	if m.Gone {
		about |= 1
	}
	snap := r.GetSnapshot().GetMetadata()
	for _, n := range [...]uint64{
		uint64(m.Range), uint64(m.From), uint64(m.To), uint64(m.Node), uint64(m.Sent), uint64(m.Echo), uint64(m.EchoTerm),
		uint64(r.GetType()), r.GetTerm(), r.GetLogTerm(), r.GetIndex(), r.GetCommit(), reject, r.GetRejectHint(),
		snap.GetIndex(), snap.GetTerm(), about, uint64(len(m.Start)), uint64(len(r.GetContext())), uint64(len(r.GetEntries())),
	} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = append(append(dst, m.Start...), r.GetContext()...)
	if m.Rest != NoRest {
		dst = m.Word.Append(dst)
	}
	for _, e := range r.GetEntries() {
		dst = binary.AppendUvarint(dst, uint64(e.GetType()))
		dst = binary.AppendUvarint(dst, e.GetTerm())
		dst = binary.AppendUvarint(dst, e.GetIndex())
		dst = binary.AppendUvarint(dst, uint64(len(e.GetData())))
		dst = append(dst, e.GetData()...)
	}
	return dst
}

// DecodeMessage reads what Append wrote. The message keeps b.
func DecodeMessage(b []byte) (m Message, err error) {
	d := base.NewDecoder(b)
	m.Range, m.From, m.To = base.RangeID(d.Uvarint()), base.ReplicaID(d.Uvarint()), base.ReplicaID(d.Uvarint())
	m.Node = base.NodeID(d.Uvarint())
	m.Sent, m.Echo, m.EchoTerm = time.Duration(d.Uvarint()), time.Duration(d.Uvarint()), base.Term(d.Uvarint())
	kind := d.Uvarint()
	if kind > math.MaxInt32 || pb.MessageType_name[int32(kind)] == "" {
		return Message{}, errMessage
	}
	r := &pb.Message{Type: pb.MessageType(kind).Enum(), From: new(uint64(m.From)), To: new(uint64(m.To))}
	r.Term, r.LogTerm, r.Index, r.Commit = new(d.Uvarint()), new(d.Uvarint()), new(d.Uvarint()), new(d.Uvarint())
	r.Reject, r.RejectHint = new(d.Uvarint() == 1), new(d.Uvarint())
	if index, term := d.Uvarint(), d.Uvarint(); index != 0 {
		r.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(index), Term: new(term)}}
	}
	about := d.Uvarint()
	m.Gone, m.Rest = about&1 == 1, Rest(about>>1)
	if about>>1 > uint64(RestAsleep) {
		return Message{}, errMessage
	}
	start, context := d.Uvarint(), d.Uvarint()
	entries := d.Count(entryBytesMin)
	if start > 0 {
		m.Start = d.Take(start)
	}
	if context > 0 {
		r.Context = d.Take(context)
	}
	if m.Rest != NoRest {
		m.Word = sleep.DecodeWord(&d)
	}
	for range entries {
		e := &pb.Entry{}
		kind := d.Uvarint()
		if kind > math.MaxInt32 || pb.EntryType_name[int32(kind)] == "" {
			return Message{}, errMessage
		}
		e.Type, e.Term, e.Index = pb.EntryType(kind).Enum(), new(d.Uvarint()), new(d.Uvarint())
		if n := d.Uvarint(); n > 0 {
			e.Data = d.Take(n)
		}
		r.Entries = append(r.Entries, e)
	}
	if !d.Done() {
		return Message{}, errMessage
	}
	m.Raft = r
	return m, nil
}
