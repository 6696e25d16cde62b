package replica

import (
	"context"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// patienceTest is a range that holds a transaction over several ranges, which writes k.
type patienceTest struct {
	*testing.T
	r   *Replica
	txn prepared.Txn
}

func newPatienceTest(t *testing.T) *patienceTest {
	p := &patienceTest{T: t}
	p.r = alone(t, Options{Pause: func(at Point) {
		if at == PointWaiting {
			p.step()
		}
	}})
	t.Cleanup(p.r.Stop)
	p.step()
	p.r.solo.Store(false) // so that there are ticks
	begin := p.r.o.Oracle.Latest()
	p.txn = prepared.Txn{ID: prepared.TxnID{1}, Begin: begin, Priority: begin, Anchor: []byte("z"),
		Participants: []base.Span{base.KeySpan([]byte("k")), base.KeySpan([]byte("z"))}}
	if _, err := p.r.Prepare(&prepared.Prepare{Txn: p.txn,
		Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}}, nil); err != nil {
		t.Fatal(err)
	}
	p.step()
	return p
}

func (p *patienceTest) step() {
	for worked := true; worked; {
		var err error
		if worked, err = p.r.Step(context.Background()); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *patienceTest) resolve(commit base.Stamp) base.Ticket {
	_, end, err := p.r.Resolve(&prepared.Resolve{ID: p.txn.ID, Begin: p.txn.Begin, Commit: commit})
	if err != nil {
		p.Fatal(err)
	}
	p.step()
	return end
}

func (p *patienceTest) write(key string, quiet bool) base.Ticket {
	a := p.r.NewAttempt()
	a.Begin(0, HoldNever)
	rec, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte(key), Value: []byte("w")}}, Quiet: quiet})
	if err != nil {
		p.Fatal(err)
	}
	return rec.Ticket
}

func (p *patienceTest) read(key string, at base.Stamp) (string, base.Ticket) {
	a := p.r.NewAttempt()
	a.Begin(at, HoldNever)
	v, err := a.Get([]byte(key))
	if err != nil {
		p.Fatal(err)
	}
	return string(v), a.Abort()
}

// TestPatience: the resolve of a transaction that has committed frees its keys at once, and
// is logged with what comes next, with a tick, or when somebody waits for it.
func TestPatience(t *testing.T) {
	for name, then := range map[string]func(p *patienceTest, end base.Ticket){
		"a tick":         func(p *patienceTest, _ base.Ticket) { p.r.Tick() },
		"somebody waits": func(_ *patienceTest, end base.Ticket) { end.Log.Kick() },
		"a write": func(p *patienceTest, end base.Ticket) {
			if w := p.write("other", false); w.Pos != end.Pos+1 {
				p.Errorf("the write has the position %d, the resolve %d", w.Pos, end.Pos)
			}
		},
		"a read of another key": func(p *patienceTest, end base.Ticket) {
			p.read("other", 0)
			p.read("other", p.r.o.Oracle.Latest())
			if p.step(); end.Done() {
				p.Error("reads that have seen nothing of it have hurried it")
			}
			p.r.Tick()
		},
		"a read": func(p *patienceTest, end base.Ticket) {
			v, reads := p.read("k", 0)
			if v != "v" || reads.Done() || end.Done() {
				p.Errorf("read %q; known: %v, resolved: %v", v, reads.Done(), end.Done())
			}
		},
		"a snapshot": func(p *patienceTest, end base.Ticket) {
			if v, _ := p.read("k", p.r.o.Oracle.Latest()); v != "v" || !end.Done() {
				p.Errorf("the snapshot is %q; resolved: %v", v, end.Done())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatienceTest(t)
			commit, err := p.r.o.Oracle.Next()
			if err != nil {
				t.Fatal(err)
			}
			end, before := p.resolve(commit), p.r.Stats().Applied
			if end.Done() {
				t.Fatal("resolved at once")
			}
			then(p, end)
			p.step()
			if after := p.r.Stats().Applied; !end.Done() || after != before+1 {
				t.Errorf("resolved: %v, in %d batches", end.Done(), after-before)
			}
		})
	}
}

// TestNoPatience: where somebody waits, or nothing would end the patience, a resolve is
// logged at once.
func TestNoPatience(t *testing.T) {
	for name, before := range map[string]func(p *patienceTest){
		"aborted":        func(*patienceTest) {},
		"watched":        func(p *patienceTest) { p.r.Watch([]byte("k")) },
		"behind a write": func(p *patienceTest) { p.write("other", true) },
		"without ticks":  func(p *patienceTest) { p.r.solo.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatienceTest(t)
			commit, err := p.r.o.Oracle.Next()
			if err != nil {
				t.Fatal(err)
			}
			if name == "aborted" {
				commit = 0
			}
			before(p)
			if end := p.resolve(commit); !end.Done() {
				t.Error("it waits")
			}
		})
	}
}
