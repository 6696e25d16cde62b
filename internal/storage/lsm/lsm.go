package lsm

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"syscall"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

const (
	// DefaultCacheBytes is the block cache; it is allocated as it fills. Pebble takes the
	// memory of memtables from it, so theirs is added: while they are small it may hold more.
	DefaultCacheBytes = 96 << 20
	// DefaultFilterBytes is the largest filter of the keys that exist, enough for
	// 32 million; it grows with the keys.
	DefaultFilterBytes = 64 << 20
	// DefaultMemtableBytes is the size at which a memtable is flushed; it
	// begins at 256 KiB and doubles.
	DefaultMemtableBytes = 64 << 20

	// formatVersion is pinned: an upgrade of the library changes no file.
	formatVersion = pebble.FormatTableFormatV6

	memtablesMax = 3
	openFilesMax = 1000
	bloomBits    = 10
)

// Options configures a store. FS and Dir are required.
type Options struct {
	FS            vfs.FS
	Dir           string
	CacheBytes    int64
	MemtableBytes int64
	FilterBytes   int64
	filterFirst   int64 // the first filter's size
	// ErrorIfMissing refuses to make a new store.
	ErrorIfMissing bool
	// ReadOnly is for checks: nothing is written and nothing runs in the background.
	ReadOnly bool
	// Inline keeps Pebble from compacting by itself and builds the filter of keys
	// when the store is opened only, so that I/O follows from the calls alone; for
	// simulations.
	Inline bool
	// Logger defaults to none.
	Logger *slog.Logger
	// OnFlushed is called after memtables have become durable, from a
	// goroutine of the store and without locks; calls may be merged.
	OnFlushed func()
	// OnFatal is called when background work has failed or found corruption:
	// the process must stop. It may be called with locks of Pebble held and must
	// not call the store.
	OnFatal func(error)
	// OnDiskFull is called when background work found the disk full; same rules.
	OnDiskFull func(error)
}

// Store is an open store. Its methods may be called concurrently. Close waits for
// reads and iterators; later ones answer base.ErrClosed.
type Store struct {
	db    *pebble.DB
	cache *pebble.Cache
	opts  Options
	gate  gate
	known presence

	flushed chan struct{}
	failure struct {
		once   sync.Once
		failed chan struct{} // closed behind err
		err    error
	}
	quit  chan struct{}
	done  sync.WaitGroup
	close sync.Once
}

// Open opens the store in o.Dir, or makes it.
func Open(o Options) (*Store, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemtableBytes == 0 {
		o.MemtableBytes = DefaultMemtableBytes
	}
	if o.FilterBytes == 0 {
		o.FilterBytes = DefaultFilterBytes
	}
	if o.filterFirst == 0 {
		o.filterFirst = filterFirst
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: o, gate: newGate(), flushed: make(chan struct{}, 1), quit: make(chan struct{})}
	s.failure.failed = make(chan struct{})
	s.cache = pebble.NewCache(o.CacheBytes + memtablesMax*o.MemtableBytes)
	db, err := pebble.Open(o.Dir, s.pebbleOptions())
	if err != nil {
		s.cache.Unref()
		if errors.Is(err, pebble.ErrCorruption) {
			err = errors.Mark(err, base.ErrCorruption)
		}
		return nil, errors.Wrapf(err, "opening the state in %s", o.Dir)
	}
	s.db = db
	s.settle()
	s.done.Go(s.notify)
	s.known.init(s, o.filterFirst, o.FilterBytes)
	switch {
	case o.ReadOnly:
	case o.Inline:
		if err := s.known.build(s.quit, false); err != nil {
			return nil, errors.CombineErrors(err, s.Close())
		}
	default:
		s.done.Go(func() {
			if err := s.known.run(s.quit); err != nil {
				s.fatal(err)
			}
		})
	}
	return s, nil
}

// l0FilesMax is how many files of flushes may wait for a compaction before writes do.
const l0FilesMax = 32

func (s *Store) pebbleOptions() *pebble.Options {
	stop := l0FilesMax
	if s.opts.Inline { // nobody compacts
		stop = math.MaxInt32
	}
	o := &pebble.Options{
		FS:                          s.opts.FS,
		Cache:                       s.cache,
		DisableWAL:                  true,
		FormatMajorVersion:          formatVersion,
		ErrorIfNotExists:            s.opts.ErrorIfMissing,
		ReadOnly:                    s.opts.ReadOnly,
		DisableAutomaticCompactions: s.opts.Inline,
		MemTableSize:                uint64(s.opts.MemtableBytes),
		MemTableStopWritesThreshold: memtablesMax,
		MaxOpenFiles:                openFilesMax,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       stop,
		LBaseMaxBytes:               64 << 20,
		FlushSplitBytes:             4 << 20,
		BytesPerSync:                1 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: s.backgroundError,
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.fatal(errors.Mark(errors.Wrapf(info.Details, "state file %s is corrupt", info.Path), base.ErrCorruption))
			},
			FlushEnd: func(info pebble.FlushInfo) {
				if info.Err == nil {
					s.wakeNotifier()
				}
			},
		},
	}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = 8 << 10
		l.IndexBlockSize = 32 << 10
		l.FilterPolicy = bloom.FilterPolicy(bloomBits)
		l.FilterType = pebble.TableFilter
	}
	o.Experimental.L0CompactionConcurrency = 4
	return o
}

// backgroundError sorts what a flush or a compaction failed with.
func (s *Store) backgroundError(err error) {
	switch {
	case errors.Is(err, pebble.ErrCancelledCompaction):
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		if s.opts.OnDiskFull != nil {
			s.opts.OnDiskFull(errors.Mark(err, base.ErrDiskFull))
		}
	default:
		s.fatal(err)
	}
}

// fatal tells the first time. Pebble tries for ever.
func (s *Store) fatal(err error) {
	s.failure.once.Do(func() {
		s.opts.Logger.Error("state storage failed", "error", err)
		if s.failure.err = err; s.opts.OnFatal != nil {
			s.opts.OnFatal(err)
		}
		close(s.failure.failed)
	})
}

func (s *Store) wakeNotifier() {
	select {
	case s.flushed <- struct{}{}:
	default:
	}
}

func (s *Store) notify() {
	for {
		select {
		case <-s.quit:
			return
		case <-s.flushed:
			if s.opts.OnFlushed != nil {
				s.opts.OnFlushed()
			}
		}
	}
}

// Close ends background work. What is not flushed is replayed from the raft log.
func (s *Store) Close() (err error) {
	s.close.Do(func() {
		close(s.quit)
		s.done.Wait()
		s.gate.close()
		err = errors.Wrap(s.db.Close(), "closing the state")
		s.cache.Unref()
	})
	return err
}

// logger passes Pebble's messages on.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any) {
	if l.s.opts.Logger.Enabled(context.Background(), slog.LevelDebug) {
		l.s.opts.Logger.Debug(fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.s.opts.Logger.Error(fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble cannot go on; it must not return.
func (l logger) Fatalf(format string, args ...any) {
	err := errors.AssertionFailedf(format, args...)
	l.s.fatal(err)
	panic(err)
}
