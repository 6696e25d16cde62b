package store

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/cluster/oracle"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/internal/storage/identity"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
	"github.com/stratadb/strata/internal/storage/rowcache"
)

// Options configures a store. FS, Dir and OnFatal are required.
type Options struct {
	FS    vfs.FS
	Dir   string
	Clock clock.Clock
	Log   *slog.Logger
	// OnFatal is called, once or more, when the process must stop: what is on
	// disk can no longer be relied on.
	OnFatal func(error)
	// CacheBytes is the block cache of the state, RowCacheBytes the row cache.
	CacheBytes, RowCacheBytes int64
	// SegmentBytes is the size of a log segment.
	SegmentBytes int64
	// ReserveBytes of free disk space are kept for deletions; below it writes
	// that add data are refused. Zero means the default.
	ReserveBytes int64
	// Join makes a new store one of an existing cluster: it begins without ranges.
	Join *Join
	// Send hands a message to a replica on another node; it may be lost. A message
	// with a snapshot is followed by it.
	Send func(to base.NodeID, m *replica.Message)
	// Beat hands a heartbeat of this store to that of another node; it may be lost. Without
	// it no range sleeps. IdleTicks is after how many ticks without anything to do one does,
	// see replica.Options.
	Beat      func(to base.NodeID, b *sleep.Beat)
	IdleTicks int
	// Oracle issues the stamps; it is somebody else's, who closes it. By default the
	// store has its own.
	Oracle *oracle.Local
	// Stamp asks the leader of the first range for a stamp, wherever it is, and calls
	// done at once or later. Required where there may be other nodes.
	Stamp func(done func(base.Stamp, error))
	// QuorumReads makes reads ask a quorum instead of relying on a lease.
	QuorumReads bool
	// PromptCommit lets whoever kicks a range commit in its own goroutine.
	PromptCommit bool
	// Manual starts no goroutines for the replicas: the caller steps them.
	// The log then prepares its segments inline.
	Manual bool
	Random func() uint64 // for ids and the log's seeds; the system's by default
	Faults replica.Faults
	// SleepFaults plants bugs, as Faults does.
	SleepFaults sleep.Faults
	Pause       func(replica.Point) // see replica.Options
	// WindowAge and WindowBytes override limits.WindowAge and WindowBytes, which is for
	// all ranges together.
	WindowAge   time.Duration
	WindowBytes int64
}

// Join says which cluster a new store belongs to, and which of its nodes it is.
type Join struct {
	Cluster [16]byte
	Node    base.NodeID
	Store   base.StoreID // its own id; zero: a random one
}

// firstRange is the range that a new store creates for the whole keyspace.
const firstRange base.RangeID = 1

// Store is an open data directory.
type Store struct {
	o      Options
	id     identity.Identity
	lock   io.Closer
	log    *raftlog.Log
	state  *lsm.Store
	rows   *rowcache.Cache
	oracle *oracle.Local
	// windows is the memory that the ranges share for the writes of the last seconds.
	windows *replica.Budget

	mu struct {
		sync.RWMutex
		ranges map[base.RangeID]*replica.Replica
		sorted []*replica.Replica      // of ranges; nil: they have changed
		stops  map[base.RangeID]func() // of those that run
		turns  map[base.RangeID]*sync.Mutex
		claims map[base.RangeID]base.Span // of snapshots that were delivered and not installed
		// frozen is since when the ranges that this node leads are known to be frozen,
		// merging those that a caller of Merge looks after.
		frozen  map[base.RangeID]time.Duration
		merging map[base.RangeID]bool
	}
	table    atomic.Pointer[[]seat]          // the ranges in the order of their keys
	arranged atomic.Uint64                   // counts the tables
	only     atomic.Pointer[replica.Replica] // of the whole keyspace, while there is one range

	ticking ticking
	sleep   *sleep.Table // nil: no range sleeps
	settler settler
	full    atomic.Bool
	tidying atomic.Bool
	cached  cachedStamp
	led     *replica.Replica // see keepClock
	flush   chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	wait    sync.WaitGroup
}

