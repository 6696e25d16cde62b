package prepared

import (
	"bytes"
	"encoding/binary"
	"flag"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

var statesFlag = flag.Int("states", 21_000, "how many states TestSearch visits per configuration")

// key describes everything on which the future of the world depends, and what its
// history means: not the times themselves, but who had ended before whom began.
func (w *world) key() uint64 {
	k := stateKey(make([]byte, 0, 2048))
	k.num(uint64(w.oracle), uint64(len(w.procs)))
	for _, n := range w.budget {
		k.num(uint64(n))
	}
	for i := range w.procs {
		p := &w.procs[i]
		k.num(uint64(p.state), uint64(p.awaiting), uint64(p.s), uint64(p.commit), uint64(p.outcome), uint64(p.txn.ID[0]),
			uint64(p.term), uint64(p.firstRead), uint64(p.lookedAt), uint64(p.closureKey), uint64(p.attempts),
			uint64(p.op.outcome), uint64(p.op.reads), uint64(p.op.present), uint64(p.op.writes))
		k.flag(p.recorded, p.op.invoked, p.op.ended, p.concludes, p.anchorBusy)
		k = append(k, p.op.got[:]...)
		for j := range w.procs {
			o := &w.procs[j].op
			k.flag(p.op.ended && o.invoked && p.op.ret < o.invoke)
		}
	}
	k.requests(w.msgs, true)
	for i := range w.ranges {
		w.ranges[i].key(&k)
	}
	return xxhash.Sum64(k)
}

func (r *modelRange) key(k *stateKey) {
	k.num(uint64(r.term), uint64(r.pos), uint64(r.committed), uint64(len(r.batches)))
	for _, b := range r.batches {
		k.num(uint64(b.phase), uint64(b.stamp), uint64(len(b.entries)), uint64(b.entries[0].pos))
	}
	for _, list := range r.versions {
		k.num(uint64(len(list)))
		for _, v := range list {
			k.num(uint64(v.value), uint64(v.stamp), uint64(v.pos))
		}
	}
	*k = r.table.Append(*k)
	now := r.table.Clone()
	now.tail = nil
	*k = now.Append(*k)
	for _, c := range r.table.tail {
		k.num(uint64(c.pos), uint64(c.id[0]))
	}
	k.num(uint64(r.queue.Len()))
	for _, x := range r.queue.waiting {
		k.requests([]request{r.parked[x.id]}, false)
		for _, id := range x.txn {
			k.num(uint64(id[0]))
		}
	}
	k.num(uint64(len(r.pendings)))
	for _, p := range r.pendings {
		k.num(uint64(p.pos))
		k.requests([]request{p.req}, false)
		k.flag(p.again, p.reply.err != nil)
		*k = append(*k, p.reply.got[:]...)
	}
	k.requests(r.askers, true)
}

type stateKey []byte

func (k *stateKey) num(list ...uint64) {
	for _, n := range list {
		*k = binary.AppendUvarint(*k, n)
	}
}

func (k *stateKey) flag(list ...bool) {
	for _, b := range list {
		if b {
			*k = append(*k, 1)
		} else {
			*k = append(*k, 0)
		}
	}
}

// requests adds messages; their order may not matter.
func (k *stateKey) requests(list []request, sorted bool) {
	var all [][]byte
	for i := range list {
		q := &list[i]
		one := stateKey{}
		one.num(uint64(q.kind), uint64(q.proc), uint64(q.txn[0]), uint64(q.rng), uint64(q.reads), uint64(q.s), uint64(q.forgotten[0]))
		if q.about != nil {
			one.num(uint64(q.about.ID[0]), uint64(q.home))
		}
		for _, d := range q.known {
			one.num(uint64(d.id[0]), uint64(d.commit))
		}
		if q.entry != nil {
			one = q.entry.Append(one)
		}
		all = append(all, one)
	}
	if sorted {
		slices.SortFunc(all, bytes.Compare)
	}
	k.num(uint64(len(all)))
	for _, one := range all {
		*k = append(append(*k, byte(len(one))), one...)
	}
}

// searchAll visits the states that ops can lead to, depth first, until all or max
// were seen. It turns the order of siblings around now and then, so that a search
// that ends early has seen different parts.
func searchAll(f Faults, ops []proc, b budget, limit int) (states, ends int, complete bool, err error) {
	start := newWorld(f, false)
	start.procs, start.budget = slices.Clone(ops), b
	seen := map[uint64]bool{}
	stack := []*world{start}
	for len(stack) > 0 && len(seen) < limit {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		k := w.key()
		if seen[k] {
			continue
		}
		seen[k] = true
		quiet := *w
		quiet.budget = budget{}
		if w.alarm != "" || len(quiet.events(nil)) == 0 {
			ends++
			if err := w.verdict(); err != nil {
				return len(seen), ends, false, err
			}
		}
		list := w.events(nil)
		if len(seen)%3 == 0 {
			slices.Reverse(list)
		}
		for _, e := range list {
			next := w.clone()
			next.do(e)
			stack = append(stack, next)
		}
	}
	return len(seen), ends, len(stack) == 0, nil
}

// TestSearch looks at small configurations from all sides.
func TestSearch(t *testing.T) {
	limit := *statesFlag
	if testing.Short() {
		limit /= 20
	}
	for _, c := range []struct {
		name   string
		ops    []proc
		budget budget
	}{
		{"reader and transaction", lateReader(), budget{}},
		{"reader and transaction, one crash", lateReader(), budget{evCrash: 1}},
		{"reader and transaction, recovered alive", lateReader(), budget{evRecover: 1}},
		{"reader and transaction, another leader", lateReader(), budget{evLose: 1, evLead: 1}},
		{"reader and concluded transaction", concluded(lateReader()), budget{}},
		{"reader and concluded transaction, recovered alive", concluded(lateReader()), budget{evRecover: 1}},
		{"reader and concluded transaction, another leader", concluded(lateReader()), budget{evLose: 1, evLead: 1}},
		{"concluded behind a write", concludedBehindWrite(), budget{}},
		{"two writers that conclude", concluded(twoWriters()), budget{evCrash: 1}},
		{"two writers", twoWriters(), budget{}},
		{"two writers, a late copy, given up", twoWriters(), budget{evCopy: 1, evGiveUp: 1}},
		{"lost update", lostUpdate(), budget{evLose: 1, evLead: 1}},
		{"read locks", readLocks(), budget{}},
		{"prefetched stamp", stampPrefetched(), budget{}},
		{"stamped write in flight", stampedWriteInFlight(), budget{evLose: 1}},
		{"undecided lock", undecidedLockPassed(), budget{}},
		{"closure between", closureBetween(), budget{evLose: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			states, ends, complete, err := searchAll(Faults{}, c.ops, c.budget, limit)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states, %d ends, complete: %v", states, ends, complete)
		})
	}
}

// TestSearchSees shows that the search finds what is there.
func TestSearchSees(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults Faults
		ops    []proc
	}{
		{"lost update", Faults{UnknownIsOlder: true}, lostUpdate()},
		{"plain waiting", Faults{PlainWaiting: true}, twoWriters()},
		{"resolve by its batch's stamp", Faults{ResolveByBatchStamp: true}, lateReader()},
		{"concluded behind what has no stamp", Faults{ConcludeUnstamped: true}, concludedBehindWrite()},
	} {
		t.Run(c.name, func(t *testing.T) {
			states, _, _, err := searchAll(c.faults, c.ops, budget{}, *statesFlag)
			if err == nil {
				t.Fatalf("not seen in %d states", states)
			}
			t.Logf("seen after %d states: %.100v", states, err)
		})
	}
}
