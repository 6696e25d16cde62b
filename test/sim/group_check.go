package sim

import (
	"bytes"
	"maps"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/test/history"
)

// finish heals everything, lets the group come to rest, and checks.
func (g *group) finish() error {
	g.loss, g.hush, g.lull, g.ending = 0, 0, nil, true
	for _, m := range g.members {
		m.disk.countdown, m.paused = -1, 0
	}
	rest := 4000
	if g.o.Spread {
		rest *= 2
	}
	for n := range rest {
		g.settle(n)
		for _, m := range g.members {
			if n%50 == 0 {
				m.store.Heal()
			}
		}
		clear(g.cut) // the last transfers of leadership may still isolate somebody
		g.now++
		g.micros += 2000
		if err := g.quiet(); err != nil {
			return errors.Wrap(err, "at the end")
		}
		g.poll()
		if g.o.Spread && (g.unsettled() || !g.aged) {
			continue
		}
		if done, err := g.check(); done || err != nil {
			return err
		}
	}
	for _, m := range g.members {
		for _, r := range m.store.Replicas() {
			g.note("node %d, serving %v: %+v, %+v", m.id, r.Serving(), r.Descriptor(), r.Stats())
		}
	}
	for at := listSpan.Start; bytes.Compare(at, listSpan.End) < 0; {
		_, r := g.leader(at)
		if r == nil {
			return errors.Newf("the range of %q found no leader within eight seconds of peace", at)
		}
		at = r.Descriptor().Span.End
	}
	if g.o.Spread && g.unsettled() {
		return errors.Newf("in the end %d tasks are at work, or a transaction is held or not settled", len(g.tasks))
	}
	return errors.New("within eight seconds of peace not every copy has followed the leader")
}

// check reads the lists on whoever leads their ranges and compares everything with them.
func (g *group) check() (done bool, err error) {
	final := map[string][]uint32{}
	var leaders []*replica.Replica
	for at := listSpan.Start; bytes.Compare(at, listSpan.End) < 0; {
		m, r := g.leader(at)
		if m == nil {
			return false, nil
		}
		span := base.Span{Start: at, End: listSpan.End}
		if end := r.Descriptor().Span.End; bytes.Compare(end, span.End) < 0 {
			span.End = end
		}
		if done, err = g.read(m, span, final); !done {
			return false, err
		}
		leaders, at = append(leaders, r), span.End
	}
	g.poll()
	g.res.Ops, g.res.Unknown = len(g.ops), len(g.pending)
	if g.o.Spread {
		for _, op := range g.ops {
			if op.Outcome == history.Unknown {
				g.res.Unknown++
			}
		}
	}
	if g.o.Spread {
		g.countAll(final)
	}
	listed := maps.Clone(final)
	maps.DeleteFunc(listed, func(key string, _ []uint32) bool { return isAccount(key) })
	if err := errors.CombineErrors(history.Check(g.ops, listed), g.astray); err != nil {
		return false, err
	}
	for _, r := range leaders {
		if done, err := g.alike(r, final); !done {
			return false, err
		}
	}
	return true, nil
}

// read reads a span on a node; it may lead no more.
func (g *group) read(m *member, span base.Span, final map[string][]uint32) (done bool, err error) {
	db := kv.NewWithSession(g.engineOf(m), m.clock.Now, 1)
	t, err := db.NewSession().Run(kv.Func(func(t kv.Txn) error {
		return t.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
			final[string(key)] = decode(value)
			return true
		})
	}))
	if err != nil {
		return false, nil
	}
	for n := 0; !t.Done(); n++ {
		if n == 200 {
			return false, nil // it led no more
		}
		g.micros += 2000
		if err := g.quiet(); err != nil {
			return false, err
		}
		g.poll()
	}
	return true, nil
}

// alike compares the copies of a range, once all of them have what the leader has.
func (g *group) alike(r *replica.Replica, all map[string][]uint32) (done bool, err error) {
	desc := r.Descriptor()
	want := maps.Clone(all)
	maps.DeleteFunc(want, func(key string, _ []uint32) bool { return !desc.Span.Contains([]byte(key)) })
	for _, d := range desc.Replicas {
		m := g.members[d.Node-1]
		copied := m.store.Replica(desc.ID)
		if copied == nil || copied.Stats().Applied < r.Stats().Applied {
			return false, nil
		}
		if err := copied.EvictAll(); err != nil {
			return false, err
		}
		got := map[string][]uint32{}
		if err := m.store.ScanStored(listSpan, false, func(key, value []byte) bool {
			if desc.Span.Contains(key) {
				got[string(key)] = decode(value)
			}
			return true
		}); err != nil {
			return false, err
		}
		if !maps.EqualFunc(got, want, slices.Equal) {
			return false, errors.Newf("node %d holds %v of range %d, the leader %v", m.id, got, desc.ID, want)
		}
	}
	return true, nil
}