// newStore is a store of which nothing is open.
func newStore(o Options) *Store {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.WindowBytes == 0 {
		o.WindowBytes = limits.WindowBytes
	}
	s := &Store{o: o, flush: make(chan struct{}, 1), windows: replica.NewBudget(o.WindowBytes)}
	s.mu.ranges, s.mu.stops = map[base.RangeID]*replica.Replica{}, map[base.RangeID]func(){}
	s.mu.turns, s.mu.claims = map[base.RangeID]*sync.Mutex{}, map[base.RangeID]base.Span{}
	s.mu.frozen, s.mu.merging = map[base.RangeID]time.Duration{}, map[base.RangeID]bool{}
	s.ticking.set = map[base.RangeID]*replica.Replica{}
	s.table.Store(new([]seat))
	s.beds()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open opens the store in o.Dir, or makes it, and starts its replicas. It waits
// until they may answer.
func Open(o Options) (_ *Store, err error) {
	s := newStore(o)
	defer func() {
		if err != nil {
			err = errors.CombineErrors(err, s.release())
		}
	}()
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, errors.Wrapf(err, "making the data directory %s", o.Dir)
	}
	if s.lock, err = identity.Lock(o.FS, o.Dir); err != nil {
		return nil, err
	}
	if rec, err := ReadRecovery(o.FS, o.Dir); err != nil {
		return nil, err
	} else if rec != nil && !rec.Done {
		return nil, errors.Wrap(ErrRecovering, o.Dir)
	}
	if err := s.openFiles(); err != nil {
		return nil, err
	}
	if err := s.lifecycle(); err != nil {
		return nil, err
	}
	if err := s.openRanges(); err != nil {
		return nil, err
	}
	if ahead := s.oracle.Ahead(); ahead > 0 && !o.Manual {
		time.Sleep(ahead) // stamps issued before a crash must not lie in the future
	}
	if !o.Manual {
		s.start()
	}
	return s, nil
}

func (s *Store) path(name string) string { return s.o.FS.PathJoin(s.o.Dir, name) }

func (s *Store) openFiles() (err error) {
	fresh := false
	s.id, err = identity.Load(s.o.FS, s.o.Dir)
	if errors.Is(err, identity.ErrNotExist) {
		if err := s.beginCreate(); err != nil {
			return err
		}
		fresh = true
		makeID := identity.New
		if s.o.Random != nil {
			makeID = func() identity.Identity { return identity.NewFrom(s.o.Random) }
		}
		s.id, err = makeID(), nil
		if s.o.Join != nil {
			s.id.Cluster, s.id.Node = s.o.Join.Cluster, s.o.Join.Node
			if s.o.Join.Store != (base.StoreID{}) {
				s.id.Store = s.o.Join.Store
			}
		} else {
			s.id.Cluster, s.id.Node = makeID().Store, 1
		}
	}
	if err != nil {
		return err
	}
	if !fresh {
		_ = s.o.FS.Remove(s.path(newMarker)) // a crash may have kept it
	}
	if err := s.openLog(fresh); err != nil {
		return err
	}
	s.state, err = lsm.Open(lsm.Options{
		FS: s.o.FS, Dir: s.path("state"), CacheBytes: s.o.CacheBytes, ErrorIfMissing: !fresh, Logger: s.o.Log,
		Inline:    s.o.Manual,
		OnFlushed: s.wakeCompactor, OnFatal: s.o.OnFatal, OnDiskFull: func(error) { s.full.Store(true) },
	})
	if err != nil {
		return err
	}
	if s.oracle = s.o.Oracle; s.oracle != nil {
		// nothing to open
	} else if s.oracle, err = oracle.Open(oracle.Options{FS: s.o.FS, Dir: s.o.Dir, Clock: s.o.Clock, Inline: s.o.Manual}); err != nil {
		return err
	}
	if err := s.upgrade(); err != nil {
		return errors.Wrap(err, "upgrading the data directory")
	}
	s.rows = rowcache.New(rowcache.Options{Bytes: s.o.RowCacheBytes, InsertOnUpdate: true})
	if fresh {
		return s.create()
	}
	return nil
}

