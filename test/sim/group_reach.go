package sim

import (
	"iter"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// groupTask is a coroutine of a node: a client with its coordinator, what goes on behind an
// answer, a sweep, or a request that is late.
type groupTask struct {
	of    *member
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

// groupTasksMax is how many clients and sweeps are at work at a time.
const groupTasksMax = 10

// spawn makes a task of a node; it does not run yet.
func (g *group) spawn(m *member, run func()) {
	t := &groupTask{of: m}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if v := recover(); v != nil && v != any(errUnwound) {
				panic(v)
			}
		}()
		t.yield = yield
		run()
	})
	g.tasks = append(g.tasks, t)
}

// resumeSome moves a few tasks on to where they wait next.
func (g *group) resumeSome(n int) {
	for ; n > 0 && len(g.tasks) > 0; n-- {
		t := g.tasks[g.rnd.IntN(len(g.tasks))]
		if g.micros < t.of.paused || t.of.disk.after != nil {
			continue
		}
		g.running = t
		_, alive := t.next()
		g.running = nil
		if !alive {
			g.tasks = slices.DeleteFunc(g.tasks, func(x *groupTask) bool { return x == t })
		}
	}
}

// rest lets others do something.
func (g *group) rest() {
	if !g.running.yield(struct{}{}) {
		panic(errUnwound)
	}
}

// unwind ends the tasks of a node that has crashed; nil: all tasks.
func (g *group) unwind(m *member) {
	g.tasks = slices.DeleteFunc(g.tasks, func(t *groupTask) bool {
		if m == nil || t.of == m {
			t.stop()
			return true
		}
		return false
	})
}

// reach is how the coordinator of a node gets at ranges: the leaders are wherever they
// are, requests and answers are lost, requests come twice, and late.
type reach struct {
	g  *group
	of *member
	st *store.Store // of the node; another one after a crash
}

var _ coordinator.Ranges = (*reach)(nil)

var _ coordinator.Concluding = (*reach)(nil)

// Concludes implements coordinator.Concluding.
func (x *reach) Concludes(anchor []byte) bool {
	return x.g.running != nil && (&coordinator.Here{Store: x.st}).Concludes(anchor)
}

// Conclude implements coordinator.Concluding.
func (x *reach) Conclude(ask *coordinator.Ask) (commit base.Stamp, done bool, err error) {
	x.rest()
	r, issuer := x.st.Range(ask.Key), x.st.Range(nil)
	if r == nil || issuer == nil || !r.Serving() {
		return 0, false, nil
	}
	err = x.answered(x.of, r, func(r *replica.Replica) (t base.Ticket, err error) {
		commit, t, err = r.Conclude(&ask.Prepare, nil, issuer)
		return t, err
	})
	if commit == 0 && errors.IsAny(err, replica.ErrNotNow, base.ErrUnavailable, base.ErrWrongRange) {
		return 0, false, nil
	}
	x.g.res.Concluded++
	return commit, true, err
}

// request is what the leader of a range does, and the ticket of its answer.
type request func(r *replica.Replica) (base.Ticket, error)

// ask lets the leader of the range of key do something.
func (x *reach) ask(key []byte, do request) error {
	g := x.g
	if g.running == nil { // nobody could wait
		return base.ErrUnavailable
	}
	x.rest()
	m, r := g.leader(key)
	for until := g.micros + limits.LeaderWait.Microseconds(); m == nil && g.micros < until; m, r = g.leader(key) {
		x.rest()
	}
	switch {
	case m == nil:
		return base.ErrUnavailable
	case m == x.of:
		return x.answered(m, r, do)
	case !g.arrives(x.of, m):
		if g.rnd.IntN(2) == 0 {
			return base.ErrUnavailable
		}
		if g.rnd.IntN(4) == 0 && g.micros >= m.paused { // it is only late
			g.res.Late++
			g.spawn(m, func() { g.late(m, key, do) })
		}
		return base.ErrUnknownOutcome
	}
	err := x.answered(m, r, do)
	if g.rnd.IntN(40) == 0 {
		g.res.Late++
		g.spawn(m, func() { g.late(m, key, do) }) // it comes twice
	}
	if !g.arrives(m, x.of) {
		g.res.Lost++
		return base.ErrUnknownOutcome
	}
	return err
}

// late does what was asked for some time ago, for nobody.
func (g *group) late(at *member, key []byte, do request) {
	for range g.rnd.IntN(200) {
		g.rest()
	}
	if r := at.store.Range(key); r != nil && r.Serving() {
		_ = (&reach{g: g, of: at, st: at.store}).answered(at, r, do)
	}
}

func (g *group) arrives(from, to *member) bool {
	return !g.cut[[2]base.NodeID{from.id, to.id}] && g.micros >= to.paused && to.disk.after == nil && g.rnd.IntN(100) >= g.loss
}

// rest lets others do something.
func (x *reach) rest() { x.g.restOn(x.of, x.st) }

// restOn is rest for what is done on a node, whose end ends it.
func (g *group) restOn(m *member, st *store.Store) {
	if g.rest(); m.store != st {
		panic(st)
	}
}

// pause is replica.Options.Pause of a node. Outside of tasks, whoever waits makes everybody
// go on.
func (g *group) pause(m *member, st *store.Store, p replica.Point) {
	switch {
	case g.running != nil:
		g.restOn(m, st)
	case p >= replica.PointWaiting && !g.driving:
		g.driving = true
		g.micros += 2000
		g.must(m, g.quiet())
		if g.ending { // for a lock
			g.settle(int(g.micros / 2000))
		}
		g.poll()
		if g.waits++; g.waits%50 == 0 { // for a range that is frozen
			for _, o := range g.members {
				o.store.Heal()
			}
		}
		g.driving = false
	}
}

