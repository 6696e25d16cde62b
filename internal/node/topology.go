package node

import (
	"bytes"
	"net"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/slots"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/keyspace"
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
func (n *Node) topology(c config.Config) slots.Topology {
	if !c.RedisCluster && n.cluster == nil {
		return nil
	}
	external := n.announced(c)
	if net.ParseIP(external.Host).IsUnspecified() {
		external.Host = "" // each client is told the address that it knows
	}
	self := slots.Member{ID: n.memberID(), External: external}
	if n.cluster != nil {
		return &topology{node: n, self: self}
	}
	return &slots.Layout{Members: []slots.Member{self}, Spans: []slots.Span{{SlotRange: model.AllSlots}}}
}

// topology is that of several nodes. A layout is made again when nodes, ranges, or their
// leaders have changed.
type topology struct {
	node *Node
	self slots.Member
	mu   sync.Mutex
	made atomic.Pointer[madeLayout]
}

// madeLayout is a layout and what it was made from.
type madeLayout struct {
	slots.Layout
	nodes, ranges uint64       // the counts of their changes
	looked        atomic.Int64 // when the leaders were looked at, in nanoseconds
}

// leadersEvery is how often a layout looks who leads: who is told of the wrong one is
// told once more.
const leadersEvery = 50 * time.Millisecond

// Layout implements slots.Topology.
func (t *topology) Layout() *slots.Layout {
	nodes, ranges, now := t.node.cluster.changes.Load(), t.node.store.Arrangement(), time.Now().UnixNano()
	fits := func(l *madeLayout) bool {
		return l != nil && l.nodes == nodes && l.ranges == ranges && now-l.looked.Load() < int64(leadersEvery)
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
	l := &madeLayout{nodes: nodes, ranges: ranges}
	l.looked.Store(now)
	at := t.members(&l.Layout)
	t.spans(&l.Layout, at)
	if last != nil {
		if last.nodes == nodes && last.ranges == ranges && slices.EqualFunc(last.Spans, l.Spans, sameSpan) {
			last.looked.Store(now)
			return &last.Layout
		}
		l.Epoch = max(l.Epoch, last.Epoch+1)
	}
	t.made.Store(l)
	return &l.Layout
}

func sameSpan(a, b slots.Span) bool {
	return a.SlotRange == b.SlotRange && a.Leader == b.Leader && slices.Equal(a.Standbys, b.Standbys)
}

// members lists those to which clients can connect, and says where each node is among
// them.
func (t *topology) members(l *slots.Layout) map[base.NodeID]int {
	self := t.node.store.Identity().Node
	at := map[base.NodeID]int{}
	for _, id := range t.node.cluster.Nodes() {
		m := t.self
		if id != self {
			row := t.node.cluster.node(id)
			if row.Client.Port == 0 {
				continue // nobody can connect there, or it has not said where yet
			}
			m = slots.Member{ID: catalog.NodeMember(row.Store, id), External: row.Client}
		} else {
			l.Self = len(l.Members)
		}
		at[id] = len(l.Members)
		l.Members = append(l.Members, m)
	}
	return at
}

// spans gives the slots to the leaders of their ranges. A slot that is cut in two belongs to
// the range in which it begins. Where nobody is known to lead it is this node, since any
// node serves any command.
func (t *topology) spans(l *slots.Layout, at map[base.NodeID]int) {
	first := 0
	for first <= int(model.AllSlots.Last) {
		p := t.node.holding(slotStart(first))
		last := max(first, slotsBelow(p.span.End)-1)
		span := slots.Span{SlotRange: model.SlotRange{First: uint16(first), Last: uint16(last)}, Leader: l.Self}
		if i, known := at[p.leader]; known {
			span.Leader = i
		}
		for _, id := range p.voters {
			if i, known := at[id]; known && i != span.Leader {
				span.Standbys = append(span.Standbys, i)
			}
		}
		l.Epoch = max(l.Epoch, uint64(p.epoch))
		if n := len(l.Spans); n > 0 && l.Spans[n-1].Leader == span.Leader && slices.Equal(l.Spans[n-1].Standbys, span.Standbys) {
			l.Spans[n-1].Last = span.Last
		} else {
			l.Spans = append(l.Spans, span)
		}
		first = last + 1
	}
}

// redisData is where the slots of the database that cluster mode serves begin.
var redisData = keyspace.AppendRedisDB(nil, catalog.DefaultID, 0)

func slotStart(slot int) []byte { return keyspace.AppendRedisSlot(nil, redisData, uint16(slot)) }

// slotsBelow is how many slots begin below a key.
func slotsBelow(key []byte) int {
	return sort.Search(int(model.AllSlots.Last)+1, func(slot int) bool { return bytes.Compare(slotStart(slot), key) >= 0 })
}

// holding is what a node knows of where a range is.
type holding struct {
	span   base.Span
	epoch  base.Epoch
	leader base.NodeID // zero: not known
	voters []base.NodeID
}

// holding is where the range of key is, as far as this node knows.
func (n *Node) holding(key []byte) (h holding) {
	if r := n.store.Range(key); r != nil {
		d := r.Descriptor()
		h.span, h.epoch, h.leader = d.Span, d.Epoch, r.Leader()
		if r.Serving() {
			h.leader = n.store.Identity().Node
		}
		for _, m := range d.Replicas {
			if m.Role == base.Voter {
				h.voters = append(h.voters, m.Node)
			}
		}
		return h
	}
	if route, known := n.cluster.client.Known(key); known {
		return holding{span: route.Span, epoch: route.Epoch, leader: route.Leader, voters: route.Nodes}
	}
	return holding{span: base.KeySpan(key)}
}