// openLog opens the raft log. Of a store that exists it first looks at the state,
// without changing it: a log that ends before what the state was built from is
// damaged at its end, and then nothing at all is changed.
func (s *Store) openLog(fresh bool) (err error) {
	inspect := func(map[base.RangeID]base.LogIndex) error { return nil }
	if !fresh {
		state, err := lsm.Open(lsm.Options{FS: s.o.FS, Dir: s.path("state"), ErrorIfMissing: true, ReadOnly: true, Logger: s.o.Log})
		if err != nil {
			return err
		}
		defer func() { err = errors.CombineErrors(err, state.Close()) }()
		inspect = func(last map[base.RangeID]base.LogIndex) error { return s.inspectLog(state, last) }
	}
	s.log, err = raftlog.Open(raftlog.Options{
		FS: s.o.FS, Dir: s.path("log"), StoreID: s.id.Store, SegmentBytes: s.o.SegmentBytes,
		ErrorIfMissing: !fresh, Inline: s.o.Manual, Random: s.o.Random, OnFatal: s.o.OnFatal, Inspect: inspect,
	})
	return err
}

func (s *Store) inspectLog(state *lsm.Store, last map[base.RangeID]base.LogIndex) error {
	return state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		need := max(st.Applied, st.ReadableFrom)
		if st.AppliedTerm != 0 {
			return nil // received as a snapshot: the log may be the one before; see lifecycle
		}
		if last[id] < need {
			return errors.Wrapf(base.ErrCorruption, "the raft log in %s ends at index %d of range %d, but the state was built from index %d: "+
				"its end is damaged; restore the data directory from a backup", s.path("log"), last[id], id, need)
		}
		return nil
	})
}

// newMarker exists while a store is being made for the first time. Without it, a
// directory that has data and no identity is somebody's accident, not ours.
const newMarker = "NEW"

// Unfinished reports whether a store is being made in dir for the first time, or was
// when that was interrupted.
func Unfinished(fs vfs.FS, dir string) bool {
	_, err := fs.Stat(fs.PathJoin(dir, newMarker))
	return err == nil
}

// beginCreate makes the marker. What an interrupted first start has left is
// removed; anything else is refused.
func (s *Store) beginCreate() error {
	fs, marker := s.o.FS, s.path(newMarker)
	interrupted := Unfinished(fs, s.o.Dir)
	for _, name := range []string{"log", "state", oracle.FileName} {
		if _, err := fs.Stat(s.path(name)); err != nil {
			continue
		}
		if !interrupted {
			return errors.Wrapf(base.ErrCorruption, "%s holds data (%s) but its identity file %s is missing: restore it from a backup, "+
				"or start with another data directory", s.o.Dir, name, identity.FileName)
		}
		if err := fs.RemoveAll(s.path(name)); err != nil {
			return errors.Wrap(err, "clearing an interrupted first start")
		}
	}
	f, err := fs.Create(marker, vfs.WriteCategoryUnspecified)
	if err != nil {
		return errors.Wrap(err, "making the store")
	}
	err = errors.CombineErrors(f.Close(), s.syncDir(s.o.Dir))
	if err == nil {
		err = s.syncAncestors()
	}
	return errors.Wrap(err, "making the store")
}

// syncAncestors makes the data directory's own entry durable, and those of the
// directories above it, which may be as new. A directory far above that cannot be
// synced is not ours.
func (s *Store) syncAncestors() error {
	parent := s.o.FS.PathDir(s.o.Dir)
	if err := s.syncDir(parent); err != nil {
		return err
	}
	for dir := s.o.FS.PathDir(parent); dir != parent; dir = s.o.FS.PathDir(parent) {
		if s.syncDir(dir) != nil {
			break
		}
		parent = dir
	}
	return nil
}

func (s *Store) syncDir(dir string) error {
	d, err := s.o.FS.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(d.Sync(), d.Close())
}

// The first range's log begins behind these, so that a replica which has nothing
// is always sent a snapshot first.
const (
	firstIndex base.LogIndex = 10
	firstTerm  base.Term     = 5
)

