package redistest

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// CountReads is t, and adds the rows that scans of its snapshot read to rows.
func CountReads(t kv.Txn, rows *int) kv.Txn { return &readSpy{t, rows} }

type readSpy struct {
	kv.Txn
	rows *int
}

func (s *readSpy) Snapshot() kv.Reader { return &readerSpy{s.Txn.Snapshot(), s.rows} }

type readerSpy struct {
	kv.Reader
	rows *int
}

func (s *readerSpy) Scan(span base.Span, o kv.ScanOptions, visit func(key, value []byte) bool) error {
	return s.Reader.Scan(span, o, func(key, value []byte) bool {
		*s.rows++
		return visit(key, value)
	})
}

// CountLookups is t, and adds the rows to rows that its snapshot reads one by one.
func CountLookups(t kv.Txn, rows *int) kv.Txn { return &lookupSpy{t, rows} }

type lookupSpy struct {
	kv.Txn
	rows *int
}

func (s *lookupSpy) Snapshot() kv.Reader { return &lookups{s.Txn.Snapshot(), s.rows} }

type lookups struct {
	kv.Reader
	rows *int
}

func (s *lookups) Get(key []byte) ([]byte, error) {
	*s.rows++
	return s.Reader.Get(key)
}
