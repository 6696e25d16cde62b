package coordinator

import (
	"bytes"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// Ranges reaches the leaders of ranges. Answers are committed, and those of leaders
// (C9). base.ErrUnavailable says that nothing was done, base.ErrUnknownOutcome that
// something may have been; base.ErrWrongRange, that the range is another one now.
type Ranges interface {
	// Span is the range that holds key, as far as is known.
	Span(key []byte) (base.Span, error)
	// Stamp asks the oracle.
	Stamp() (base.Stamp, error)
	// Prepare asks the range that holds key.
	Prepare(key []byte, p *prepared.Prepare, guards []Guard) error
	// Record asks the anchor, and answers how the transaction ended.
	Record(r *prepared.Record) (commit base.Stamp, err error)
	// Resolve tells the range that holds key, and answers what else that holds.
	Resolve(key []byte, r *prepared.Resolve) (base.Span, error)
	// Settled tells the anchor.
	Settled(anchor []byte, s *prepared.Settled) error
	// Fate asks the anchor.
	Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error)
	// Horizons asks the range that holds key, which then refuses what began before
	// the stamp, or almost: a horizon moves in steps.
	Horizons(key []byte, refuse base.Stamp) (Horizons, error)
}

// Ask is a prepare for the range that holds Key.
type Ask struct {
	Key     []byte
	Prepare prepared.Prepare
	Guards  []Guard
}

// Together is what Ranges may implement to prepare everywhere at once; refused gets what
// Prepare would have answered.
type Together interface {
	PrepareAll(asks []Ask, refused []error)
}

// Concluding is what Ranges may implement to prepare, decide and resolve at the anchor in one
// step, when all others are prepared.
type Concluding interface {
	// Concludes reports whether that is likely to go.
	Concludes(anchor []byte) bool
	// Conclude does it. done is false when nothing was done, and the anchor has to be asked
	// like the others. An error with a commit stamp says that nobody knows yet, one
	// without that nothing was written.
	Conclude(ask *Ask) (commit base.Stamp, done bool, err error)
}

// ErrHere is what whoever reaches ranges on other nodes answers when it turns out that
// this node leads.
var ErrHere = errors.Wrap(base.ErrConflict, "this node leads now")

// Guard is a watch that must not be dirty; its key counts as read.
type Guard interface{ Key() []byte }

// Horizons is what has to be known of a range before records are forgotten.
type Horizons struct {
	Span           base.Span
	Refuse, Oldest base.Stamp // see replica.Horizons
}

// Options configures a coordinator. Ranges and Random are required.
type Options struct {
	Ranges Ranges
	// Random fills the bytes of an id.
	Random func([]byte)
	Clock  clock.Clock
	// Inline runs everything in the caller's goroutine, one after another.
	Inline bool
	// Behind runs what goes on behind an answer. Optional; for those who schedule
	// everything themselves.
	Behind func(func())
	// Everywhere prepares at the anchor, too, where it could conclude: for tests.
	Everywhere bool
	Faults     Faults
}

// Faults are bugs that a test can plant.
type Faults struct {
	// StampEarly asks for C before the last range is prepared.
	StampEarly bool
	// SkipReadOnly does not prepare where the transaction has only read.
	SkipReadOnly bool
	// AbortUnrecorded settles an undecided transaction without its tombstone.
	AbortUnrecorded bool
	// Crash is called at every step of a commit; true ends the coordinator there.
	Crash func(Step) bool
}

// Step is a place in a commit where a coordinator may end.
type Step uint8

// The steps.
const (
	StepPrepared Step = iota // everywhere
	StepStamped              // C is issued
	StepRecorded             // at the anchor
	StepResolved             // everywhere
)

// ErrCrashed is what the caller of a coordinator that Faults.Crash has ended is told.
var ErrCrashed = errors.Wrap(base.ErrUnknownOutcome, "the coordinator has crashed")

// Coordinator commits and settles. It is safe for concurrent use.
type Coordinator struct {
	o      Options
	slots  chan struct{} // of the work behind answers
	wait   sync.WaitGroup
	closed chan struct{}
	mu     struct {
		sync.RWMutex // held while work behind an answer begins
		closed       bool
	}
}

// New makes a coordinator.
func New(o Options) *Coordinator {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	return &Coordinator{o: o, slots: make(chan struct{}, limits.Resolving), closed: make(chan struct{})}
}

// Close waits for the work that goes on behind answers.
func (c *Coordinator) Close() {
	c.mu.Lock()
	if !c.mu.closed {
		c.mu.closed = true
		close(c.closed)
	}
	c.mu.Unlock()
	c.wait.Wait()
}

// Request is what a transaction leaves behind.
type Request struct {
	// At is S, which counts as the attempt's begin, too; zero for one that has read
	// nothing and has none.
	At base.Stamp
	// Priority is that of the transaction's first attempt; zero for the first.
	Priority  base.Stamp
	ReadKeys  [][]byte
	ReadSpans []base.Span
	Mutations []base.Mutation
	Guards    []Guard
}

