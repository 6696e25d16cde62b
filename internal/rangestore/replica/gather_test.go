package replica

import (
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/sequencer"
)

// testGather lets r's open batch wait as if one of n transactions, which took so long, had just
// been committed by several replicas. The clock does not end it.
func (r *Replica) testGather(n int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gatherLocked(&inFlight{closed: sequencer.Closed{Last: base.Position(n)}, proposed: time.Now().Add(-took)})
	r.mu.gathering.until = time.Now().Add(time.Hour)
}

// TestGather: behind a batch that took long the next one waits for most of those whom it kept, and
// for nobody else.
func TestGather(t *testing.T) {
	const long = time.Hour // a batch waits for gatherMost at most
	for name, c := range map[string]struct {
		kept, before, come int
		took               time.Duration
		alone, waits       bool
	}{
		"some are missing":      {kept: 24, come: 20, took: long, waits: true},
		"nearly all have come":  {kept: 24, come: 21, took: long},
		"half were there":       {kept: 24, before: 24, come: 17, took: long, waits: true},
		"nearly all were there": {kept: 3, before: 24, took: long},
		"it was a short batch":  {kept: 24, come: 1, took: gatherFrom / 2},
		"there were few":        {kept: gatherMin - 1, come: 1, took: long},
		"one client on its own": {kept: 1, come: 1, took: long},
		"nobody else votes":     {kept: 24, come: 1, took: long, alone: true},
	} {
		t.Run(name, func(t *testing.T) {
			list, _ := neighbours(t, 1)
			r := list[0]
			r.solo.Store(c.alone)
			var last base.Ticket
			for range c.before {
				last = r.testWrite(t)
			}
			r.testGather(c.kept, c.took)
			for range c.come {
				last = r.testWrite(t)
			}
			if r.Kick(); last.Done() == c.waits {
				t.Errorf("committed %v", !c.waits)
			}
		})
	}
}

// TestGatherEnds: the loop is woken when the time is over, and closes the batch; where nobody came,
// nobody is waited for the next time.
func TestGatherEnds(t *testing.T) {
	list, _ := neighbours(t, 1)
	r := list[0]
	r.solo.Store(false)
	r.testGather(24, time.Hour)
	ticket := r.testWrite(t)
	select {
	case <-r.wake:
	case <-time.After(time.Minute):
		t.Fatal("nobody woke the loop")
	}
	r.mu.gathering.until = time.Now()
	if r.Kick(); !ticket.Done() {
		t.Fatal("the batch waits for longer than it should")
	}
	r.testGather(24, time.Hour)
	if ticket = r.testWrite(t); r.mu.gathering.want > 0 {
		t.Error("it waits although that was in vain")
	}
	r.Kick()
	r.testGather(24, time.Hour)
	if r.mu.gathering.want == 0 {
		t.Error("it does not wait again")
	}
}

// TestGatherHurry: who waits for the commit on purpose does not wait for others first, and whose
// write makes the batch complete wakes the loop.
func TestGatherHurry(t *testing.T) {
	list, _ := neighbours(t, 1)
	r := list[0]
	r.solo.Store(false)
	r.testGather(24, time.Hour)
	ticket := r.testWrite(t)
	if Commit(list); !ticket.Done() {
		t.Error("who waits for the commit waits for others")
	}
	r.testGather(8, time.Hour)
	for range 6 {
		ticket = r.testWrite(t)
	}
	if r.Kick(); ticket.Done() {
		t.Error("it does not wait")
	}
	woken(r)
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	if _, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	if !woken(r) {
		t.Error("nobody woke the loop for the last one")
	}
}

// TestGatherPrepare: a part of a transaction over several ranges waits for nobody.
func TestGatherPrepare(t *testing.T) {
	p := newPatienceTest(t)
	p.r.mu.gathering = gathering{want: 24, until: time.Now().Add(time.Hour), timer: time.NewTimer(time.Hour)}
	write := p.write("other", true)
	if p.step(); write.Done() {
		t.Fatal("a write by itself does not wait")
	}
	end := p.resolve(0)
	if p.step(); !write.Done() || !end.Done() {
		t.Error("the entry waits")
	}
}
