package kv

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// DB is a transactional database over an engine. It is safe for concurrent use.
type DB struct {
	engine  Engine
	now     func() time.Time
	session uint64
	number  atomic.Uint64
}

// New makes a database over engine. now measures the age of interactive transactions.
func New(engine Engine, now func() time.Time) *DB {
	return NewWithSession(engine, now, rand.Uint64()|1)
}

// NewWithSession is New with a session of the caller's choice: not zero, and its own
// among all that write to the engine. Its request ids are what a run that is
// repeated writes again.
func NewWithSession(engine Engine, now func() time.Time, session uint64) *DB {
	return &DB{engine: engine, now: now, session: session}
}

// Closure is the body of a transaction.
type Closure interface {
	// Do reads and writes through t. It may run several times (K1).
	Do(t Txn) error
}

// Func is a Closure made of a function.
type Func func(t Txn) error

// Do calls f.
func (f Func) Do(t Txn) error { return f(t) }

// Session runs closures one after another and keeps the memory that they need.
// It is used by one goroutine.
type Session struct {
	db *DB
	t  txn
	// Guards are watches that the next Run commits only under.
	Guards []Watch
	// Fence is one more guard for the next Run; nil for none.
	Fence Fence
	// Origin is who writes; see CommitRequest.
	Origin uint64
	// Prompt makes Run fail with base.ErrWouldWait, and do nothing, where it would have to
	// wait for something other than its turn in a range of this node.
	Prompt bool
	// Quiet leaves it to the caller to Kick the database once it has run all the
	// closures at hand: they commit together then.
	Quiet bool
	// Free says that the closures may take their time: they read at a stamp, and keep nobody
	// out, however often they conflict. When to give up is theirs to say.
	Free bool
	req  CommitRequest
	past txn // of ReadStale
}

// NewSession makes a session.
func (db *DB) NewSession() *Session {
	return &Session{db: db, t: txn{att: db.engine.NewAttempt()}}
}

// snapshotAttempt is the attempt from which a closure reads at a stamp, so that
// one which only reads can no longer be overtaken; exclusiveAttempt the one from
// which it keeps writers out.
const (
	snapshotAttempt  = 2
	exclusiveAttempt = 3
)

// Run runs a short closure against the newest state until it does not conflict,
// and sequences its writes without waiting for them: nothing of the outcome, an
// error included, may be revealed before the ticket is done. Memory that the
// closure got from the transaction stays valid until the next Run.
func (s *Session) Run(c Closure) (base.Ticket, error) {
	if s.Free {
		return s.runFree(c)
	}
	for attempt := 0; ; attempt++ {
		o := AttemptOptions{Hold: HoldShort, Again: attempt > 0, Prompt: s.Prompt}
		if attempt >= exclusiveAttempt {
			o.Hold = HoldAlways
		} else if attempt == snapshotAttempt {
			if s.Prompt && !s.db.engine.Local() {
				return base.Ticket{}, base.ErrWouldWait
			}
			at, err := s.db.engine.ReadVersion(context.Background())
			if err != nil {
				return base.Ticket{}, err
			}
			o.At = at
		}
		if attempt > exclusiveAttempt { // nobody can be kept out of several ranges
			if err := backoff(context.Background(), attempt-exclusiveAttempt); err != nil {
				return base.Ticket{}, err
			}
		}
		r, err := s.once(c, o)
		if !base.Retryable(err) || s.guardDirty() {
			return r.Ticket, err
		}
	}
}

func (s *Session) runFree(c Closure) (base.Ticket, error) {
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			if err := backoff(context.Background(), attempt); err != nil {
				return base.Ticket{}, err
			}
		}
		at, err := s.db.engine.ReadVersion(context.Background())
		if err != nil {
			return base.Ticket{}, err
		}
		r, err := s.once(c, AttemptOptions{At: at, Again: attempt > 0})
		if !base.Retryable(err) || s.guardDirty() {
			return r.Ticket, err
		}
	}
}

// RunAndWait is Run for those who tell somebody: it waits for the ticket.
func (s *Session) RunAndWait(c Closure) error {
	t, err := s.Run(c)
	return told(t, err)
}

// told is what may be told of a closure once its ticket is done. An error of the closure is
// an answer like any other (R1): when what it was based on is lost it never was, and
// nothing was written.
func told(t base.Ticket, err error) error {
	lost := t.Wait()
	switch {
	case lost == nil:
		return err
	case err != nil && errors.Is(lost, base.ErrUnknownOutcome):
		return errors.Wrap(base.ErrUnavailable, "the leader has changed")
	}
	return lost
}

func (s *Session) guardDirty() bool {
	for _, w := range s.Guards {
		if dirty, _ := w.Dirty(); dirty {
			return true
		}
	}
	return s.Fence != nil && s.Fence.Broken()
}

func (s *Session) once(c Closure, o AttemptOptions) (Receipt, error) {
	t := &s.t
	t.begin(o)
	defer t.att.Abort() // ends the attempt when the closure panics; harmless otherwise
	err := c.Do(t)
	if err == nil {
		err = t.err
	}
	if err != nil {
		s.req = CommitRequest{Guards: s.Guards, Fence: s.Fence}
		return t.refused(&s.req, err)
	}
	s.req = CommitRequest{ReadKeys: t.readKeys, ReadSpans: t.readSpans, Mutations: t.w.muts, Guards: s.Guards,
		Fence: s.Fence, Quiet: s.Quiet, Origin: s.Origin}
	return t.att.Commit(&s.req)
}

