package lsm

import (
	"bytes"
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Flush makes everything durable that was applied before, and waits for it.
func (s *Store) Flush() error {
	done, err := s.db.AsyncFlush()
	if err == nil {
		select {
		case <-done:
		case <-s.failure.failed:
			err = s.failure.err
		}
	}
	s.settle()
	return errors.Wrap(err, "flushing the state")
}

// settle waits for Pebble's cleaner in a store whose I/O must follow from the
// calls alone: whether a flush syncs the directory depends on what was removed.
func (s *Store) settle() {
	if s.opts.Inline {
		s.db.TestOnlyWaitForCleaning()
	}
}

// FlushAsync begins a flush; the channel is closed when it is done.
func (s *Store) FlushAsync() (<-chan struct{}, error) {
	done, err := s.db.AsyncFlush()
	return done, errors.Wrap(err, "flushing the state")
}

// EstimateSize is about how many bytes on disk the span's keys take; what is
// still in memory is not counted.
func (s *Store) EstimateSize(span base.Span) (int64, error) {
	end := span.End
	if end == nil {
		end = bytes.Repeat([]byte{0xFF}, 16)
	}
	if start := dataStart(span.Start); bytes.Compare(start, end) < 0 {
		if err := s.gate.enter(); err != nil {
			return 0, err
		}
		defer s.gate.leave()
		n, err := s.db.EstimateDiskUsage(start, end)
		return int64(n), readError(err)
	}
	return 0, nil
}

// CompactSpan makes the span durable, and its disk usage that of what it holds: nothing of
// what was removed or overwritten stays. It rewrites the span's tables.
func (s *Store) CompactSpan(ctx context.Context, span base.Span) error {
	if err := s.Flush(); err != nil {
		return err
	}
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	return errors.Wrap(s.db.Compact(ctx, dataStart(span.Start), span.End, false), "compacting a span")
}

// Checkpoint writes a consistent copy to dir, which must not exist; files are
// linked where that is possible.
func (s *Store) Checkpoint(dir string) error {
	// There is no log, so only tables are copied: everything must be in one.
	if err := s.Flush(); err != nil {
		return err
	}
	return errors.Wrapf(s.db.Checkpoint(dir), "writing a checkpoint to %s", dir)
}

// Check reads everything, which verifies every checksum, and checks the order
// of the levels.
func (s *Store) Check() (keys int64, err error) {
	if err := s.db.CheckLevels(nil); err != nil {
		return 0, errors.Mark(errors.Wrap(err, "the levels are inconsistent"), base.ErrCorruption)
	}
	if err := s.EachRangeState(false, func(base.RangeID, RangeState) error { return nil }); err != nil {
		return 0, err
	}
	it, err := s.NewIterator(base.Span{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.CombineErrors(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if _, err := it.Value(); err != nil {
			return keys, err
		}
		keys++
	}
	return keys, nil
}

// Metrics are counters since open and current sizes.
type Metrics struct {
	DiskBytes      int64 // of all files
	MemtableBytes  int64
	CacheBytes     int64
	CacheHits      int64
	CacheMisses    int64
	Flushes        int64
	FlushedBytes   int64
	Compactions    int64
	CompactedBytes int64 // written by compactions
	CompactionDebt int64 // estimate of what is left to compact
	L0Files        int64
	ReadAmp        int
	FilterBytes    int64
	FilterKeys     int64
	FilterAnswers  int64 // reads of absent keys that ended at the filter
}

// Metrics returns the current values.
func (s *Store) Metrics() Metrics {
	pm := s.db.Metrics()
	m := Metrics{
		DiskBytes: int64(pm.DiskSpaceUsage()), MemtableBytes: int64(pm.MemTable.Size),
		CacheBytes: pm.BlockCache.Size, CacheHits: pm.BlockCache.Hits, CacheMisses: pm.BlockCache.Misses,
		Flushes: pm.Flush.Count, Compactions: pm.Compact.Count,
		CompactionDebt: int64(pm.Compact.EstimatedDebt), L0Files: pm.Levels[0].TablesCount, ReadAmp: pm.ReadAmp(),
	}
	if f := s.known.filter.Load(); f != nil {
		m.FilterBytes, m.FilterKeys = f.Bytes(), f.Keys()
	}
	m.FilterAnswers = int64(s.known.answers.Load())
	for i := range pm.Levels {
		m.FlushedBytes += int64(pm.Levels[i].TableBytesFlushed)
		m.CompactedBytes += int64(pm.Levels[i].TableBytesCompacted)
	}
	return m
}
