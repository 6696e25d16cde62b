package sim

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// lure keeps a follower away from the leader until it would like to lead itself;
// nobody writes meanwhile, so that it could. At that moment, in spring, the others crash:
// they must not forget whom they had promised not to vote against. Time passes slowly then,
// while the old leader still has its lease.
func (g *group) lure() {
	m, r := g.leader(nil)
	if m == nil || g.trap != nil || g.lull != nil {
		return
	}
	d := r.Descriptor()
	c := g.members[d.Replicas[g.rnd.IntN(len(d.Replicas))].Node-1]
	if m == c {
		return
	}
	g.cut = map[[2]base.NodeID]bool{}
	g.trap = &trap{leader: m, lured: c, away: g.micros + 300_000, at: g.micros + 1_000_000 + g.rnd.Int64N(1_000_000)}
}

type trap struct {
	leader, lured *member
	away, at      int64
}

func (g *group) spring() {
	t := g.trap
	switch {
	case t == nil:
		return
	case t.away != 0 && g.micros >= t.away:
		t.away = 0
		g.cut[[2]base.NodeID{t.leader.id, t.lured.id}], g.cut[[2]base.NodeID{t.lured.id, t.leader.id}] = true, true
		g.note("node %d is kept away from its leader %d", t.lured.id, t.leader.id)
	}
	if g.micros < t.at || g.micros < t.at+1_000_000 && !g.campaigns(t.lured) {
		return
	}
	g.trap = nil
	g.slow = g.now + 800
	g.cut = map[[2]base.NodeID]bool{}
	g.isolate(t.leader.id)
	g.eye(t.leader)
	for _, o := range g.members {
		if o != t.leader && o != t.lured {
			g.crash(o, 0)
		}
	}
}

// campaigns reports whether a node would like to lead.
func (g *group) campaigns(m *member) bool {
	return slices.ContainsFunc(g.net, func(p packet) bool {
		x, err := replica.DecodeMessage(p.bytes)
		return err == nil && p.from == m.id && x.Raft.GetType() == pb.MsgPreVote
	})
}

// orphanEvents ends a run that begins with an orphan when the others have had time to
// elect a leader, and before a snapshot repairs what may be wrong with it.
const orphanEvents = 1500

// orphan makes the first node crash with entries that nobody else has, while its disk
// still knows of a group of one.
func (g *group) orphan() error {
	m := g.members[0]
	for n := 0; n < 500 && !g.informed(); n++ { // else they elect nobody without it
		g.micros += 2000
		if err := g.quiet(); err != nil {
			return err
		}
	}
	for _, o := range g.members[1:] {
		g.cut[[2]base.NodeID{m.id, o.id}], g.cut[[2]base.NodeID{o.id, m.id}] = true, true
	}
	for range 20 {
		g.client(m)
		if err := g.step(m); err != nil {
			return err
		}
	}
	g.note("node %d crashes, losing nothing", m.id)
	m.disk.crash(0)
	return nil
}

// informed reports whether every voter of the only range knows of all of them.
func (g *group) informed() bool {
	_, r := g.leader(nil)
	if r == nil {
		return false
	}
	d := r.Descriptor()
	for _, x := range d.Replicas {
		copied := g.members[x.Node-1].store.Replica(d.ID)
		if copied == nil || len(copied.Descriptor().Replicas) != len(d.Replicas) || copied.Descriptor().Epoch != d.Epoch {
			return false
		}
	}
	return true
}