// ReadAt runs fn on the state as of a stamp, which stays readable for limits.WindowAge, and
// longer where little is written; then the error is base.ErrTooOld. What fn writes, it alone sees.
// Memory that it got stays valid until the session's next transaction.
func (s *Session) ReadAt(at base.Stamp, fn func(t Txn) error) error {
	t := &s.t
	t.begin(AttemptOptions{Hold: HoldNever, At: at})
	defer t.att.Abort()
	err := fn(t)
	if err == nil {
		err = t.err
	}
	if err != nil {
		return err
	}
	r, err := t.att.Commit(&CommitRequest{})
	return told(r.Ticket, err)
}

// CommitInfo describes a committed transaction. Both are zero for one that only read.
type CommitInfo struct {
	Stamp        base.Stamp
	Versionstamp base.Versionstamp
}

// Transact runs fn until it commits without conflict, waits for the commit and
// answers its versionstamp. The closure may take its time, up to
// limits.TransactionMaxAge. On ErrUnknownOutcome the writes may exist.
func (db *DB) Transact(ctx context.Context, fn func(t Txn) error) (CommitInfo, error) {
	t := txn{att: db.engine.NewAttempt()}
	id := RequestID{Session: db.session, Number: db.number.Add(1)}
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return CommitInfo{}, err
		}
		o := AttemptOptions{Hold: HoldNever, Again: attempt > 0}
		if attempt >= snapshotAttempt {
			at, err := db.engine.ReadVersion(ctx)
			if err != nil {
				return CommitInfo{}, err
			}
			o.At = at
		}
		info, err := db.transactOnce(&t, fn, o, id)
		if !base.Retryable(err) {
			return info, err
		}
		if err := backoff(ctx, attempt); err != nil {
			return CommitInfo{}, err
		}
	}
}

func (db *DB) transactOnce(t *txn, fn func(t Txn) error, o AttemptOptions, id RequestID) (CommitInfo, error) {
	t.begin(o)
	defer t.att.Abort()
	started := db.now()
	err := fn(t)
	if err == nil {
		err = t.err
	}
	if err == nil && db.now().Sub(started) > limits.TransactionMaxAge {
		err = base.ErrTransactionTimedOut
	}
	if err != nil {
		return finish(t.refused(&CommitRequest{}, err))
	}
	req := t.request()
	req.Stamped, req.ID = true, id
	return finish(t.att.Commit(req))
}

// refused ends an attempt whose closure failed. An error is an answer like any
// other (K2): what it was based on must have been one state, or the closure runs
// again.
func (t *txn) refused(req *CommitRequest, err error) (Receipt, error) {
	if base.Retryable(err) || errors.Is(err, base.ErrWouldWait) {
		return t.att.Abort(), err
	}
	req.ReadKeys, req.ReadSpans = t.readKeys, t.readSpans
	r, invalid := t.att.Commit(req)
	if invalid != nil {
		return r, invalid
	}
	return r, err
}

func finish(r Receipt, err error) (CommitInfo, error) {
	if base.Retryable(err) {
		return CommitInfo{}, err
	}
	if err = told(r.Ticket, err); err != nil || r.Version == nil {
		return CommitInfo{}, err
	}
	return CommitInfo{Stamp: r.Version.Stamp(), Versionstamp: *r.Version}, nil
}

const (
	backoffMin = 200 * time.Microsecond
	backoffMax = 50 * time.Millisecond
)

// backoff waits a random time that doubles with each conflict.
func backoff(ctx context.Context, attempt int) error {
	d := min(backoffMin<<min(attempt, 10), backoffMax)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(d)) + 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Stored reads what is on disk, seconds behind and consistent with nothing. It is
// for background work that looks for something to do; whatever it finds has to be
// read again in a transaction.
func (db *DB) Stored() Reader { return stored{db.engine} }

type stored struct{ engine Engine }

func (s stored) Get(key []byte) (value []byte, err error) {
	err = s.Scan(base.KeySpan(key), ScanOptions{}, func(_, v []byte) bool {
		value = append([]byte{}, v...)
		return false
	})
	return value, err
}

func (s stored) Scan(span base.Span, o ScanOptions, visit func(key, value []byte) bool) error {
	n := 0
	return s.engine.ScanStored(span, o.Reverse, func(key, value []byte) bool {
		n++
		return visit(key, value) && n != o.Limit
	})
}

func (s stored) GetKey(sel KeySelector, bounds base.Span) ([]byte, error) {
	return getKey(s, sel, bounds)
}

// Local reports whether transactions are worked on in this process for now, and wait
// for nothing but a commit: other ones wait for the network, or for each other.
func (db *DB) Local() bool { return db.engine.Local() }

// Expect tells that keys will be read soon. It is a hint, which pays for several keys;
// useful reports whether it pays for now.
func (db *DB) Expect(keys [][]byte) (useful bool) { return db.engine.Expect(keys) }

// Kick commits what was sequenced quietly.
func (db *DB) Kick() { db.engine.Kick() }

// Watch registers an interest in key.
func (db *DB) Watch(key []byte) Watch { return db.engine.Watch(key) }

// Follow tells f what is written in span, until the result is called.
func (db *DB) Follow(span base.Span, f Follower) (stop func()) { return db.engine.Follow(span, f) }

// EstimateSize is a rough count of the bytes stored in span.
func (db *DB) EstimateSize(span base.Span) (int64, error) { return db.engine.EstimateSize(span) }

// ReadVersion asks the oracle for a fresh stamp.
func (db *DB) ReadVersion(ctx context.Context) (base.Stamp, error) { return db.engine.ReadVersion(ctx) }

// NewAttempt makes an attempt of the engine, for those who bring their own loop.
func (db *DB) NewAttempt() Attempt { return db.engine.NewAttempt() }
