package placement

import (
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// largeCluster has 10,000 ranges of three voters on twelve nodes in three zones.
// spread says whether the nodes have equal shares.
func largeCluster(spread bool) *Snapshot {
	w := newWorld(1)
	w.Now, w.Settings = base.Stamp(1_700_000_000_000_000), DefaultSettings()
	w.Settings.MergeBytes = 0
	for i := range 12 {
		w.addNode(base.NodeID(i+1), i%3)
	}
	for i := range 10_000 {
		r := Range{ID: base.RangeID(i + 1), Epoch: 1, NextReplica: 4, Leader: base.ReplicaID(1 + i/12%3), Bytes: 64 << 20, Reads: 100, Writes: 100,
			Span: base.Span{Start: fmt.Appendf(nil, "k%06d", i), End: fmt.Appendf(nil, "k%06d", i+1)}}
		for j := range 3 {
			n := (i + j) % 12
			if !spread {
				n = j
			}
			r.Replicas = append(r.Replicas, Replica{ID: base.ReplicaID(j + 1), Node: base.NodeID(n + 1), Type: Voter})
		}
		w.Ranges = append(w.Ranges, r)
	}
	return &w.Snapshot
}

func BenchmarkDecide(b *testing.B) {
	pinned := largeCluster(true)
	for i := range 1000 {
		pinned.Pins = append(pinned.Pins, Pin{Span: base.Span{Start: pinned.Ranges[10*i].Span.Start, End: pinned.Ranges[10*i+9].Span.End},
			Leader: base.NodeID(1 + i%12), Voters: []base.NodeID{base.NodeID(1 + (i+1)%12), base.NodeID(1 + (i+2)%12)}})
	}
	dead := largeCluster(true)
	dead.Nodes[4].Liveness, dead.Nodes[4].Since = Dead, 0
	flat := largeCluster(true)
	for i := range flat.Nodes {
		flat.Nodes[i].Locality = flat.Nodes[i].Locality[:1]
	}
	for _, c := range []struct {
		name string
		s    *Snapshot
	}{
		{"rest", largeCluster(true)}, {"nine-nodes-joined", largeCluster(false)}, {"node-lost", dead},
		{"thousand-pins", pinned}, {"two-zones", flat},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			ops := 0
			for b.Loop() {
				p, err := Decide(c.s)
				if err != nil {
					b.Fatal(err)
				}
				ops = len(p.Operators)
			}
			b.ReportMetric(float64(ops), "operators")
		})
	}
}