// create writes the first range of a new store, unless it belongs to a cluster that
// has one. The identity comes last: with it the store exists.
func (s *Store) create() error {
	if s.o.Join == nil {
		d := base.RangeDescriptor{ID: firstRange, Epoch: 1, Span: keyspace.All(),
			Replicas: []base.ReplicaDescriptor{{Node: s.id.Node, Replica: 1}}, NextReplica: 2}
		_, err := s.log.AppendLifecycle(d.ID, raftlog.LifecycleCreate, d.Append(nil))
		if err == nil {
			err = s.log.Append(raftlog.Write{Range: d.ID, Snapshot: &raftlog.Mark{Index: firstIndex, Term: firstTerm},
				HardState: &raftlog.HardState{Term: firstTerm, Commit: firstIndex}})
		}
		if err == nil {
			err = s.log.Flush()
		}
		if err != nil {
			return errors.Wrap(err, "creating the first range")
		}
	}
	if err := identity.Save(s.o.FS, s.o.Dir, s.id); err != nil {
		return err
	}
	return errors.Wrap(s.o.FS.Remove(s.path(newMarker)), "making the store")
}

// lifecycle finishes the steps that the log says were begun.
func (s *Store) lifecycle() error {
	records := s.log.Lifecycles()
	for _, rec := range records {
		var err error
		switch rec.Kind {
		case raftlog.LifecycleCreate:
			err = s.finishCreate(rec)
		case raftlog.LifecycleSnapshot, raftlog.LifecycleSplit:
			err = s.finishSnapshot(rec)
		default:
			err = errors.Wrapf(base.ErrCorruption, "lifecycle record of kind %d for range %d", rec.Kind, rec.Range)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) finishCreate(rec raftlog.LifecycleRecord) error {
	d, err := base.DecodeRangeDescriptor(rec.Payload)
	if err != nil {
		return err
	}
	if _, found, err := s.state.RangeState(rec.Range); err != nil {
		return err
	} else if !found {
		b := s.state.NewBatch()
		b.SetRangeState(rec.Range, encodeState(replica.State{Range: d, Applied: firstIndex, Readable: firstIndex}, 0))
		if err := s.state.Apply(b); err != nil {
			return err
		}
	}
	if err := s.state.Flush(); err != nil {
		return err
	}
	return endStep(s.log, rec.ID)
}

// finishSnapshot ends an installation or a split: the state is the old one, or the new one with the old log.
func (s *Store) finishSnapshot(rec raftlog.LifecycleRecord) error {
	mark, err := decodeMark(rec.Payload)
	if err != nil {
		return err
	}
	st, found, err := s.state.RangeState(rec.Range)
	if err != nil {
		return err
	}
	if found && st.Applied == mark.Index && st.AppliedTerm == mark.Term {
		return finishInstall(s.log, rec.Range, mark, rec.ID)
	}
	return endStep(s.log, rec.ID)
}

// endStep notes that a lifecycle step is done.
func endStep(log *raftlog.Log, id raftlog.LifecycleID) error {
	if err := log.ReleaseLifecycle(id); err != nil {
		return err
	}
	return log.Flush()
}

// openRanges opens the replicas of all ranges whose state is here. What else the log
// knows belongs to replicas that are gone, or to ones that never got a state: what
// those have promised is kept. A replica that knows that it was removed is destroyed.
func (s *Store) openRanges() error {
	var removed []base.RangeDescriptor
	if err := s.state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		state, err := decodeState(st)
		if err == nil {
			state.Table, err = s.state.RangeTable(id)
		}
		if err != nil {
			return err
		}
		self, found := state.Range.On(s.id.Node)
		if !found {
			if !isTombstone(&state) {
				removed = append(removed, state.Range)
			}
			return nil
		}
		r, err := s.openReplica(id, self.Replica, state, false)
		if err != nil {
			return err
		}
		if len(state.Range.Replicas) == 1 {
			return r.Campaign()
		}
		return nil
	}); err != nil {
		return err
	}
	s.arrange()
	for i := range removed {
		if err := s.destroy(&removed[i], removed[i].NextReplica-1); err != nil {
			return err
		}
	}
	for _, id := range s.log.Ranges() {
		if s.Replica(id) == nil && s.log.Group(id).LastIndex() > 0 {
			if err := s.log.Remove(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// destroy deletes the state of this store's replica of a range; its log goes after it,
// now or at the next start. A tombstone stays.
func (s *Store) destroy(d *base.RangeDescriptor, self base.ReplicaID) (err error) {
	b := s.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	spans := rangeParts(*d)
	if d.Span.Empty() { // it never got a state
		spans = nil
	}
	for _, span := range spans {
		b.DeleteRange(span)
	}
	b.DeleteRangeState(d.ID)
	b.SetRangeState(d.ID, encodeState(tombstone(d.ID, self), 0))
	if err := s.state.Apply(b); err != nil {
		return err
	}
	for _, span := range spans {
		s.rows.InvalidateSpan(span)
	}
	return s.state.Flush()
}

// openReplica opens one replica; nothing of it runs yet. The caller arranges the table.
func (s *Store) openReplica(id base.RangeID, self base.ReplicaID, state replica.State, newborn bool) (*replica.Replica, error) {
	var r *replica.Replica
	var err error
	r, err = replica.New(replica.Options{
		Range: id, Replica: self, Node: s.id.Node, Log: s.log, State: state,
		Disk: &disk{store: s, state: s.state, rows: s.rows, log: s.log, id: id, table: state.Table},
		Born: s.born, Moved: s.arrange, Newborn: newborn, Stamps: s.stamps(id),
		Oracle: s.oracle, OnFatal: s.o.OnFatal, Full: s.Full, Faults: s.o.Faults, Pause: s.o.Pause,
		WindowAge: s.o.WindowAge, Windows: s.windows, Manual: s.o.Manual,
		Settler: &s.settler, PromptCommit: s.o.PromptCommit, Clock: s.o.Clock, QuorumReads: s.o.QuorumReads,
		Send:  func(to base.NodeID, m *replica.Message) { s.send(r, to, m) },
		Sleep: s.sleep, IdleTicks: s.o.IdleTicks, Ticking: func(needs bool) { s.needsTicks(r, needs) },
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.mu.ranges[id] = r
	s.mu.sorted = nil
	s.mu.Unlock()
	s.ticking.put(r, true)
	return r, nil
}

func (s *Store) start() {
	replicas := s.Replicas()
	for _, r := range replicas {
		s.run(r)
	}
	s.wait.Go(s.compactor)
	s.wait.Go(func() { every(s.ctx, diskCheckEvery, s.CheckDisk) })
	s.wait.Go(func() {
		s.Heal()
		every(s.ctx, healEvery, s.Heal)
	})
	ticking := s.ctx
	if s.o.Send == nil { // alone there is nobody to hear of once it leads
		var led context.CancelFunc
		ticking, led = context.WithCancel(s.ctx)
		defer led()
	}
	s.wait.Go(func() { every(ticking, replica.TickEvery, s.Tick) })
	if s.o.Stamp != nil {
		s.wait.Go(func() { every(s.ctx, clockEvery, s.keepClock) })
	}
	for _, r := range replicas {
		r.AwaitServing(s.ctx)
	}
}

func (s *Store) run(r *replica.Replica) {
	ctx, cancel := context.WithCancel(s.ctx)
	var ended sync.WaitGroup
	id, _ := r.ID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.ranges[id] != r { // its left neighbour has taken it over
		cancel()
		return
	}
	for _, f := range []func(){func() { r.Run(ctx) }, func() { r.RunEvictor(ctx, s.oracle.Now) }} {
		ended.Add(1)
		s.wait.Go(func() {
			defer ended.Done()
			f()
		})
	}
	s.mu.stops[id] = func() {
		cancel()
		ended.Wait()
	}
}

// Step drives the replicas of a manual store until there is nothing to do.
func (s *Store) Step() error {
	for more := true; more; {
		more = false
		for _, r := range s.Replicas() {
			worked, err := r.Step(s.ctx)
			if err != nil {
				return err
			}
			more = more || worked
		}
	}
	return nil
}

// Maintain does once what a store does in the background: it evicts what has
// left the windows, makes the state durable and shortens the log.
func (s *Store) Maintain() error {
	for _, r := range s.Replicas() {
		if err := r.Evict(s.oracle.Now()); err != nil {
			return err
		}
	}
	if err := s.state.Flush(); err != nil {
		return err
	}
	return s.compact()
}

// ScanStored visits the pairs on disk, without what is still in the windows.
func (s *Store) ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return (&disk{state: s.state}).Scan(span, reverse, visit)
}

// NextStamp asks the leader of the range that issues stamps.
func (s *Store) NextStamp() (base.Stamp, error) {
	r := s.Range(nil)
	if r == nil {
		return 0, base.ErrUnavailable
	}
	if s.o.Faults.CachedStamp {
		return s.cached.next(r.IssueStamp)
	}
	return r.IssueStamp()
}

// Identity says which store this is.
func (s *Store) Identity() identity.Identity { return s.id }

// EstimateSize is a rough count of the bytes in span: on disk.
func (s *Store) EstimateSize(span base.Span) (int64, error) {
	n, err := s.state.EstimateSize(span)
	return n, errors.Wrap(err, "estimate")
}

// MiddleKey halves the bytes on disk of a span; nil if no key does.
func (s *Store) MiddleKey(span base.Span) ([]byte, error) {
	key, err := s.state.MiddleKey(span)
	return key, errors.Wrap(err, "middle key")
}

// FlushState begins to write the state to disk. It does not wait.
func (s *Store) FlushState() {
	if _, err := s.state.FlushAsync(); err != nil {
		s.o.Log.Warn("flushing the state", "error", err)
	}
}

// Tidy begins to rewrite what the disk has of a span, so that nothing of what was removed
// stays. It does not wait; while it is busy with another span it answers false.
func (s *Store) Tidy(span base.Span) bool {
	if !s.tidying.CompareAndSwap(false, true) {
		return false
	}
	tidy := func() {
		defer s.tidying.Store(false)
		if err := s.state.CompactSpan(s.ctx, span); err != nil && s.ctx.Err() == nil {
			s.o.Log.Warn("compacting the state", "error", err)
		}
	}
	if s.o.Manual {
		tidy()
	} else {
		s.wait.Go(tidy)
	}
	return true
}

// Room is what the store has on disk, what it could have, and whether it takes only what
// frees space. The capacity is zero where the file system cannot tell.
func (s *Store) Room() (used, capacity int64, full bool) {
	used = s.log.Metrics().SizeBytes + s.state.Metrics().DiskBytes
	if u, err := s.o.FS.GetDiskUsage(s.o.Dir); err == nil {
		capacity = used + int64(u.AvailBytes)
	}
	return used, capacity, s.Full(0)
}

// Close stops the replicas, writes what is in their windows to disk, so that the
// next start has nothing to replay, and closes the directory.
func (s *Store) Close() error {
	s.settler.close()
	s.cancel()
	s.wait.Wait()
	if s.o.Manual {
		for _, r := range s.Replicas() {
			r.Stop()
		}
	}
	var err error
	for _, r := range s.Replicas() {
		err = errors.CombineErrors(err, r.EvictAll())
	}
	if err == nil {
		err = s.state.Flush()
	}
	if err == nil {
		err = s.compact()
	}
	if err == nil && s.o.Oracle == nil {
		err = s.oracle.Close()
	}
	return errors.CombineErrors(err, s.release())
}

// Abandon ends the store as a crash would: nothing more is written than what is
// on its way. It is for simulations.
func (s *Store) Abandon() { _ = s.release() }

// release closes what is open, in the reverse order of opening.
func (s *Store) release() (err error) {
	s.cancel()
	s.wait.Wait()
	if s.state != nil {
		err = errors.CombineErrors(err, s.state.Close())
	}
	if s.log != nil {
		err = errors.CombineErrors(err, s.log.Close())
	}
	if s.lock != nil {
		err = errors.CombineErrors(err, s.lock.Close())
	}
	return err
}