// Result is what became of an attempt.
type Result struct {
	Commit base.Stamp
	// Priority is what a next attempt has to ask with.
	Priority base.Stamp
}

// Commit commits a transaction that writes. ErrConflict and ErrTooOld say that nothing
// was written and that it may be run again; ErrUnknownOutcome, that nobody could say.
func (c *Coordinator) Commit(q *Request) (Result, error) {
	begin := q.At
	if begin == 0 {
		var err error
		if begin, err = c.o.Ranges.Stamp(); err != nil {
			return Result{}, err
		}
	}
	res := Result{Priority: q.Priority}
	if res.Priority == 0 {
		res.Priority = begin
	}
	parts, err := c.divide(q, begin)
	if err != nil {
		return res, err
	}
	a := attempt{c: c, parts: parts, txn: prepared.Txn{Begin: begin, Priority: res.Priority}}
	c.o.Random(a.txn.ID[:])
	a.txn.Participants = participants(parts)
	a.txn.Anchor = anchor(q.Mutations, begin)
	res.Commit, err = a.run(begin)
	return res, err
}

// attempt is one try of a commit.
type attempt struct {
	c     *Coordinator
	txn   prepared.Txn
	parts []*part
}

func (a *attempt) crashes(s Step) bool {
	f := a.c.o.Faults.Crash
	return f != nil && f(s)
}

func (a *attempt) run(at base.Stamp) (base.Stamp, error) {
	ranges := a.c.o.Ranges
	var early base.Stamp
	if a.c.o.Faults.StampEarly {
		early, _ = ranges.Stamp()
	}
	asks, last := a.asks(at)
	if err := a.prepare(asks); err != nil {
		a.abort()
		return 0, err
	}
	if a.crashes(StepPrepared) {
		return 0, ErrCrashed
	}
	ended, err := a.decision(last, early)
	if err != nil {
		return 0, err
	}
	if ended == 0 {
		a.c.finish(&a.txn, 0, true)
		return 0, errors.Wrap(base.ErrConflict, "somebody has ended the transaction")
	}
	if a.crashes(StepRecorded) {
		return ended, nil
	}
	txn := own(&a.txn)
	a.c.behind(func() {
		if !a.c.resolve(txn, ended) || a.crashes(StepResolved) {
			return
		}
		_ = ranges.Settled(txn.Anchor, &prepared.Settled{ID: txn.ID}) // or a sweep does it
	})
	return ended, nil
}

// own is a transaction whose keys are its own: once it is answered, the caller uses the memory of
// those that it has given for something else.
func own(t *prepared.Txn) *prepared.Txn {
	c := *t
	c.Anchor = bytes.Clone(t.Anchor)
	c.Participants = make([]base.Span, len(t.Participants))
	for i, s := range t.Participants {
		c.Participants[i] = base.Span{Start: bytes.Clone(s.Start), End: bytes.Clone(s.End)}
	}
	return &c
}

// asks are the prepares of all participants. The anchor's may be the last one, which is
// concluded there.
func (a *attempt) asks(at base.Stamp) (asks []Ask, last *Ask) {
	concludes := false
	if x, ok := a.c.o.Ranges.(Concluding); ok && !a.c.o.Everywhere && !a.c.o.Faults.StampEarly {
		concludes = x.Concludes(a.txn.Anchor)
	}
	asks = make([]Ask, 0, len(a.parts))
	for _, p := range a.parts {
		if a.c.o.Faults.SkipReadOnly && len(p.muts) == 0 {
			continue
		}
		ask := Ask{Key: p.at, Guards: p.guards, Prepare: prepared.Prepare{Txn: a.txn, ReadStamp: at,
			ReadKeys: p.keys, ReadSpans: p.spans, Mutations: p.muts}}
		if concludes && last == nil && p.span.Contains(a.txn.Anchor) {
			last = &ask
		} else {
			asks = append(asks, ask)
		}
	}
	return asks, last
}

// decision commits what is prepared everywhere but at last, if that is not nil, and answers
// how the transaction ended.
func (a *attempt) decision(last *Ask, early base.Stamp) (base.Stamp, error) {
	if last != nil {
		if a.crashes(StepStamped) {
			return 0, ErrCrashed
		}
		commit, done, err := a.c.o.Ranges.(Concluding).Conclude(last)
		switch {
		case done && err == nil:
			return commit, nil
		case done && commit != 0:
			return a.settled(err)
		case done:
			a.abort()
			return 0, refusal([]error{err})
		}
		if err := a.prepare([]Ask{*last}); err != nil {
			a.abort()
			return 0, err
		}
	}
	commit, err := a.c.o.Ranges.Stamp() // after the last one is prepared (C9)
	if err != nil {
		a.abort()
		return 0, err
	}
	if early != 0 {
		commit = early
	}
	if a.crashes(StepStamped) {
		return 0, ErrCrashed
	}
	return a.record(commit)
}

