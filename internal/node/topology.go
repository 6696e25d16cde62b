package node

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/config"
	model "github.com/stratadb/strata/internal/model/redis"
)

// announced is where RESP clients are told to connect.
func (n *Node) announced(c config.Config) catalog.Address {
	a := n.address("resp")
	if c.AnnounceHost != "" {
		a.Host = c.AnnounceHost
	}
	if c.AnnouncePort != 0 {
		a.Port = c.AnnouncePort
	}
	return a
}

// topology is what clients in cluster mode are told; nil when cluster mode is off. A
// node that is not alone has it.
func (n *Node) topology(c config.Config) redis.Topology {
	if !c.RedisCluster && n.cluster == nil {
		return nil
	}
	external := n.announced(c)
	if net.ParseIP(external.Host).IsUnspecified() {
		external.Host = "" // each client is told the address that it knows
	}
	self := redis.Member{ID: n.memberID(), External: external}
	if n.cluster != nil {
		return &topology{node: n, self: self}
	}
	return &redis.Layout{Members: []redis.Member{self}, Spans: []redis.SlotSpan{{SlotRange: model.AllSlots}}}
}

// topology is that of several nodes. A layout is made again when somebody else leads,
// or when the nodes or the copies have changed.
type topology struct {
	node *Node
	self redis.Member
	mu   sync.Mutex
	made atomic.Pointer[madeLayout]
}

// madeLayout is a layout and what it was made from.
type madeLayout struct {
	redis.Layout
	nodes  uint64 // the cluster's count of changes
	leader base.NodeID
	copies base.Epoch
}

// Layout implements redis.Topology.
func (t *topology) Layout() *redis.Layout {
	leader, replicas, copies := t.node.leads()
	nodes := t.node.cluster.changes.Load()
	fits := func(l *madeLayout) bool {
		return l != nil && l.nodes == nodes && l.leader == leader && l.copies == copies
	}
	if l := t.made.Load(); fits(l) {
		return &l.Layout
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.made.Load()
	if fits(last) {
		return &last.Layout
	}
	l := &madeLayout{nodes: nodes, leader: leader, copies: copies}
	if last != nil {
		l.Epoch = last.Epoch
	}
	l.Epoch = max(l.Epoch+1, uint64(copies))
	t.fill(&l.Layout, leader, replicas)
	t.made.Store(l)
	return &l.Layout
}

// fill lists the members, and gives all slots to the leader of the range.
func (t *topology) fill(l *redis.Layout, leader base.NodeID, replicas []base.ReplicaDescriptor) {
	self := t.node.store.Identity().Node
	at := map[base.NodeID]int{}
	for _, id := range t.node.cluster.Nodes() {
		m := t.self
		if id != self {
			row := t.node.cluster.node(id)
			if row.Client.Port == 0 {
				continue // nobody can connect there, or it has not said where yet
			}
			m = redis.Member{ID: catalog.NodeMember(row.Store, id), External: row.Client}
		} else {
			l.Self = len(l.Members)
		}
		at[id] = len(l.Members)
		l.Members = append(l.Members, m)
	}
	i, known := at[leader]
	if !known {
		i = l.Self // any node serves any command
	}
	span := redis.SlotSpan{SlotRange: model.AllSlots, Leader: i}
	for _, r := range replicas {
		if s, found := at[r.Node]; found && s != i && r.Role == base.Voter {
			span.Standbys = append(span.Standbys, s)
		}
	}
	l.Spans = []redis.SlotSpan{span}
}

// leads is who leads the range, as far as this node knows, and its copies.
func (n *Node) leads() (leader base.NodeID, replicas []base.ReplicaDescriptor, epoch base.Epoch) {
	if n.cluster.client.Serving() != nil {
		leader = n.store.Identity().Node
	} else {
		leader = n.cluster.client.Leader()
	}
	if r := n.store.Range(nil); r != nil {
		d := r.Descriptor()
		replicas, epoch = d.Replicas, d.Epoch
	}
	return leader, replicas, epoch
}
