package replica

import "time"

// Clients that wait for a commit before they go on come back all at once when it is there. A
// batch that is closed for the first of them leaves the others to the next one, which
// leaves those to the one after it: each batch has half of the clients. With several replicas
// a batch costs more than those who come at the same time do, messages and goroutines on all nodes. So
// the open batch waits for those whom the last one has kept, for at most as long as that one took.

const (
	// gatherFrom is how long a batch must take to be worth waiting for company, gatherMost for
	// how long another one waits at most.
	gatherFrom = 100 * time.Microsecond
	gatherMost = 2 * time.Millisecond
	// gatherMin is how many transactions must be expected: fewer come and go by chance.
	gatherMin = 8
	// gatherRest bounds for how many batches nobody waits after waiting was in vain.
	gatherRest = 64
)

// gathering is what the open batch waits for.
type gathering struct {
	want  int // transactions; zero: it does not wait
	few   int // so many or fewer: it has waited in vain
	until time.Time
	timer *time.Timer // wakes the loop then
	vain  int         // for how many batches nobody waits after the next time in vain
	rest  int         // for how many nobody waits now
}

// gatherLocked makes the open batch wait for those who are told of the commit of f, if they are
// likely to come back.
func (r *Replica) gatherLocked(f *inFlight) {
	g, now := &r.mu.gathering, time.Now()
	took, open := now.Sub(f.proposed), r.mu.seq.OpenTransactions()
	all := open + int(f.closed.Last-f.closed.Prev)
	want := all - all/8
	g.want = 0
	if took < gatherFrom || all < gatherMin || open >= want || r.solo.Load() || r.o.Manual || r.o.Pause != nil {
		return
	}
	if g.rest > 0 {
		g.rest--
		return
	}
	wait := min(took, gatherMost)
	g.want, g.few, g.until = want, (open+want)/2, now.Add(wait)
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, r.signal)
	} else {
		g.timer.Reset(wait)
	}
}

// gathersLocked reports whether the open batch still waits. Whoever finds that it does not any more
// closes it.
func (r *Replica) gathersLocked() bool {
	g := &r.mu.gathering
	if g.want == 0 {
		return false
	}
	open := r.mu.seq.OpenTransactions()
	if open < g.want && !r.crowdedLocked() && time.Now().Before(g.until) {
		return true
	}
	g.timer.Stop()
	if g.want, g.vain = 0, min(2*g.vain+1, gatherRest); open > g.few {
		g.vain = 0
	}
	g.rest = g.vain
	return false
}

// gatheredLocked reports whether the open batch has waited until now.
func (r *Replica) gatheredLocked() bool { return r.mu.gathering.want > 0 && !r.gathersLocked() }
