package sim

import (
	"maps"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/test/history"
)

// coordinate gives a node that has started what transactions over several ranges need.
func (g *group) coordinate(m *member, st *store.Store) {
	if !g.o.Spread {
		return
	}
	faults := g.o.Coordinator
	faults.Crash = func(step coordinator.Step) bool {
		if step == coordinator.StepPrepared {
			g.res.Spread++
		}
		for n := g.dawdle(step); n > 0; n-- {
			g.rest()
		}
		if g.ending || g.rnd.IntN(40) > 0 {
			return false
		}
		g.res.Orphans++
		g.note("a coordinator of node %d ends at step %d", m.id, step)
		return true
	}
	m.reach = &reach{g: g, of: m, st: st}
	o := coordinator.Options{Ranges: m.reach, Inline: true, Clock: m.clock, Faults: faults,
		Behind: func(f func()) { g.spawn(m, f) },
		Random: func(id []byte) {
			for i := range id {
				id[i] = byte(g.rnd.Uint32())
			}
		}}
	m.engine, m.coordinator = kvrange.NewWith(st, o), coordinator.New(o)
	st.Coordinate(m.coordinator)
}

// dawdle is how long a coordinator rests at a step: now and then so long, when all is prepared
// and nothing decided, that others write and read what it has locked, or try to.
func (g *group) dawdle(step coordinator.Step) int {
	if step == coordinator.StepPrepared && !g.ending && g.rnd.IntN(3) == 0 {
		return 1 + g.rnd.IntN(60)
	}
	return 1
}

// divide makes three ranges before anything goes wrong, and moves their leaders.
func (g *group) divide() error {
	for _, key := range []string{listKey(1), listKey(3)} {
		for n := 0; ; n++ {
			if n == 9000 {
				return errors.Newf("no split at %q", key)
			}
			g.micros += g.rnd.Int64N(3000)
			clear(g.cut) // who hands over its leadership may be isolated
			if err := g.quiet(); err != nil {
				return err
			}
			g.poll()
			m, r := g.leader([]byte(key))
			if m == nil {
				continue
			}
			d := r.Descriptor()
			if string(d.Span.Start) == key {
				_ = r.TransferLeader(d.Replicas[g.rnd.IntN(len(d.Replicas))].Replica) // refused for itself
				break
			}
			if _, err := r.BeginSplit([]byte(key), g.ranges+1); err == nil {
				g.ranges++
			}
		}
	}
	return nil
}

// engineOf is the engine of a node.
func (g *group) engineOf(m *member) *kvrange.Engine {
	if m.engine != nil {
		return m.engine
	}
	return kvrange.New(m.store)
}

// spreadEvent begins something on a node, unless enough is going on.
func (g *group) spreadEvent(m *member) {
	if g.micros < m.paused || m.disk.after != nil || len(g.tasks) >= groupTasksMax {
		return
	}
	switch n := g.rnd.IntN(40); {
	case n == 0:
		g.spawn(m, func() { g.must(m, m.store.Retain()) })
	case n < 3:
		g.spawn(m, func() { g.sweep(m) })
	case n < 20:
		g.spawn(m, func() { g.everywhere(m) })
	case n < 26:
		g.spawn(m, func() { g.transfer(m) })
	case n < 31:
		g.spawn(m, func() { g.audit(m) })
	default:
		if l, _ := g.leader([]byte(listKey(g.rnd.IntN(lists)))); l != nil && g.rnd.IntN(8) > 0 {
			m = l
		}
		g.spawn(m, func() { g.closure(m) })
	}
}

func (g *group) sweep(m *member) {
	for _, r := range m.store.Replicas() {
		if len(r.Overdue(^base.Stamp(0))) > 0 {
			g.res.Settled++
			g.must(m, m.store.Sweep())
			return
		}
	}
}

