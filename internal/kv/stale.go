package kv

import (
	"context"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// View is the state as of one stamp. After an error nothing of what it has shown counts.
type View interface {
	// Stamp is the stamp.
	Stamp() base.Stamp
	// Get returns the value of key, nil when it is absent. It lives as long as the view.
	Get(key []byte) ([]byte, error)
	// Scan visits pairs until visit returns false.
	Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error
}

// StaleOptions say what a stale read may be like.
type StaleOptions struct {
	// Staleness is how long ago the state may be.
	Staleness time.Duration
	// Prompt makes the read fail with base.ErrWouldWait where it would have to wait.
	Prompt bool
}

// StaleEngine is an engine that can read without those who order the writes.
type StaleEngine interface {
	// ReadStale runs read, maybe several times, on a state that has all that was
	// committed before a moment which is not longer ago than o.Staleness. It answers the
	// state's stamp.
	ReadStale(ctx context.Context, o StaleOptions, read func(View) error) (base.Stamp, error)
	// StaleReads is how many reads of single keys and spans were answered nearby, and
	// how many by those who order the writes.
	StaleReads() (near, far int64)
	// Distant reports whether the newest state of some keys may have to be asked of other
	// nodes for now.
	Distant() bool
	// Whereabouts tells which range a key lies in, zero if that is not known, and whether
	// another node leads it for now.
	Whereabouts(key []byte) (id base.RangeID, distant bool)
}

// ReadStale runs fn, maybe several times, on one consistent state, and answers its stamp.
// The state may lack what was committed in the time of staleness before the call, and
// nothing older. It is read nearby where that is possible.
func (db *DB) ReadStale(ctx context.Context, staleness time.Duration, fn func(r Reader) error) (base.Stamp, error) {
	return db.readStale(ctx, StaleOptions{Staleness: staleness}, func(v View) error { return fn(viewer{v}) })
}

// ReadStale is DB.ReadStale for closures that need a transaction, and the state's stamp.
// What they write, they alone see. Memory that they got stays valid until the next
// ReadStale.
func (s *Session) ReadStale(ctx context.Context, o StaleOptions, fn func(at base.Stamp, t Txn) error) error {
	_, err := s.db.readStale(ctx, o, func(v View) error {
		s.past.att = viewAttempt{v}
		defer func() { s.past.att = nil }()
		s.past.begin(AttemptOptions{})
		if err := fn(v.Stamp(), &s.past); err != nil {
			return err
		}
		return s.past.err
	})
	return err
}

// Distant reports whether the newest state of some keys may have to be asked of other nodes
// for now.
func (db *DB) Distant() bool {
	e, ok := db.engine.(StaleEngine)
	return ok && e.Distant()
}

// Whereabouts tells which range a key lies in, zero if that is not known, and whether
// another node leads it for now. It is a hint.
func (db *DB) Whereabouts(key []byte) (id base.RangeID, distant bool) {
	if e, ok := db.engine.(StaleEngine); ok {
		return e.Whereabouts(key)
	}
	return 0, false
}

// StaleReads is how many stale reads of single keys and spans were answered nearby, and how
// many were not.
func (db *DB) StaleReads() (near, far int64) {
	if e, ok := db.engine.(StaleEngine); ok {
		return e.StaleReads()
	}
	return 0, 0
}

func (db *DB) readStale(ctx context.Context, o StaleOptions, fn func(v View) error) (base.Stamp, error) {
	if e, ok := db.engine.(StaleEngine); ok {
		return e.ReadStale(ctx, o, fn)
	}
	for attempt := 0; ; attempt++ {
		at, err := db.readNow(fn)
		if !base.Retryable(err) {
			return at, err
		}
		if err := backoff(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

// readNow reads the newest state, at a stamp.
func (db *DB) readNow(fn func(v View) error) (base.Stamp, error) {
	tx := db.Begin()
	defer tx.Rollback()
	at, err := tx.ReadVersion()
	if err == nil {
		err = fn(present{tx.Snapshot(), at})
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.Commit()
	return at, err
}

// present is a reader as a view.
type present struct {
	r  Reader
	at base.Stamp
}

var _ View = present{}

func (p present) Stamp() base.Stamp              { return p.at }
func (p present) Get(key []byte) ([]byte, error) { return p.r.Get(key) }

func (p present) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return p.r.Scan(span, ScanOptions{Reverse: reverse}, visit)
}

// viewer is a view as a reader.
type viewer struct{ view View }

var _ Reader = viewer{}

func (v viewer) Get(key []byte) ([]byte, error) { return v.view.Get(key) }

func (v viewer) Scan(span base.Span, o ScanOptions, visit func(key, value []byte) bool) error {
	n := 0
	return v.view.Scan(span, o.Reverse, func(key, value []byte) bool {
		n++
		return visit(key, value) && n != o.Limit
	})
}

func (v viewer) GetKey(sel KeySelector, bounds base.Span) ([]byte, error) {
	return getKey(v, sel, bounds)
}

// viewAttempt is a view as an attempt that nobody commits.
type viewAttempt struct{ View }

var _ Attempt = viewAttempt{}

func (viewAttempt) Begin(AttemptOptions) {}
func (viewAttempt) Expect([][]byte)      {}

// NowMillis is what leaders have gone by at the latest for what is not in the view.
func (a viewAttempt) NowMillis() int64 { return a.Stamp().Millis() }

func (viewAttempt) Commit(*CommitRequest) (Receipt, error) { return Receipt{}, nil }
func (viewAttempt) Abort() Receipt                         { return Receipt{} }
