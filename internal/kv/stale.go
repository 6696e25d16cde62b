package kv

import (
	"context"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// View is the state as of one stamp. After an error nothing of what it has shown counts.
type View interface {
	// Get returns the value of key, nil when it is absent. It lives as long as the view.
	Get(key []byte) ([]byte, error)
	// Scan visits pairs until visit returns false.
	Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error
}

// StaleEngine is an engine that can read without those who order the writes.
type StaleEngine interface {
	// ReadStale runs read, maybe several times, on a state that has all that was
	// committed before a moment which is not longer ago than staleness. It answers the
	// state's stamp.
	ReadStale(ctx context.Context, staleness time.Duration, read func(View) error) (base.Stamp, error)
}

// ReadStale runs fn, maybe several times, on one consistent state, and answers its stamp.
// The state may lack what was committed in the time of staleness before the call, and
// nothing older. It is read nearby where that is possible.
func (db *DB) ReadStale(ctx context.Context, staleness time.Duration, fn func(r Reader) error) (base.Stamp, error) {
	if e, ok := db.engine.(StaleEngine); ok {
		return e.ReadStale(ctx, staleness, func(v View) error { return fn(viewer{v}) })
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
func (db *DB) readNow(fn func(r Reader) error) (base.Stamp, error) {
	tx := db.Begin()
	defer tx.Rollback()
	at, err := tx.ReadVersion()
	if err == nil {
		err = fn(tx.Snapshot())
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.Commit()
	return at, err
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
