package admin

import (
	"bytes"
	"context"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Cluster is what the door asks of the node about all nodes.
type Cluster interface {
	// Nodes are all nodes, by id, each with what it says about itself: they are asked
	// now. It waits a second at most for those that do not answer.
	Nodes(ctx context.Context) []NodeView
	// Explain says what would be done with a range, and why.
	Explain(ctx context.Context, id base.RangeID) (string, error)
}

// NodeView is a node.
type NodeView struct {
	ID      base.NodeID
	Store   string // hexadecimal
	Address string // for other nodes; empty: there are none
	// Locality is where it is, region=eu,zone=b; empty: it does not say.
	Locality string
	// Draining: its leaders and replicas move to others.
	Draining bool
	// Live: it has answered. Nothing below is known of one that has not.
	Live                 bool
	Version              string
	Uptime               time.Duration
	LogBytes, StateBytes int64
	DiskFull             bool
	// Sleeping are the replicas of ranges that sleep, Beats the heartbeats of the store that
	// were sent so far.
	Sleeping int
	Beats    int64
	// Clients are those over RESP, Commands what they have sent so far.
	Clients  int
	Commands int64
	Replicas []ReplicaView
}

// ReplicaView is a replica, as the node that holds it sees its range.
type ReplicaView struct {
	Range            base.RangeID
	Epoch            base.Epoch
	Span             base.Span
	Voters, Learners []base.NodeID
	Leads            bool
	Term             base.Term // of Raft, since when it leads; else zero
	Applied          base.LogIndex
	// Position counts the transactions that have written something.
	Position base.Position
	Bytes    int64
	// Reads and Writes are transactions per second, Hot is what is known of where the load
	// could be cut. Only who leads says so.
	Reads, Writes float64
	Hot           string
}

func (n *NodeView) memberID() string { return catalog.NodeMember(n.Store, n.ID) }

func (n *NodeView) status() string {
	switch {
	case !n.Live:
		return "silent"
	case n.Draining:
		return "draining"
	}
	return "live"
}

func (n *NodeView) leads() (ranges int) {
	for i := range n.Replicas {
		if n.Replicas[i].Leads {
			ranges++
		}
	}
	return ranges
}

// rangeView is a range: what its newest replica, and the one that leads, say.
type rangeView struct {
	ReplicaView
	leader base.NodeID // zero: nobody answers for it
	copies int         // voters that have answered
}

// rangesOf puts the replicas of all nodes together, by their place in the keyspace.
func rangesOf(nodes []NodeView) []rangeView {
	byID := map[base.RangeID]*rangeView{}
	for i := range nodes {
		for _, r := range nodes[i].Replicas {
			known := byID[r.Range]
			if known == nil {
				known = &rangeView{ReplicaView: r}
				byID[r.Range] = known
			}
			if r.Epoch > known.Epoch || r.Epoch == known.Epoch && r.Leads {
				known.ReplicaView = r
			}
			if r.Leads {
				known.leader = nodes[i].ID
			}
			if slices.Contains(r.Voters, nodes[i].ID) {
				known.copies++
			}
		}
	}
	list := make([]rangeView, 0, len(byID))
	for _, r := range byID {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b rangeView) int { return bytes.Compare(a.Span.Start, b.Span.Start) })
	return list
}

// ask asks all nodes.
func (a *Admin) ask() []NodeView {
	if a.o.Nodes == nil {
		return nil
	}
	return a.o.Nodes.Nodes(context.Background())
}

// view asks all nodes for a command without arguments.
func (a *Admin) view(c *redis.Call) ([]NodeView, error) {
	if len(c.Args) != 2 {
		return nil, errParameters
	}
	return a.ask(), nil
}

// fields writes a map.
type fields struct {
	c *redis.Call
}

func (f fields) text(name, value string) {
	f.c.W.BulkString(name)
	f.c.W.BulkString(value)
}

func (f fields) number(name string, n int64) {
	f.c.W.BulkString(name)
	f.c.W.Int(n)
}

func (f fields) nodes(name string, ids []base.NodeID) {
	f.c.W.BulkString(name)
	f.c.W.Array(len(ids))
	for _, id := range ids {
		f.c.W.Int(int64(id))
	}
}

