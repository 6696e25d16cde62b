package admin

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
)

// told is a cluster of which the answers are given.
type told struct {
	sync.Mutex
	nodes []NodeView
}

func (n *told) Nodes(context.Context) []NodeView {
	n.Lock()
	defer n.Unlock()
	return slices.Clone(n.nodes)
}

func (n *told) Explain(_ context.Context, id base.RangeID) (string, error) {
	if id != 2 {
		return "", catalog.Mistake("no such range")
	}
	return "because", nil
}

func (n *told) say(nodes ...NodeView) {
	n.Lock()
	defer n.Unlock()
	n.nodes = nodes
}

// TestOverview: nodes, ranges and their sum, from what the nodes say.
func TestOverview(t *testing.T) {
	n := start(t)
	store := self[:len(self)-8]
	left, right := base.Span{Start: []byte{1}, End: []byte("\x04\x01\x01")}, base.Span{Start: []byte("\x04\x01\x01"), End: []byte{0xFF}}
	n.told.say(
		NodeView{ID: 0x01234567, Store: store, Address: "10.0.0.1:7000", Live: true, Version: "v1", Uptime: 90 * time.Second, LogBytes: 10, StateBytes: 5, Sleeping: 1, Beats: 12, Clients: 4, Commands: 40,
			Replicas: []ReplicaView{
				{Range: 2, Epoch: 3, Span: right, Voters: []base.NodeID{1, 2}, Applied: 7}, // it has missed a change
				{Range: 1, Epoch: 4, Span: left, Voters: []base.NodeID{1, 2, 3}, Leads: true, Applied: 9, Bytes: 100, Position: 77,
					Reads: 9.6, Writes: 2.2, Hot: "single hot key"},
			}},
		NodeView{ID: 2, Store: "b2", Address: "10.0.0.2:7000", Live: true, DiskFull: true, Replicas: []ReplicaView{
			{Range: 1, Epoch: 4, Span: left, Voters: []base.NodeID{1, 2, 3}, Applied: 8},
			{Range: 2, Epoch: 4, Span: right, Voters: []base.NodeID{2}, Learners: []base.NodeID{3}, Applied: 12},
		}},
		NodeView{ID: 3, Store: "c3", Address: "10.0.0.3:7000", Locality: "zone=c"},
	)
	n.line(n.admAt).script(`
		KR.ADMIN STATUS x => ERR invalid number of parameters
		KR.ADMIN STATUS   => map[cluster:c1 member:` + self + ` nodes_disk_full:1 nodes_live:2 nodes_silent:1 ranges:2 ranges_missing_copies:1 ranges_without_leader:1 version:]
		KR.ADMIN RANGES   => [map[applied:9 bytes:100 end:/data/1 epoch:4 id:1 leader:19088743 learners:[] load:single hot key reads_per_second:10 start:/range-local/ term:0 transactions:77 voters:[1 2 3] writes_per_second:2] ` +
		`map[applied:12 bytes:0 end:/ff epoch:4 id:2 leader:0 learners:[3] load: reads_per_second:0 start:/data/1 term:0 transactions:0 voters:[2] writes_per_second:0]]
		KR.ADMIN RANGES EXPLAIN 2 => because
		KR.ADMIN RANGES EXPLAIN 3 => ERR no such range
		KR.ADMIN RANGES EXPLAIN x => ERR invalid range id
		KR.ADMIN NODES    => [map[address:10.0.0.1:7000 admin:db1:3320 bytes:15 clients:4 commands:40 heartbeats:12 id:19088743 leaders:1 locality: replicas:2 resp:db1:5484 sleeping:1 status:live uptime_seconds:90 version:v1] ` +
		`map[address:10.0.0.2:7000 admin: bytes:0 clients:0 commands:0 heartbeats:0 id:2 leaders:0 locality: replicas:2 resp: sleeping:0 status:live uptime_seconds:0 version:] ` +
		`map[address:10.0.0.3:7000 admin: bytes:0 clients:0 commands:0 heartbeats:0 id:3 leaders:0 locality:zone=c replicas:0 resp: sleeping:0 status:silent uptime_seconds:0 version:]]
		KR.ADMIN LIST-SILENT-MEMBERS => []`)
}
