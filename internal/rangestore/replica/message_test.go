package replica

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// FuzzMessage: no bytes of another node make the decoder panic, and a message that is
// understood has one form.
func FuzzMessage(f *testing.F) {
	m := Message{Range: 1, From: 2, To: 3, Node: 4, Sent: 5, Echo: 6, EchoTerm: 7, Raft: &pb.Message{
		Type: pb.MsgApp.Enum(), Term: new(uint64(8)), Index: new(uint64(9)), Context: []byte("c"),
		Entries: []*pb.Entry{{Type: pb.EntryNormal.Enum(), Term: new(uint64(8)), Index: new(uint64(10)), Data: []byte("data")}},
	}}
	f.Add(m.Append(nil))
	m.Rest, m.Word = RestOffer, sleep.Word{From: 11, To: 12, Ended: 13}
	f.Add(m.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodeMessage(b)
		if err != nil {
			return
		}
		once := got.Append(nil)
		again, err := DecodeMessage(once)
		if err != nil || !bytes.Equal(again.Append(nil), once) {
			t.Fatalf("%x is understood as %x, and that is not understood: %v", b, once, err)
		}
	})
}
