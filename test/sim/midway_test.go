package sim

import (
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

// TestStoppedMidway: a follower stops at an I/O in the middle of a split or a merge, at each
// of them in turn, while its leader goes on, sometimes so far that only a snapshot brings the
// follower up to date. Then it catches up, or becomes the leader, or its machine ends there.
func TestStoppedMidway(t *testing.T) {
	for _, change := range []string{"split", "merge"} {
		for _, ending := range []string{"catches up", "leads", "is killed", "loses its power"} {
			for _, compact := range []bool{false, true} {
				places := 0
				for stopped := true; stopped; places++ {
					x := midway{at: places, compact: compact}
					var err error
					if stopped, err = x.run(change, ending); err != nil {
						t.Fatalf("%s, compacted %v; stopped at I/O %d it %s: %+v", change, compact, places, ending, err)
					}
				}
				if places--; places < 3 {
					t.Errorf("a %s has %d I/Os", change, places)
				}
				t.Logf("%s, compacted %v: stopped at each of %d I/Os it %s", change, compact, places, ending)
			}
		}
	}
}

// midway is a follower c whose steps are a coroutine. a leads, b follows, too.
type midway struct {
	g       *group
	a, b, c *member
	compact bool
	at      int // which I/O of the change it stops at
	seen    int
	next    func() (struct{}, bool)
	yield   func(struct{}) bool
	err     error // of its step
}

func (x *midway) run(change, ending string) (stopped bool, err error) {
	x.g = newGroup(GroupOptions{Seed: uint64(x.at + 1)})
	defer x.g.abandon()
	defer x.g.seed()()
	if err := x.g.begin(); err != nil {
		return false, err
	}
	if err := x.prepare(change); err != nil {
		return false, err
	}
	x.c.disk.before = x.stop
	x.g.deaf = x.c.id // only here it makes steps
	if stopped, err = x.begin(change); !stopped || err != nil {
		return stopped, err
	}
	x.c.disk.before = nil
	if err := x.unread(); err != nil {
		return true, err
	}
	if err := x.goOn(change); err != nil {
		return true, err
	}
	if lose := map[string]int{"is killed": 0, "loses its power": 100}; strings.HasPrefix(ending, "is ") || strings.HasPrefix(ending, "loses ") {
		x.c.disk.crash(lose[ending])
	}
	if _, err := x.step(); err != nil {
		return true, err
	}
	if x.c.disk.after != nil {
		if err := x.g.restart(x.c); err != nil {
			return true, err
		}
	}
	x.g.deaf, x.g.hears = 0, nil
	if ending == "leads" {
		if err := x.lead(); err != nil {
			return true, err
		}
	}
	return true, x.g.finish()
}

// prepare writes, and before a merge divides the range and brings both leaders together.
func (x *midway) prepare(change string) error {
	g := x.g
	var r *replica.Replica
	x.a, r = g.leader(nil)
	d := r.Descriptor()
	x.b = g.other(&d, x.a)
	for _, m := range g.members {
		if _, found := d.On(m.id); found && m != x.a && m != x.b {
			x.c = m
		}
	}
	if err := x.clients(20, x.a); err != nil || change == "split" {
		return err
	}
	if _, err := r.BeginSplit([]byte(listKey(2)), 2); err != nil {
		return err
	}
	if err := g.until("both sides are led together", 0, func() bool {
		if m, right := g.leader([]byte(listKey(4))); m != nil && m != x.a {
			d := right.Descriptor()
			if to, found := d.On(x.a.id); found && d.ID == 2 {
				_ = right.TransferLeader(to.Replica)
			}
		}
		right := x.a.store.Replica(2)
		return right != nil && right.Serving() && r.Serving() && x.b.store.Replica(2) != nil && x.c.store.Replica(2) != nil
	}); err != nil {
		return err
	}
	return x.clients(20, x.a)
}

// begin begins the change and answers whether the follower has stopped in it.
func (x *midway) begin(change string) (stopped bool, err error) {
	if change == "split" {
		_, err = x.a.store.Replica(1).BeginSplit([]byte(listKey(2)), 2)
	} else {
		_, err = x.a.store.BeginMerge(1, 2)
	}
	done := func() bool {
		return len(x.c.store.Replicas()) == map[string]int{"split": 2, "merge": 1}[change]
	}
	for n := 0; err == nil && !done(); n++ {
		if n == 5000 {
			return false, errors.Newf("the follower has made no %s", change)
		}
		if n%10 == 0 {
			x.a.store.Heal()
		}
		x.g.micros += 1000
		if err = x.g.pass(true); err == nil {
			if stopped, err = x.step(); stopped {
				return true, err
			}
		}
	}
	return false, err
}

// unread makes sure that nobody reads at the follower what is neither the old nor the new.
func (x *midway) unread() error {
	for _, r := range x.c.store.Replicas() {
		span := r.Descriptor().Span
		for n := range lists {
			key := []byte(listKey(n))
			if !span.Contains(key) {
				continue
			}
			if v, err := r.ReadStale(r.Covered()).Get(key); !errors.Is(err, replica.ErrElsewhere) && !errors.Is(err, replica.ErrUncovered) {
				d := r.Descriptor()
				return errors.Newf("range %d in the middle of a change: %q is %v, %v", d.ID, key, decode(v), err)
			}
		}
	}
	return nil
}

// goOn lets the others work, without the one that has stopped.
func (x *midway) goOn(change string) error {
	g := x.g
	g.hears = func(p *packet) bool { return p.to != x.c.id }
	keys := []string{listKey(0), listKey(4)}
	if err := g.until("the others have made the change", 0, func() bool {
		x.a.store.Heal()
		for _, key := range keys {
			if m, _ := g.leader([]byte(key)); m == nil {
				return false
			}
		}
		return len(x.a.store.Replicas()) == map[string]int{"split": 2, "merge": 1}[change]
	}); err != nil {
		return err
	}
	if err := x.clients(30, x.a, x.b); err != nil || !x.compact {
		return err
	}
	until := g.micros + 2_500_000 // all of it leaves the windows
	if err := g.until("time has passed", 0, func() bool { return g.micros > until }); err != nil {
		return err
	}
	for range 3 {
		if err := errors.CombineErrors(x.a.store.Maintain(), x.b.store.Maintain()); err != nil {
			return err
		}
	}
	return x.clients(5, x.a, x.b)
}

// lead makes the follower lead everything, while the old leader is away.
func (x *midway) lead() error {
	g := x.g
	g.deaf, g.hears = x.a.id, func(p *packet) bool { return p.to != x.a.id && p.from != x.a.id }
	n := 0
	if err := g.until("it leads all ranges", 0, func() bool {
		n++
		led := 0
		for _, r := range x.b.store.Replicas() {
			d := r.Descriptor()
			if to, found := d.On(x.c.id); found && r.Serving() && n%50 == 0 {
				_ = r.TransferLeader(to.Replica)
			}
			if own := x.c.store.Replica(d.ID); own != nil && own.Serving() {
				led++
			}
		}
		return led == len(x.b.store.Replicas())
	}); err != nil {
		return err
	}
	if err := x.clients(20, x.c); err != nil {
		return err
	}
	g.deaf, g.hears = 0, nil
	return nil
}

// clients reads and appends on nodes.
func (x *midway) clients(times int, on ...*member) error {
	for n := range times {
		x.g.now++
		x.g.client(on[n%len(on)])
		x.g.micros += 1000
		if err := x.g.pass(true); err != nil {
			return err
		}
	}
	return nil
}

// step goes on with the follower's work until it has done it, or stops in the middle.
func (x *midway) step() (stopped bool, err error) {
	if x.next == nil {
		x.next, _ = iter.Pull(func(yield func(struct{}) bool) {
			x.yield = yield
			x.err = x.c.store.Step()
		})
	}
	if _, stopped = x.next(); stopped {
		return true, nil
	}
	x.next = nil
	if err := x.c.excuse(x.err); err != nil {
		return false, fmt.Errorf("the follower: %w", err)
	}
	return false, nil
}

// stop is called before every I/O of the follower.
func (x *midway) stop() {
	var calls [64]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(1, calls[:])])
	for f, more := frames.Next(); more; f, more = frames.Next() {
		if strings.HasSuffix(f.Function, ".applyRangeChange") {
			if x.seen++; x.seen == x.at+1 {
				x.yield(struct{}{})
			}
			return
		}
	}
}