func address(a catalog.Address) string {
	if a == (catalog.Address{}) {
		return ""
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

func (a *Admin) nodes(c *redis.Call) error {
	nodes, err := a.view(c)
	if err != nil {
		return err
	}
	members := map[string]catalog.Member{}
	if err := c.Transact(func(t kv.Txn) error {
		rows, err := catalog.Members(t, "")
		for _, m := range rows {
			members[m.ID] = m
		}
		return err
	}); err != nil {
		return err
	}
	f := fields{c}
	c.W.Array(len(nodes))
	for i := range nodes {
		n := &nodes[i]
		m := members[n.memberID()]
		c.W.Map(15)
		f.number("id", int64(n.ID))
		f.text("status", n.status())
		f.text("address", n.Address)
		f.text("resp", address(m.External))
		f.text("admin", address(m.Internal))
		f.number("replicas", int64(len(n.Replicas)))
		f.number("leaders", int64(n.leads()))
		f.number("sleeping", int64(n.Sleeping))
		f.number("heartbeats", n.Beats)
		f.number("clients", int64(n.Clients))
		f.number("commands", n.Commands)
		f.number("bytes", n.LogBytes+n.StateBytes)
		f.number("uptime_seconds", int64(n.Uptime/time.Second))
		f.text("version", n.Version)
		f.text("locality", n.Locality)
	}
	return nil
}

func (a *Admin) ranges(c *redis.Call) error {
	if len(c.Args) == 4 && strings.EqualFold(string(c.Args[2]), "EXPLAIN") {
		return a.explain(c)
	}
	nodes, err := a.view(c)
	if err != nil {
		return err
	}
	f, list := fields{c}, rangesOf(nodes)
	c.W.Array(len(list))
	for i := range list {
		r := &list[i]
		c.W.Map(14)
		f.number("id", int64(r.Range))
		f.text("start", keyspace.Pretty(r.Span.Start))
		f.text("end", keyspace.Pretty(r.Span.End))
		f.number("epoch", int64(r.Epoch))
		f.number("leader", int64(r.leader))
		f.number("term", int64(r.Term))
		f.nodes("voters", r.Voters)
		f.nodes("learners", r.Learners)
		f.number("applied", int64(r.Applied))
		f.number("transactions", int64(r.Position))
		f.number("bytes", r.Bytes)
		f.number("reads_per_second", int64(math.Round(r.Reads)))
		f.number("writes_per_second", int64(math.Round(r.Writes)))
		f.text("load", r.Hot)
	}
	return nil
}

// explain answers RANGES EXPLAIN id.
func (a *Admin) explain(c *redis.Call) error {
	id, err := strconv.ParseUint(string(c.Args[3]), 10, 64)
	if err != nil || id == 0 {
		return catalog.Mistake("invalid range id")
	}
	if a.o.Nodes == nil {
		return errParameters
	}
	text, err := a.o.Nodes.Explain(context.Background(), base.RangeID(id))
	if err == nil {
		c.W.BulkString(text)
	}
	return err
}

// status sums up.
func (a *Admin) status(c *redis.Call) error {
	nodes, err := a.view(c)
	if err != nil {
		return err
	}
	var live, full, silent, unled, short int64
	for i := range nodes {
		if nodes[i].Live {
			live++
		} else {
			silent++
		}
		if nodes[i].DiskFull {
			full++
		}
	}
	list := rangesOf(nodes)
	for i := range list {
		if list[i].leader == 0 {
			unled++
		}
		if list[i].copies < len(list[i].Voters) {
			short++
		}
	}
	f := fields{c}
	c.W.Map(9)
	f.text("cluster", a.o.Cluster)
	f.text("member", a.self.ID)
	f.text("version", a.o.Version)
	f.number("nodes_live", live)
	f.number("nodes_silent", silent)
	f.number("nodes_disk_full", full)
	f.number("ranges", int64(len(list)))
	f.number("ranges_without_leader", unled)
	f.number("ranges_missing_copies", short)
	return nil
}