// prepare asks participants at once, and answers the first refusal.
func (a *attempt) prepare(asks []Ask) error {
	refused := make([]error, len(asks))
	if t, ok := a.c.o.Ranges.(Together); ok && !a.c.o.Inline && len(asks) > 1 {
		t.PrepareAll(asks, refused)
	} else {
		a.c.parallel(len(asks), func(i int) {
			refused[i] = a.c.o.Ranges.Prepare(asks[i].Key, &asks[i].Prepare, asks[i].Guards)
		})
	}
	return refusal(refused)
}

// refusal is what the caller is told when any of the answers is one.
func refusal(refused []error) error {
	for _, err := range refused {
		switch {
		case err == nil, base.Retryable(err):
		case errors.IsAny(err, prepared.ErrOver, base.ErrWrongRange, base.ErrUnknownOutcome):
			// Ended by somebody else, or another range, or another leader: nothing was
			// written, since there is no record.
			return errors.Wrapf(base.ErrConflict, "prepare: %v", err)
		default:
			return err
		}
	}
	return errors.Join(refused...)
}

// abort ends an attempt that has no record: nobody else can write one. The next
// attempt must not die of this one's locks.
func (a *attempt) abort() { a.c.resolve(&a.txn, 0) }

// record writes the commit record and answers how the transaction ended, or that
// nobody can tell.
func (a *attempt) record(commit base.Stamp) (base.Stamp, error) {
	rec := &prepared.Record{Txn: a.txn, Commit: commit}
	var err error
	for pause := a.c.pauses(); pause.next(); {
		var ended base.Stamp
		ended, err = a.c.o.Ranges.Record(rec)
		switch {
		case err == nil:
			return ended, nil
		case errors.IsAny(err, prepared.ErrNotHeld, prepared.ErrForgotten):
			return 0, nil // and never was: nobody else has C
		case errors.IsAny(err, base.ErrUnavailable, base.ErrWrongRange):
			continue // nothing was done: the same record may be written again
		case !errors.Is(err, base.ErrUnknownOutcome):
			return 0, errors.Wrapf(base.ErrUnknownOutcome, "commit record: %v", err)
		}
		return a.settled(err)
	}
	a.abort()
	return 0, err
}

// settled answers how a transaction ended whose record may have been written.
func (a *attempt) settled(why error) (base.Stamp, error) {
	for pause := a.c.pauses(); pause.next(); {
		ended, err := a.c.decide(&a.txn)
		if err == nil {
			return ended, nil
		}
		why = err
	}
	return 0, errors.Wrapf(base.ErrUnknownOutcome, "commit record: %v", why)
}

// decide finds out how a transaction ended, and ends it if it has not.
func (c *Coordinator) decide(t *prepared.Txn) (base.Stamp, error) {
	status, commit, err := c.o.Ranges.Fate(t)
	switch {
	case err != nil:
		return 0, err
	case status == prepared.Forgotten:
		return 0, prepared.ErrForgotten
	case status != prepared.Undecided:
		return commit, nil
	}
	if c.o.Faults.AbortUnrecorded {
		return 0, nil
	}
	return c.o.Ranges.Record(&prepared.Record{Txn: *t})
}

// pauses are the tries that somebody makes before it gives up.
type pauses struct {
	c     *Coordinator
	until time.Duration
	wait  time.Duration
}

const pauseMax = 100 * time.Millisecond

func (c *Coordinator) pauses() *pauses {
	return &pauses{c: c, until: c.o.Clock.Elapsed() + limits.LeaderWait}
}

// next waits before every try but the first.
func (p *pauses) next() bool {
	if p.wait == 0 {
		p.wait = 5 * time.Millisecond
		return true
	}
	if p.c.o.Inline || p.c.o.Clock.Elapsed() > p.until {
		return false
	}
	t := time.NewTimer(p.wait)
	defer t.Stop()
	select {
	case <-p.c.closed:
		return false
	case <-t.C:
	}
	p.wait = min(2*p.wait, pauseMax)
	return true
}

// parallel calls f for 0 to n-1 and waits for all.
func (c *Coordinator) parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	for i := 1; i < n && !c.o.Inline; i++ {
		wait.Go(func() { f(i) })
	}
	if n > 0 {
		f(0)
	}
	for i := 1; i < n && c.o.Inline; i++ {
		f(i)
	}
	wait.Wait()
}

// behind does what an answer does not wait for; when much of that is going on, the
// answer waits after all.
func (c *Coordinator) behind(f func()) {
	switch {
	case c.o.Behind != nil:
		c.o.Behind(f)
	case c.o.Inline || !c.begin(f):
		f()
	}
}

func (c *Coordinator) begin(f func()) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.mu.closed {
		return false
	}
	select {
	case c.slots <- struct{}{}:
		c.wait.Go(func() {
			defer func() { <-c.slots }()
			f()
		})
		return true
	default:
		return false
	}
}
