package kvrange

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// A stale read takes a stamp S that this node has asked the oracle for, and reads at S from
// its own replicas, whoever leads. How old S may be is measured on this node's clock,
// from before it was asked for: whatever was committed by then, anywhere, lies below it.
//
// Many reads share a stamp. When the newest one is half as old as allowed, or near the age of windows, the next is
// asked for in the background, and the leaders of the ranges in use are asked where in
// their logs it lies (replica.Complete); it is used when the replicas here have come as
// far. So reads wait for nobody as long as leaders answer now and then, and go on for as
// long as they may when none does.

// round is a stamp, and the time before it was asked for.
type round struct {
	at    base.Stamp
	asked time.Duration
}

// question is asked once for all who wait for its answer.
type question struct {
	at   base.Stamp
	done chan struct{}
	err  error
}

const (
	// roundsMax is how many stamps are remembered.
	roundsMax = 8
	// roundAge is when the next stamp is prepared at the latest: older ones leave windows.
	roundAge = limits.WindowAge / 4
	// coverTime bounds the wait for a leader's word, and for this node's replica to come
	// as far.
	coverTime = 300 * time.Millisecond
	// usedMax is for how many ranges the next stamp is prepared.
	usedMax = 256
	// coversMax is how many leaders are asked at a time.
	coversMax = 16
	// staleTries is how often a read begins anew.
	staleTries = 20
)

// stale is what a node knows for stale reads.
type stale struct {
	clock      clock.Clock
	tries      int          // staleTries
	here, away atomic.Int64 // reads that this node's replicas, or leaders, have answered
	mu         struct {
		sync.Mutex
		rounds []round // their stamps grow, and so do their times
		asking *question
		ahead  bool                       // the next round is being prepared
		used   map[base.RangeID][]byte    // and a key of each
		covers map[base.RangeID]*question // under way
	}
}

// StaleReads implements kv.StaleEngine: how many this node's replicas have answered
// without their leaders, and how many were left to leaders.
func (e *Engine) StaleReads() (here, away int64) { return e.stale.here.Load(), e.stale.away.Load() }

// Distant implements kv.StaleEngine.
func (e *Engine) Distant() bool { return e.client != nil && !e.Local() }

// Whereabouts implements kv.StaleEngine.
func (e *Engine) Whereabouts(key []byte) (base.RangeID, bool) {
	if e.client == nil {
		return 0, false
	}
	if r := e.serving(key); r != nil {
		id, _ := r.ID()
		return id, false
	}
	route, _ := e.client.Known(key)
	return route.Range, true
}

// publish takes a round, unless a better one is known.
func (s *stale) publish(r round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.mu.rounds
	for n := len(list); n > 0 && list[n-1].at >= r.at && list[n-1].asked <= r.asked; n-- {
		list = list[:n-1]
	}
	if n := len(list); n == 0 || r.at > list[n-1].at && r.asked >= list[n-1].asked {
		list = append(list, r)
	}
	if len(list) > roundsMax {
		list = append(list[:0], list[1:]...)
	}
	s.mu.rounds = list
}

// newest is the newest round that was not asked for before floor and whose stamp is not
// above most.
func (s *stale) newest(floor time.Duration, most base.Stamp) (round, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.mu.rounds) - 1; n >= 0; n-- {
		if r := s.mu.rounds[n]; r.at <= most {
			return r, r.asked >= floor
		}
	}
	return round{}, false
}

// round is the newest one; if all are older than floor, the oracle is asked.
func (e *Engine) round(ctx context.Context, floor time.Duration, prompt bool) (round, error) {
	for {
		if r, ok := e.stale.newest(floor, ^base.Stamp(0)); ok {
			return r, nil
		}
		if prompt {
			return round{}, base.ErrWouldWait
		}
		e.stale.mu.Lock()
		q := e.stale.mu.asking
		if q == nil {
			q = &question{done: make(chan struct{})}
			e.stale.mu.asking = q
			go e.ask(q)
		}
		e.stale.mu.Unlock()
		select {
		case <-q.done:
		case <-ctx.Done():
			return round{}, ctx.Err()
		}
		if q.err != nil {
			return round{}, q.err
		}
	}
}

func (e *Engine) ask(q *question) {
	r := round{asked: e.stale.clock.Elapsed()}
	if r.at, q.err = e.ranges.Stamp(); q.err == nil {
		e.stale.publish(r)
	}
	e.stale.mu.Lock()
	e.stale.mu.asking = nil
	e.stale.mu.Unlock()
	close(q.done)
}

// prepare makes the next round in the background.
func (e *Engine) prepare() {
	e.stale.mu.Lock()
	defer e.stale.mu.Unlock()
	if e.stale.mu.ahead {
		return
	}
	e.stale.mu.ahead = true
	used := e.stale.mu.used
	e.stale.mu.used = nil
	go func() {
		r := round{asked: e.stale.clock.Elapsed()}
		var err error
		if r.at, err = e.ranges.Stamp(); err == nil {
			e.coverAll(used, r.at)
			e.stale.publish(r)
		}
		e.stale.mu.Lock()
		e.stale.mu.ahead = false
		e.stale.mu.Unlock()
	}()
}