// answered does something on a replica and waits for what the answer depends on. A
// conflict is told early (R1).
func (x *reach) answered(m *member, r *replica.Replica, do request) (err error) {
	on := m.store
	defer func() { // a node may end while it asks others
		if v := recover(); v != nil {
			if v != any(on) || m == x.of {
				panic(v)
			}
			err = base.ErrUnknownOutcome
		}
	}()
	t, err := do(r)
	if base.Retryable(err) || m.disk.after != nil {
		return err
	}
	if lost := x.await(m, t); lost != nil {
		return lost
	}
	return err
}

// await waits until t is committed. Who waits long enough gives up.
func (x *reach) await(m *member, t base.Ticket) error {
	var w groupWaiter
	if t.Done() || !t.Log.Notify(t.Pos, &w) {
		return nil
	}
	on, until := m.store, x.g.micros+limits.LeaderWait.Microseconds()
	for !w.called {
		x.rest()
		if m.store != on || x.g.micros > until {
			return base.ErrUnknownOutcome
		}
	}
	return w.err
}

type groupWaiter struct {
	called bool
	err    error
}

func (w *groupWaiter) Committed(err error) { w.called, w.err = true, err }

// Span implements coordinator.Ranges.
func (x *reach) Span(key []byte) (base.Span, error) {
	m, r := x.g.leader(key)
	if m == nil {
		return base.Span{}, base.ErrUnavailable
	}
	return r.Descriptor().Span, nil
}

// Stamp implements coordinator.Ranges.
func (x *reach) Stamp() (base.Stamp, error) {
	for {
		var stamp base.Stamp // of this question only: another answer to an earlier one may come
		issued := false
		err := x.ask([]byte{2}, func(r *replica.Replica) (t base.Ticket, err error) {
			stamp, t, issued, err = r.BeginIssue()
			return t, err
		})
		if err != nil || issued {
			return stamp, err
		}
	}
}

// Prepare implements coordinator.Ranges.
func (x *reach) Prepare(key []byte, p *prepared.Prepare, _ []coordinator.Guard) error {
	return x.ask(key, func(r *replica.Replica) (base.Ticket, error) { return r.Prepare(p, nil) })
}

// Record implements coordinator.Ranges.
func (x *reach) Record(rec *prepared.Record) (commit base.Stamp, err error) {
	err = x.ask(rec.Anchor, func(r *replica.Replica) (t base.Ticket, err error) {
		commit, t, err = r.Record(rec)
		return t, err
	})
	return commit, err
}

// Resolve implements coordinator.Ranges.
func (x *reach) Resolve(key []byte, res *prepared.Resolve) (held base.Span, err error) {
	err = x.ask(key, func(r *replica.Replica) (t base.Ticket, err error) {
		held, t, err = r.Resolve(res)
		return t, err
	})
	return held, err
}

// Settled implements coordinator.Ranges.
func (x *reach) Settled(anchor []byte, s *prepared.Settled) error {
	return x.ask(anchor, func(r *replica.Replica) (base.Ticket, error) { return base.Ticket{}, r.Settled(anchor, s) })
}

// Fate implements coordinator.Ranges.
func (x *reach) Fate(t *prepared.Txn) (status prepared.Status, commit base.Stamp, err error) {
	err = x.ask(t.Anchor, func(r *replica.Replica) (ticket base.Ticket, err error) {
		status, commit, ticket, err = r.Fate(t)
		return ticket, err
	})
	return status, commit, err
}

// Horizons implements coordinator.Ranges.
func (x *reach) Horizons(key []byte, refuse base.Stamp) (out coordinator.Horizons, err error) {
	if err = x.ask(key, func(r *replica.Replica) (base.Ticket, error) { return r.Retain(prepared.Retain{Refuse: refuse}) }); err != nil {
		return out, err
	}
	err = x.ask(key, func(r *replica.Replica) (t base.Ticket, err error) {
		out.Span, out.Refuse, out.Oldest, t, err = r.Horizons()
		return t, err
	})
	return out, err
}

// read reads a key at a stamp where its range is led.
func (x *reach) read(key []byte, at base.Stamp) (value []byte, err error) {
	err = x.ask(key, func(r *replica.Replica) (base.Ticket, error) {
		a := r.NewAttempt()
		a.Begin(at, replica.HoldNever)
		v, err := a.Get(key)
		value = slices.Clone(v)
		t := a.Abort()
		return t, errors.Wrap(err, "read")
	})
	return value, err
}

// stampQuestion is what a node asks the leader of the first range.
type stampQuestion struct {
	by     base.NodeID
	done   func(base.Stamp, error)
	issued bool
	stamp  base.Stamp
	ticket base.Ticket
}

// answerStamps lets the leader of the first range, if it can be reached, issue the
// stamps that were asked for.
func (g *group) answerStamps() {
	questions := g.stamps
	g.stamps = nil
	for _, q := range questions {
		if g.answerStamp(&q) {
			g.stamps = append(g.stamps, q)
		}
	}
}

func (g *group) answerStamp(q *stampQuestion) (again bool) {
	if !q.ticket.Done() {
		return g.rnd.IntN(50) > 0 // or the answer is lost
	}
	if q.issued {
		q.done(q.stamp, nil)
		return false
	}
	m, r := g.leader([]byte{2})
	if m == nil || g.micros < m.paused || g.cut[[2]base.NodeID{q.by, m.id}] || g.cut[[2]base.NodeID{m.id, q.by}] {
		return false
	}
	var err error
	q.stamp, q.ticket, q.issued, err = r.BeginIssue()
	return err == nil
}
