package sim

import (
	"testing"

	"github.com/cockroachdb/errors"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// TestFrozenServesNothing: a leader has frozen a range and begun the merge, and leaves the
// left range before it learns what came of that, which only a bug makes it do. Its successor makes the merge, and
// writes. The old leader still has its lease of the right range, and must not read there.
func TestFrozenServesNothing(t *testing.T) {
	for _, serves := range []bool{true, false} {
		got, err := staleRead(replica.Faults{ServeFrozen: serves, HandOverAtOnce: true})
		switch {
		case serves && (err != nil || got != "old"):
			t.Errorf("the test shows nothing: a leader that goes on reading answers %q, %v", got, err)
		case !serves && !errors.Is(err, base.ErrWrongRange):
			t.Errorf("a frozen range answers %q, %v", got, err)
		}
	}
}

// staleRead is what the old leader answers.
func staleRead(f replica.Faults) (string, error) {
	g := newGroup(GroupOptions{Seed: 1, Faults: f})
	defer g.abandon()
	defer g.seed()()
	if err := g.begin(); err != nil {
		return "", err
	}
	key := listKey(4)
	a, r := g.leader(nil)
	if err := g.write(a, key, "old", 0); err != nil {
		return "", err
	}
	// With five voters one of them does not make a quorum when it is told to take over.
	if err := g.until("there are five voters", 0, func() bool {
		d := r.Descriptor()
		if steps := g.change(d); steps != nil && len(d.Replicas) <= groupNodes {
			_ = r.ChangeMembers(steps...) // refused while another one is under way
		}
		return voters(&d) == groupNodes
	}); err != nil {
		return "", err
	}
	if _, err := r.BeginSplit([]byte(listKey(2)), 2); err != nil {
		return "", err
	}
	if err := g.until("the right side is led beside the left one", 0, func() bool {
		if m, x := g.leader([]byte(key)); m != nil && m != a && len(m.store.Replicas()) == 2 {
			d := x.Descriptor()
			to, _ := d.On(a.id)
			_ = x.TransferLeader(to.Replica)
		}
		x := a.store.Replica(2)
		return x != nil && x.Serving() && r.Serving()
	}); err != nil {
		return "", err
	}
	if _, err := a.store.BeginMerge(1, 2); err != nil {
		return "", err
	}
	if err := g.until("the freeze is everywhere", 0, func() bool {
		a.store.Heal()
		return g.step(a) == nil && len(a.store.Frozen()) > 0 && r.Descriptor().Span.End[0] == 4 && g.merging(a)
	}); err != nil {
		return "", err
	}
	d := r.Descriptor()
	b := g.other(&d, a)
	to, _ := d.On(b.id)
	if err := r.TransferLeader(to.Replica); err != nil {
		return "", err
	}
	g.hears = func(p *packet) bool { return p.to != a.id || p.from == b.id && g.deaf == 0 }
	if err := g.until("the successor has merged", 20, func() bool {
		for i := range g.net {
			if m, err := replica.DecodeMessage(g.net[i].bytes); err == nil && m.Raft.GetType() == pb.MsgTimeoutNow {
				g.deaf = a.id
			}
		}
		return len(b.store.Replicas()) == 1 && b.store.Replica(1).Serving()
	}); err != nil {
		return "", err
	}
	if err := g.write(b, key, "new", 20); err != nil {
		return "", err
	}
	x := a.store.Replica(2)
	if x == nil || !x.Serving() {
		return "", errors.New("the old leader does not think that it leads")
	}
	at := x.NewAttempt()
	at.Begin(0, replica.HoldNever)
	value, err := at.Get([]byte(key))
	if ticket := at.Abort(); err == nil && !ticket.Done() {
		err = errors.New("the lease has ended")
	}
	return string(value), err
}

// merging reports whether a node has sent the others a merge.
func (g *group) merging(m *member) bool {
	for i := range g.net {
		p, err := replica.DecodeMessage(g.net[i].bytes)
		if err == nil && g.net[i].from == m.id && p.Range == 1 && len(p.Raft.GetEntries()) > 0 {
			return true
		}
	}
	return false
}

func voters(d *base.RangeDescriptor) (n int) {
	for _, x := range d.Replicas {
		if x.Role == base.Voter {
			n++
		}
	}
	return n
}

// other is another voter than m.
func (g *group) other(d *base.RangeDescriptor, m *member) *member {
	for _, x := range d.Replicas {
		if x.Node != m.id && x.Role == base.Voter {
			return g.members[x.Node-1]
		}
	}
	return nil
}

// until lets messages arrive and time pass, so many microseconds a step, until something is so.
// Zero: as fast as elections want it.
func (g *group) until(what string, pass int64, is func() bool) error {
	for n := 0; !is(); n++ {
		if n == 5000 {
			return errors.Newf("not within %d steps: %s", n, what)
		}
		g.micros += pass
		if pass == 0 {
			g.micros += 1000
		}
		if err := g.pass(pass == 0); err != nil {
			return err
		}
	}
	return nil
}

// pass lets the oldest message arrive, and everybody but the deaf node make a step.
func (g *group) pass(ticks bool) error {
	if len(g.net) > 0 {
		p := g.net[0]
		g.net = g.net[1:]
		m, err := replica.DecodeMessage(p.bytes)
		if err != nil {
			return err
		}
		if p.snapshot != nil {
			m.SetSnapshot(p.snapshot)
		}
		if g.hears == nil || g.hears(&p) {
			if err := g.members[p.to-1].store.Deliver(&m); err != nil {
				return err
			}
		}
	}
	if len(g.beats) > 0 {
		p := g.beats[0]
		g.beats = g.beats[1:]
		b, err := sleep.DecodeBeat(p.bytes)
		if err != nil {
			return err
		}
		if g.hears == nil || g.hears(&p) {
			g.members[p.to-1].store.TakeBeat(p.from, &b)
		}
	}
	g.poll()
	for _, m := range g.members {
		if m.id == g.deaf {
			continue
		}
		if err := g.step(m); err != nil {
			return err
		}
		if ticks {
			if err := g.tick(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes on a node that leads.
func (g *group) write(m *member, key, value string, pass int64) error {
	db := kv.NewWithSession(kvrange.New(m.store), m.clock.Now, 1)
	t, err := db.NewSession().Run(kv.Func(func(t kv.Txn) error {
		t.Set([]byte(key), []byte(value))
		return nil
	}))
	if err != nil {
		return err
	}
	return g.until("the write is acknowledged", pass, t.Done)
}
