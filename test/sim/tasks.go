package sim

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// task is a coroutine: a client, the replica's loop or the store's maintenance.
// It runs until it reaches a point where other goroutines could run, or its end.
type task struct {
	name  string
	next  func() (string, bool)
	stop  func()
	yield func(string) bool
}

// errUnwound ends a task whose machine has crashed.
var errUnwound = errors.New("the task's machine is gone")

// spawn makes a task; it does not run yet.
func (s *sim) spawn(name string, run func()) *task {
	t := &task{name: name}
	t.next, t.stop = iter.Pull(func(yield func(string) bool) {
		defer func() {
			if v := recover(); v != nil && v != any(errUnwound) {
				panic(v)
			}
		}()
		t.yield = yield
		run()
	})
	return t
}

// resume runs t to its next point and reports whether it goes on.
func (s *sim) resume(t *task) bool {
	before := s.running
	s.running = t
	at, alive := t.next()
	s.running = before
	if alive {
		s.note("%s at %s", t.name, at)
	}
	return alive
}

// rest lets others run.
func (s *sim) rest(at fmt.Stringer) {
	if s.running == nil {
		return
	}
	if !s.running.yield(at.String()) {
		panic(errUnwound)
	}
}

type pointName string

func (p pointName) String() string { return string(p) }

// think is what a client does between two calls.
func (s *sim) think() { s.rest(pointName("thinking")) }

// pause is replica.Options.Pause. Outside of tasks nobody else runs, so whoever
// waits there does the loop's work.
func (s *sim) pause(p replica.Point) {
	s.res.Points[p]++
	switch {
	case s.running != nil:
		s.rest(p)
	case p == replica.PointLocked: // and nobody else makes time pass
		s.clock.micros += limits.LockAge.Microseconds()
	case p >= replica.PointWaiting && !s.driving:
		s.fatal = errors.CombineErrors(s.fatal, s.drive())
		if p == replica.PointNoRoom && s.o.Ranges && s.keeper == nil {
			s.fatal = errors.CombineErrors(s.fatal, s.evict())
		}
	}
}

// drive does all that the loop has to do.
func (s *sim) drive() error {
	s.driving = true
	defer func() { s.driving = false }()
	for s.loops() {
		s.stepLoops()
	}
	return s.store.Step()
}

// stepLoops moves a loop on while nothing else happens but what it may wait for: a split
// waits for an eviction.
func (s *sim) stepLoops() {
	s.stepLoop()
	if s.o.Ranges && s.keeper != nil && s.keeper != s.running {
		s.stepKeeper()
	}
}

// loops reports whether a loop is at work.
func (s *sim) loops() bool { return s.loop != nil || len(s.several.loops) > 0 }

// stepLoop moves the loop to its next point.
func (s *sim) stepLoop() {
	if s.o.Ranges {
		s.stepRange()
		return
	}
	if s.loop == nil {
		s.loop = s.spawn("loop", func() { s.must(s.store.Step()) })
	}
	if !s.resume(s.loop) {
		s.loop = nil
	}
}

// stepKeeper moves the maintenance to its next point.
func (s *sim) stepKeeper() {
	if s.keeper == nil {
		s.note("maintain")
		s.keeper = s.spawn("keeper", func() {
			if s.several.evictOnly {
				s.must(s.evict())
				return
			}
			s.must(s.store.Maintain())
			s.must(s.disk.removeObsolete())
		})
	}
	if !s.resume(s.keeper) {
		s.keeper = nil
	}
}

// must takes an error that only a crash or a full disk excuses.
func (s *sim) must(err error) {
	if err != nil && s.disk.after == nil && !(s.disk.noSpace && isDiskFull(err)) {
		s.fatal = errors.CombineErrors(s.fatal, err)
	}
}

// unwind ends all tasks where they are.
func (s *sim) unwind() {
	for _, c := range s.clients {
		if c.task != nil {
			c.task.stop()
			c.task = nil
		}
	}
	for _, t := range []*task{s.loop, s.keeper} {
		if t != nil {
			t.stop()
		}
	}
	s.loop, s.keeper = nil, nil
	s.several.unwind()
}
