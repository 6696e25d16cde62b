package sim

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

func (g *group) sendBeat(from, to base.NodeID, b *sleep.Beat) {
	if g.rnd.IntN(100) < g.loss || len(g.beats) >= netMax {
		g.res.Drops++
		return
	}
	g.beats = append(g.beats, packet{from: from, to: to, bytes: b.Append(nil)})
}

// deliverBeat lets the heartbeat of a store arrive.
func (g *group) deliverBeat() error {
	if len(g.beats) == 0 {
		return nil
	}
	p := g.take(&g.beats)
	if g.lost(&p) {
		return nil
	}
	b, err := sleep.DecodeBeat(p.bytes)
	if err != nil {
		return err
	}
	g.res.Beats++
	g.note("%d to %d: beat %+v", p.from, p.to, b)
	to := g.members[p.to-1]
	to.store.TakeBeat(p.from, &b)
	return g.step(to)
}

// lull is trouble for a range that sleeps: its leader does not reach a follower any more, or
// nobody, or the others crash, and no message of Raft reaches it. So only the heartbeats of
// stores can tell it what becomes of its followers. Clients only read there, and write elsewhere.
type lull struct {
	leader, away *member
	until, crash int64 // crash: of the others; zero: not
	deaf         bool  // no message of Raft reaches the leader
}

func (g *group) beginLull() {
	for _, i := range g.rnd.Perm(len(g.members)) {
		m := g.members[i]
		for _, r := range m.store.Replicas() {
			if !r.Asleep() {
				continue
			}
			d := r.Descriptor()
			c := g.members[d.Replicas[g.rnd.IntN(len(d.Replicas))].Node-1]
			if c == m {
				continue
			}
			g.res.Lulls++
			g.lull = &lull{leader: m, away: c, until: g.micros + 1_500_000 + g.rnd.Int64N(2_000_000), deaf: g.rnd.IntN(4) > 0}
			g.cut = map[[2]base.NodeID]bool{}
			switch g.rnd.IntN(4) {
			case 0:
				g.cut[[2]base.NodeID{m.id, c.id}] = true
			case 1:
				g.cut[[2]base.NodeID{m.id, c.id}], g.cut[[2]base.NodeID{c.id, m.id}] = true, true
				g.lull.crash = g.micros + 500_000 + g.rnd.Int64N(1_000_000)
			case 2:
				for _, o := range g.members {
					g.cut[[2]base.NodeID{m.id, o.id}] = o != m
				}
			case 3:
				g.lull.crash, g.lull.away = g.micros, m
			}
			g.note("range %d of node %d sleeps: %v", d.ID, m.id, g.cut)
			return
		}
	}
}

// endLull ends a lull in time.
func (g *group) endLull() {
	l := g.lull
	if l.crash != 0 && g.micros >= l.crash {
		l.crash = 0
		for _, o := range g.members {
			if o != l.leader && o != l.away {
				g.crash(o, 0)
			}
		}
	}
	if g.micros >= l.until {
		g.lull = nil
		g.cut = map[[2]base.NodeID]bool{}
	}
}

// mayWrite reports whether clients of a node write now.
func (g *group) mayWrite(m *member) bool {
	if m == g.eyed && g.now < g.eyeing { // its reads would wait for that
		return false
	}
	if g.lull != nil {
		return g.lull.leader != m
	}
	return g.trap == nil && g.micros >= g.hush
}
