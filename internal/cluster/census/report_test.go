package census

import (
	"reflect"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
)

func sampleReport() Report {
	d := base.RangeDescriptor{ID: 7, Epoch: 3, Span: base.Span{Start: []byte{1}, End: []byte{5}}, NextReplica: 4, Parent: 1,
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 2}, {Node: 3, Replica: 3, Role: base.Learner}}}
	return Report{Version: 1 << 60, All: true, Node: Node{CapacityBytes: 1 << 40, UsedBytes: 9, Full: true}, Gone: []base.RangeID{4, 5},
		Ranges: []Range{{Descriptor: d, Term: 6, Leader: 2, CaughtUp: []base.ReplicaID{3}, Load: Load{Bytes: 5, Reads: 1.5, Writes: 2.25},
			Middle: []byte("m"), Hot: load.Verdict{Outcome: load.SpansCross, Key: []byte("k"), Left: 0.25, Right: 0.5, Crossing: 0.25, Writes: 1}},
			{Descriptor: base.RangeDescriptor{Span: base.Span{Start: []byte{}, End: []byte{}}}}}}
}

func TestReportRoundTrip(t *testing.T) {
	r := sampleReport()
	if got, err := DecodeReport(r.Append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len((&Range{}).append(nil)); n < rangeLeast {
		t.Errorf("a range of %d bytes", n)
	}
}

// FuzzReport: no bytes of another node make the decoder panic, and what is understood is
// understood again in the same way.
func FuzzReport(f *testing.F) {
	r := sampleReport()
	f.Add(r.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeReport(b)
		if err != nil {
			return
		}
		again, err := DecodeReport(r.Append(nil))
		if err != nil || string(again.Append(nil)) != string(r.Append(nil)) {
			t.Fatalf("%+v, then %+v %v", r, again, err)
		}
	})
}