// coverAll makes this node's replicas of ranges cover a stamp, as far as they can.
func (e *Engine) coverAll(used map[base.RangeID][]byte, at base.Stamp) {
	ctx, cancel := context.WithTimeout(context.Background(), coverTime)
	defer cancel()
	var wait sync.WaitGroup
	turns := make(chan struct{}, coversMax)
	for _, key := range used {
		r := e.store.Range(key)
		if r == nil {
			continue
		}
		turns <- struct{}{}
		wait.Go(func() {
			e.cover(ctx, r, key, at)
			<-turns
		})
	}
	wait.Wait()
}

// cover makes the replica that holds key cover a stamp, if its leader answers and it comes
// as far before ctx ends.
func (e *Engine) cover(ctx context.Context, r *replica.Replica, key []byte, at base.Stamp) {
	id, _ := r.ID()
	for r.Covered() < at && ctx.Err() == nil {
		e.stale.mu.Lock()
		q := e.stale.mu.covers[id]
		mine := q == nil
		if mine {
			q = &question{at: at, done: make(chan struct{})}
			if e.stale.mu.covers == nil {
				e.stale.mu.covers = map[base.RangeID]*question{}
			}
			e.stale.mu.covers[id] = q
		}
		e.stale.mu.Unlock()
		if !mine {
			select {
			case <-q.done:
			case <-ctx.Done():
			}
			if q.at >= at {
				return
			}
			continue
		}
		if index, err := e.complete(ctx, r, key, at); err == nil {
			r.Cover(ctx, at, index)
		}
		e.stale.mu.Lock()
		delete(e.stale.mu.covers, id)
		e.stale.mu.Unlock()
		close(q.done)
		return
	}
}

// complete asks the leader, which may be here.
func (e *Engine) complete(ctx context.Context, r *replica.Replica, key []byte, at base.Stamp) (base.LogIndex, error) {
	if r.Serving() {
		return r.Complete(at)
	}
	id, _ := r.ID()
	return e.client.Complete(ctx, id, at, key)
}

// use notes a range for which the next round is prepared.
func (s *stale) use(r *replica.Replica, key []byte) {
	id, _ := r.ID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.mu.used[id]; known || len(s.mu.used) >= usedMax {
		return
	}
	if s.mu.used == nil {
		s.mu.used = map[base.RangeID][]byte{}
	}
	s.mu.used[id] = bytes.Clone(key)
}

var _ kv.StaleEngine = (*Engine)(nil)

// errOlder makes a read begin anew at an older stamp, for which nobody has to be asked.
var errOlder = errors.New("an older stamp will do")

// ReadStale implements kv.StaleEngine.
func (e *Engine) ReadStale(ctx context.Context, o kv.StaleOptions, read func(kv.View) error) (base.Stamp, error) {
	floor := e.stale.clock.Elapsed() - o.Staleness
	v := staleView{ctx: ctx, e: e, prompt: o.Prompt}
	older := base.Stamp(0)
	for try := 1; ; try++ {
		at, err := e.staleStamp(ctx, floor, o)
		if err != nil {
			return 0, err
		}
		if older != 0 {
			at, older = older, 0
		}
		v.last = try >= e.stale.tries
		err = v.run(at, floor, read)
		switch {
		case err == nil:
			return at, nil
		case ctx.Err() != nil && errors.Is(err, errOlder):
			return 0, ctx.Err()
		case ctx.Err() != nil:
			return 0, err
		case v.last && errors.Is(err, base.ErrWrongRange):
			return 0, errors.Wrap(base.ErrConflict, "the range has changed")
		case v.last:
			return 0, err
		case errors.Is(err, errOlder):
			older = v.older
			continue
		case errors.Is(err, base.ErrTooOld): // what was not asked for yet is newer than any window's base
			floor = e.stale.clock.Elapsed()
		case !errors.IsAny(err, base.ErrConflict, base.ErrWrongRange):
			return 0, err
		}
		if o.Prompt {
			return 0, base.ErrWouldWait
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Duration(try) * time.Millisecond):
		}
	}
}

// staleStamp is the stamp of a read that begins.
func (e *Engine) staleStamp(ctx context.Context, floor time.Duration, o kv.StaleOptions) (base.Stamp, error) {
	if e.client == nil {
		return e.ReadVersion(ctx)
	}
	r, err := e.round(ctx, floor, o.Prompt)
	if err == nil && e.stale.clock.Elapsed()-r.asked > min(o.Staleness/2, roundAge) {
		e.prepare()
	}
	return r.at, err
}