func (g *group) newOp() *history.Op {
	op := &history.Op{ID: len(g.ops) + 1, Invoke: g.now, Outcome: history.Unknown,
		Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	g.ops = append(g.ops, op)
	return op
}

// draw picks keys, and ids to append to some of them.
func (g *group) draw(op *history.Op) (keys []string) {
	from := g.hot
	if g.rnd.IntN(4) == 0 {
		from = g.rnd.Perm(lists)
	}
	for _, i := range g.rnd.Perm(len(from))[:min(1+g.rnd.IntN(3), len(from))] {
		keys = append(keys, listKey(from[i]))
	}
	writes := g.rnd.IntN(len(keys) + 1)
	if g.micros < g.hush || g.lull != nil {
		writes = 0
	}
	for _, k := range keys[:writes] {
		g.nextID++
		op.Appends[k] = g.nextID
	}
	return keys
}

// ended files what a client was told.
func (g *group) ended(m *member, op *history.Op, err error) {
	switch {
	case err == nil:
		g.res.Acknowledged++
		op.Outcome, op.Return = history.OK, g.now
	case base.Retryable(err) || len(op.Appends) == 0:
		op.Outcome = history.Failed
	}
	g.note("T%d at node %d: reads %v, appends %v: %v", op.ID, m.id, op.Reads, op.Appends, err)
}

// everywhere runs a transaction that reads at a stamp, on leaders wherever they are, and
// commits over all ranges that it has to do with.
func (g *group) everywhere(m *member) {
	op := g.newOp()
	keys := g.draw(op)
	blind := g.rnd.IntN(6) == 0
	var q coordinator.Request
	var err error
	for try := range 3 {
		if q.At, err = m.reach.Stamp(); err != nil {
			op.Outcome = history.Failed
			break
		}
		if q.ReadKeys, q.Mutations, err = g.readAt(m, op, keys, q.At, blind); err == nil && len(q.Mutations) > 0 {
			var res coordinator.Result
			res, err = m.coordinator.Commit(&q)
			q.Priority = res.Priority
		} else if err != nil {
			op.Outcome = history.Failed
		}
		if !base.Retryable(err) || try == 2 {
			break
		}
		op.Outcome = history.Unknown
	}
	if op.Outcome != history.Failed {
		g.ended(m, op, err)
	}
}

// readAt reads keys at a stamp and appends to some of them.
func (g *group) readAt(m *member, op *history.Op, keys []string, at base.Stamp, blind bool) (reads [][]byte, muts []base.Mutation, err error) {
	clear(op.Reads)
	for _, k := range keys {
		id := op.Appends[k]
		if blind && id != 0 {
			muts = append(muts, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(k), Value: encode(nil, id)})
			continue
		}
		v, err := m.reach.read([]byte(k), at)
		if err != nil {
			return nil, nil, err
		}
		op.Reads[k], reads = decode(v), append(reads, []byte(k))
		if id != 0 {
			muts = append(muts, base.Mutation{Op: base.OpSet, Key: []byte(k), Value: encode(op.Reads[k], id)})
		}
	}
	return reads, muts, nil
}

// closure runs what a connection runs: on the newest state of one range, and again at a
// stamp when that is not enough. It reads on its own node only, and appends anywhere.
func (g *group) closure(m *member) {
	op := g.newOp()
	keys := g.draw(op)
	blind := g.rnd.IntN(4) == 0
	if blind {
		keys = keys[:1]
		maps.DeleteFunc(op.Appends, func(k string, _ uint32) bool { return k != keys[0] })
	}
	att := g.engineOf(m).NewAttempt()
	defer att.Abort()
	var err error
	for try := range 4 {
		att.Begin(kv.AttemptOptions{Hold: kv.HoldNever, Again: try > 0})
		var req kv.CommitRequest
		if err = g.readHere(m, att, op, keys, blind, &req); err == nil {
			var r kv.Receipt
			r, err = att.Commit(&req)
			if err == nil {
				err = m.reach.await(m, r.Ticket)
			}
		} else if !base.Retryable(err) {
			op.Outcome = history.Failed
			return
		}
		if !base.Retryable(err) {
			break
		}
		g.rest()
	}
	g.ended(m, op, err)
}

// readHere reads what the node leads; to the rest it appends blindly.
func (g *group) readHere(m *member, att kv.Attempt, op *history.Op, keys []string, blind bool, req *kv.CommitRequest) error {
	clear(op.Reads)
	for _, k := range keys {
		id := op.Appends[k]
		if r := m.store.Range([]byte(k)); blind || r == nil || !r.Serving() {
			if id != 0 {
				req.Mutations = append(req.Mutations, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(k), Value: encode(nil, id)})
			}
			continue
		}
		v, err := att.Get([]byte(k))
		if err != nil {
			return err
		}
		op.Reads[k], req.ReadKeys = decode(v), append(req.ReadKeys, []byte(k))
		if id != 0 {
			req.Mutations = append(req.Mutations, base.Mutation{Op: base.OpSet, Key: []byte(k), Value: encode(op.Reads[k], id)})
		}
	}
	return nil
}

// unsettled reports whether anybody is still at work, holds a lock, or has a record that
// is not settled.
func (g *group) unsettled() bool {
	if len(g.tasks) > 0 {
		return true
	}
	for _, m := range g.members {
		for _, r := range m.store.Replicas() {
			if len(r.Overdue(^base.Stamp(0))) > 0 {
				return true
			}
		}
	}
	return false
}

// settle brings what is going on to an end. When the clients are gone, time passes until
// what they have left is overdue.
func (g *group) settle(n int) {
	if !g.o.Spread {
		return
	}
	g.resumeSome(20)
	if len(g.tasks) > 0 {
		return
	}
	if !g.aged {
		g.aged = true
		g.micros += 10 * limits.TransactionMaxAge.Microseconds()
		return
	}
	if m := g.members[n%len(g.members)]; n%10 < len(g.members) && g.unsettled() {
		g.spawn(m, func() { g.sweep(m) })
	}
}

// must takes an error that a transaction may be told, and objects to others.
func (g *group) must(m *member, err error) {
	if err != nil && m.disk.after == nil &&
		!errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome, base.ErrConflict, base.ErrWrongRange) {
		m.fatal = errors.CombineErrors(m.fatal, err)
	}
}
