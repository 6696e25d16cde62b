package replica

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// Any replica, whoever leads, can answer a snapshot read at S once it has applied all that
// was ever committed with a stamp up to S:
//
//	log   … │ T=4 │ T=7 │ T=9 │ …        a replica that has applied up to T=7 covers S ≤ 7;
//	                                     the leader's word for S=8: "index of T=7"
//
// Stamps grow with the log, so the stamp of the last applied batch is one such S. A range
// that is not written to has the leader's word: asked after S was issued, it waits for
// what may be below S, proves that it leads, and names an index that holds all of
// that. Whatever follows, under any leader, has a stamp that was asked for later.
//
// The rest is left to the leader (ErrElsewhere): what has a write lock in the way (C5),
// what a change of the range is taking away or has not yet brought, and what has left
// the window. A change of the range counts from before its batch is applied to the end;
// what was read from disk counts only if there was none meanwhile.

// ErrElsewhere: this replica cannot answer a read at that stamp; the leader may.
var ErrElsewhere = errors.New("the replica cannot answer a read at that stamp")

// ErrUncovered: the replica does not know whether it has all that belongs to the stamp.
var ErrUncovered = errors.Wrap(ErrElsewhere, "the replica may be behind")

// word is the leader's: all up to the stamp at is in the log up to index.
type word struct {
	at    base.Stamp
	index base.LogIndex
}

// wordsMax bounds the words that wait for their index to be applied.
const wordsMax = 16

// covering is what is known of stamps that need no later batch. It is guarded by
// Replica.mu.
type covering struct {
	applied base.Stamp // highest of the words whose index is applied
	words   []word
}

// coveredLocked is the highest stamp at which the replica has everything.
func (r *Replica) coveredLocked() base.Stamp {
	c := &r.mu.covering
	kept := c.words[:0]
	for _, w := range c.words {
		if w.index <= r.mu.applied {
			c.applied = max(c.applied, w.at)
		} else {
			kept = append(kept, w)
		}
	}
	c.words = kept
	return max(c.applied, r.mu.logged)
}

// Covered is the highest stamp at which the replica is known to have everything.
func (r *Replica) Covered() base.Stamp {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.coveredLocked()
}

// Cover takes the leader's word that all up to the stamp at is in the log up to index,
// and waits until that is applied, or ctx ends.
func (r *Replica) Cover(ctx context.Context, at base.Stamp, index base.LogIndex) {
	stop := context.AfterFunc(ctx, r.room.Broadcast)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.mu.covering
	if len(c.words) == wordsMax {
		c.words = append(c.words[:0], c.words[1:]...)
	}
	c.words = append(c.words, word{at, index})
	for r.mu.applied < index && ctx.Err() == nil && !r.mu.stopped && !r.o.Manual {
		r.room.Wait()
	}
	r.coveredLocked()
}

// appliedLocked wakes those who wait for an index to be applied.
func (r *Replica) appliedLocked() {
	if len(r.mu.covering.words) > 0 {
		r.room.Broadcast()
	}
}

// Complete is the leader's word for a stamp that was issued before the call: an index that
// holds all batches, of this range, whose stamps are not above it.
func (r *Replica) Complete(at base.Stamp) (base.LogIndex, error) {
	a := r.NewAttempt()
	a.Begin(at, HoldNever)
	defer a.end()
	if err := a.settle(); err != nil {
		return 0, err
	}
	if r.withheldLocked() {
		return 0, errors.Wrap(base.ErrConflict, "the range is being changed")
	}
	index := r.mu.applied
	return index, r.await(a.Abort())
}

// StaleReader reads at a stamp from what a replica has applied. It is used by one
// goroutine.
type StaleReader struct {
	a      Attempt
	bounds uint64
}

// ReadStale makes a reader at a stamp.
func (r *Replica) ReadStale(at base.Stamp) *StaleReader {
	return &StaleReader{a: Attempt{r: r, at: at}}
}

// alteredLocked reports whether what the replica holds is being changed, or has been.
func (r *Replica) alteredLocked() bool {
	m := &r.mu
	return m.stopped || m.yielded || m.altering || r.withheldLocked()
}

// enter takes the range's lock if the replica can answer.
func (s *StaleReader) enter() error {
	r := s.a.r
	r.mu.Lock()
	s.a.locked = true
	switch {
	case r.alteredLocked(), r.mu.win.WaitForInstalled(s.a.at) != 0, s.a.checkAge() != nil:
		s.a.unlock()
		return ErrElsewhere
	case r.mu.applied < r.mu.readable, s.a.at > r.coveredLocked():
		s.a.unlock()
		return ErrUncovered
	}
	s.bounds = r.mu.bounds
	return nil
}

// check makes sure that what was read from disk was the range's, and not newer than the
// stamp.
func (s *StaleReader) check() error {
	r := s.a.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alteredLocked() || s.bounds != r.mu.bounds || s.a.checkAge() != nil {
		return ErrElsewhere
	}
	return nil
}

// Get returns the value of key, nil when it is absent.
func (s *StaleReader) Get(key []byte) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.a.unlock()
	r := s.a.r
	if !r.mu.seq.Holds(key) || s.locked([][]byte{key}, nil) {
		return nil, ErrElsewhere
	}
	v := r.mu.win.At(key, s.a.at)
	if v.State != window.Unknown {
		return v.Value, nil
	}
	s.a.unlock()
	s.a.pause(PointReading)
	value, err := r.o.Disk.Get(key)
	s.a.pause(PointRead)
	if err != nil {
		return nil, err
	}
	return value, s.check()
}

// locked reports whether a write lock is in the way.
func (s *StaleReader) locked(keys [][]byte, spans []base.Span) bool {
	seq := s.a.r.mu.seq
	ask, wait := seq.Table().StopsSnapshot(s.a.at, seq.ClosedPosition(), keys, spans)
	return len(ask) > 0 || wait != 0
}

// Scan visits the pairs of span in order, or in reverse, until visit returns false. After
// an error what was visited is void. Keys and values are valid during the call only.
func (s *StaleReader) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	for limit := scanPageMin; !span.Empty(); limit = min(4*limit, scanPageMax) {
		if err := s.loadPage(span, reverse, limit); err != nil {
			return err
		}
		done, err := s.a.visitPage(reverse, visit)
		if errors.Is(err, base.ErrTooOld) {
			err = ErrElsewhere
		}
		if err == nil {
			err = s.check()
		}
		if err != nil || done {
			return err
		}
		if reverse {
			span.End = s.a.page.Span.Start
		} else {
			span.Start = s.a.page.Span.End
		}
	}
	return nil
}

// loadPage reads from the window what it knows about the beginning of span.
func (s *StaleReader) loadPage(span base.Span, reverse bool, limit int) error {
	for {
		if err := s.enter(); err != nil {
			return err
		}
		if s.a.r.mu.win.CatchUp(span, s.a.at, reverse, limit, catchUpKeys) {
			break
		}
		s.a.unlock()
	}
	defer s.a.pause(PointReading)
	defer s.a.unlock()
	r := s.a.r
	if !r.mu.seq.HoldsSpan(span) {
		return ErrElsewhere
	}
	r.mu.win.Scan(&s.a.page, span, s.a.at, reverse, limit)
	if s.locked(nil, []base.Span{s.a.page.Span}) {
		return ErrElsewhere
	}
	return nil
}