// staleView implements kv.View at one stamp after another: by this node's replicas where
// they can answer, else by leaders.
type staleView struct {
	ctx    context.Context
	e      *Engine
	prompt bool
	at     base.Stamp
	floor  time.Duration
	older  base.Stamp
	last   bool                      // there is no other try, at an older stamp or a newer
	rest   several                   // what leaders are asked for
	avoid  map[*replica.Replica]bool // replicas that have failed in the middle of a scan
}

var _ kv.View = (*staleView)(nil)

// run runs read at a stamp.
func (v *staleView) run(at base.Stamp, floor time.Duration, read func(kv.View) error) error {
	v.at, v.floor = at, floor
	v.rest.e = v.e
	v.rest.begin(kv.AttemptOptions{At: at, Prompt: v.prompt})
	err := read(v)
	t := v.rest.abort().Ticket
	if v.prompt && !t.Done() {
		return base.ErrWouldWait
	}
	if lost := t.Wait(); lost != nil && !base.Retryable(err) { // an error may depend on it, too
		err = v.e.moved(lost)
	}
	if errors.Is(err, base.ErrUnknownOutcome) { // of what a leader that is gone had in flight
		err = errors.Wrap(base.ErrConflict, "a leader is gone")
	}
	return err
}

// near is this node's replica that holds key, if it may be read.
func (v *staleView) near(key []byte) *replica.Replica {
	if v.e.client == nil {
		return nil
	}
	if r := v.e.store.Range(key); r != nil && !v.avoid[r] {
		return r
	}
	return nil
}

// try lets a replica answer. What it cannot is left to the leader, unless its leader
// does not say what it lacks, and an older stamp will do.
func (v *staleView) try(r *replica.Replica, key []byte, read func(*replica.StaleReader) error) error {
	v.e.stale.use(r, key)
	reader := r.ReadStale(v.at)
	err := read(reader)
	if !errors.Is(err, replica.ErrUncovered) || r.Serving() {
		return err
	}
	if !v.prompt {
		ctx, cancel := context.WithTimeout(v.ctx, coverTime)
		defer cancel()
		v.e.cover(ctx, r, key, v.at)
	}
	covered := r.Covered()
	if covered < v.at {
		if old, ok := v.e.stale.newest(v.floor, covered); ok && !v.last {
			v.older = old.at
			return errOlder
		}
		if v.prompt {
			return base.ErrWouldWait
		}
	}
	return read(reader)
}

// Stamp implements kv.View.
func (v *staleView) Stamp() base.Stamp { return v.at }

// Get implements kv.View.
func (v *staleView) Get(key []byte) (value []byte, err error) {
	if r := v.near(key); r != nil {
		if err = v.try(r, key, func(s *replica.StaleReader) error {
			value, err = s.Get(key)
			return err
		}); !errors.Is(err, replica.ErrElsewhere) {
			v.e.stale.here.Add(1)
			return value, err
		}
	}
	v.e.stale.away.Add(1)
	return v.rest.get(key)
}

// Scan implements kv.View.
func (v *staleView) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return pieces(span, reverse, visit, func(span base.Span, visit visitor) (base.Span, error) {
		r, piece := v.piece(span, reverse)
		if r == nil { // as far as a leader's range goes, if it is not known
			var err error
			if piece, err = v.rest.next(span, reverse); err != nil {
				return piece, err
			}
		}
		return piece, v.scanPiece(r, piece, reverse, visit)
	})
}

// piece is the beginning of span, in reverse the end, as far as a replica of this node
// goes; nil if none does.
func (v *staleView) piece(span base.Span, reverse bool) (*replica.Replica, base.Span) {
	if !reverse {
		if r := v.near(span.Start); r != nil {
			if d := r.Descriptor().Span; holdsEdge(d, span, false) {
				return r, span.Clip(d)
			}
		}
		return nil, span
	}
	if v.e.client == nil {
		return nil, span
	}
	for _, r := range v.e.store.Replicas() {
		d := r.Descriptor().Span
		if !v.avoid[r] && holdsEdge(d, span, true) {
			return r, span.Clip(d)
		}
	}
	return nil, span
}

// scanPiece visits what lies in one range. A replica that fails behind a pair that was
// visited makes the read begin anew, without it.
func (v *staleView) scanPiece(r *replica.Replica, piece base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if r != nil {
		begun := false
		err := v.try(r, piece.Start, func(s *replica.StaleReader) error {
			if begun {
				return replica.ErrElsewhere
			}
			return s.Scan(piece, reverse, func(key, value []byte) bool {
				begun = true
				return visit(key, value)
			})
		})
		switch {
		case !errors.Is(err, replica.ErrElsewhere):
			v.e.stale.here.Add(1)
			return err
		case begun:
			if v.avoid == nil {
				v.avoid = map[*replica.Replica]bool{}
			}
			v.avoid[r] = true
			return errors.Wrap(base.ErrConflict, "the replica has changed")
		}
	}
	v.e.stale.away.Add(1)
	return v.rest.scan(piece, reverse, visit)
}
