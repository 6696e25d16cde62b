package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/sequencer"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// Options configures a replica. All of it is required unless it says otherwise.
type Options struct {
	Range   base.RangeID
	Replica base.ReplicaID
	Log     *raftlog.Log
	Disk    Disk
	State   State // of Disk
	Oracle  Oracle
	// Born is called, by the loop and without locks, when the range was split: the
	// right side's replica, which begins with the state right, may be opened. It
	// should lead if this one does. Required where BeginSplit is called.
	Born func(right State, leads bool) error
	// Moved is called, without locks, when the range's bounds have changed. Optional.
	Moved func()
	// Stamps asks for a batch's stamp and calls done, at once or later, from any
	// goroutine; an error means that it may be asked again. Optional: Oracle issues
	// stamps otherwise. It is for ranges beside the one that issues them for all.
	Stamps func(done func(base.Stamp, error))
	// OnFatal is called when the replica cannot go on: the process must stop.
	OnFatal func(error)
	// Full reports that only transactions which free space are admitted, given the
	// bytes that are on their way to the log. Optional.
	Full func(ahead int64) bool
	// Settler reaches the anchors of transactions over several ranges. Required where
	// a range holds their locks, or else nobody ends those whose coordinator is gone.
	Settler Settler
	// Newborn: the replica was just made by a split, so that there is nothing that
	// it could have promised and forgotten.
	Newborn bool
	// Faults plants bugs; tests only. Optional.
	Faults Faults
	// PromptCommit lets Kick commit in the caller's goroutine.
	PromptCommit bool
	// Node is the node that holds the replica. Send hands a message to another
	// node, and may lose it; it keeps the message. Clock measures leases. They are
	// required where a range has, or may get, more than one replica.
	Node  base.NodeID
	Send  func(to base.NodeID, m *Message)
	Clock clock.Clock
	// QuorumReads asks a quorum for every read instead of relying on a lease.
	QuorumReads bool
	// Sleep is the store's table of ranges that sleep; without it none does. IdleTicks is
	// after how many ticks without anything to do; optional.
	Sleep     *sleep.Table
	IdleTicks int
	// Ticking says whether the replica needs Tick; before it is called it does. It is
	// called without locks. Optional.
	Ticking func(needs bool)
	// Manual means that no loop runs: whoever waits for a commit steps the
	// replica itself. All calls come from one goroutine then.
	Manual bool
	// Pause is called, in a manual replica, at every Point and without locks. What
	// it runs meanwhile is what other goroutines could have done there; whoever
	// waits calls it until the wait is over. Optional; tests only.
	Pause func(Point)
	// WindowAge is how long versions stay readable at least, WindowKeep at most, while there is
	// memory and the range is written to. They default to the values in limits; WindowKeep
	// to WindowAge, where that is set.
	WindowAge, WindowKeep time.Duration
	// Windows is shared by the ranges of a store; one of its own by default.
	Windows *Budget
}

// Faults are the bugs that a test can plant, to prove that its checker sees them.
type Faults struct {
	// ReplyBeforeCommit tells waiters that a batch is committed when it is proposed.
	ReplyBeforeCommit bool
	// SkipSync does not wait for the log to be durable.
	SkipSync bool
	// SkipValidation commits without looking at the read set.
	SkipValidation bool
	// IgnoreTail answers reads from the committed state, as if nothing were in flight.
	IgnoreTail bool
	// AnswerAbsentEarly does not wait for the deletion that makes a key absent.
	AnswerAbsentEarly bool
	// PrefetchStamp asks for a batch's stamp when the batch is opened.
	PrefetchStamp bool
	// UnknownIsOlder validates as if a stamp that is not known were an old one.
	UnknownIsOlder bool
	// SnapshotNoWait reads a snapshot beside the batches that belong to it.
	SnapshotNoWait bool
	// CachedStamp gives the same read stamp again and again.
	CachedStamp bool
	// TrustReads does not validate a transaction without writes.
	TrustReads bool
	// ForgetResults repeats a write that is delivered again.
	ForgetResults bool
	// VoteAtOnce takes part in elections right after a restart.
	VoteAtOnce bool
	// TrustOwnLog takes all of its log for committed, behind a second voter, too.
	TrustOwnLog bool
	// KeepLease does not give up the lease when leadership is handed over.
	KeepLease bool
	// TrustLeader answers reads without lease or proof.
	TrustLeader bool
	// ReadIgnoresLocks reads beside the write locks of prepared transactions.
	ReadIgnoresLocks bool
	// BlindWritePassesLock sequences a transaction without reads beside locks.
	BlindWritePassesLock bool
	// NoReadLocks prepares without locking what was read.
	NoReadLocks bool
	// PreparedBeforeCommit answers a prepare when it is sequenced.
	PreparedBeforeCommit bool
	// ResolveByBatchStamp installs with the stamp of the resolve's batch.
	ResolveByBatchStamp bool
	// PassUndecided lets a latest read pass a write lock whose transaction is undecided
	// at its anchor.
	PassUndecided bool
	// ConcludeUnstamped takes a commit stamp behind transactions that have none yet.
	ConcludeUnstamped bool
	// PlainWaiting lets every prepare wait for locks, older holders' too.
	PlainWaiting bool
	// LeaseAtStep judges by the lease as it was when the loop last turned.
	LeaseAtStep bool
	// IgnoreBounds does not notice that a split has taken keys away.
	IgnoreBounds bool
	// ServeFrozen goes on reading after a freeze.
	ServeFrozen bool
	// HandOverAtOnce hands leadership over without a regard to what is in flight.
	HandOverAtOnce bool
	// ThawAtOnce thaws without a proof that the left range has refused.
	ThawAtOnce bool
	// SwapStamps gives every second batch a later stamp than the one behind it (C1). The
	// log asserts that they grow: that is what sees it.
	SwapStamps bool
	// Table is what the table of transactions over several ranges does wrong.
	Table prepared.TableFaults
	// ForgetRightTable does not unite the tables of two ranges.
	ForgetRightTable bool
	// CountUncommitted lets an evicted version die in memory although its
	// successor may vanish.
	CountUncommitted bool
}

// Replica is one replica of a range.
type Replica struct {
	o    Options
	wake chan struct{} // the loop has work
	room *sync.Cond    // on mu: speculation has shrunk, or leadership changed

	mu struct {
		sync.Mutex
		win     *window.Window
		seq     *sequencer.Sequencer
		tenure  *tenure // nil while this replica must not answer
		watches watches
		wants   []want
		applied base.LogIndex
		stopped bool
		waits   lockWaits
		stored  storedTable

		leader   base.NodeID // zero: not known
		inbox    []*Message
		brought  []*Replica // see bring
		desc     base.RangeDescriptor
		bounds   uint64         // counts the changes of desc.Span
		descs    []descriptorAt // since what is on disk
		unproven []*confirmation
		onDisk   State
		evicting bool // a slice is on its way to disk
		cutting  bool // a split or a merge is being applied
		leaving  bool // leadership is about to be handed over
		altering bool // a change of the range, or a snapshot, is being applied
		yielded  bool // the left neighbour has the range's keys
		answer   stampAnswer
		meter    meter
		logged   base.Stamp    // of the last applied batch
		position base.Position // of its last transaction
		readable base.LogIndex // W5
		budgeted budgeted
		settled  settled
		covering covering

		gathering gathering
	}
	solo      atomic.Bool // nobody else votes; changes with mu held
	serving   atomic.Bool // there is a tenure; changes with mu held
	ticked    atomic.Bool
	removed   atomic.Bool   // changes with mu held
	baseStamp atomic.Uint64 // mirrors win.BaseStamp; above it after a restart (W5)
	evictions atomic.Uint64 // counts slices written to disk and dropped
	flushTook atomic.Int64  // moving average in nanoseconds
	// leaseUntil is the end of the leader's lease by Clock.Elapsed.
	leaseUntil atomic.Int64
	asleep     atomic.Pointer[sleep.Sleep] // of a leader
	stepped    atomic.Int64                // Faults.LeaseAtStep

	// patient is the last position of an open batch that can wait.
	patient atomic.Uint64

	driving sync.Mutex // guards loop; never taken with mu held
	loop    loopState
	evictor
}

// want is a versionstamp that somebody is waiting for.
type want struct {
	batch uint64
	place uint16
	out   *base.Versionstamp
}

// loopState belongs to the goroutine that makes a step.
type loopState struct {
	raft      *raft.RawNode
	stopped   bool
	leading   bool
	term      base.Term
	lead      *tenure // of this term, before it may serve and while it does
	inFlight  []inFlight
	applied   base.LogIndex
	position  base.Position // of the last applied transaction
	stamp     base.Stamp    // of the last applied batch
	lastStamp base.Stamp    // of the last proposed batch
	readable  base.LogIndex // W5
	entries   []raftlog.Entry
	woken     []base.Waiter
	desc      base.RangeDescriptor
	nodes     map[base.ReplicaID]base.NodeID // of replicas that were heard
	notices   notices
	lease     lease
	proofs    proofs
	handover  handover
	quiet     time.Duration // no elections before that moment of the clock
	incoming  []*Snapshot   // of messages that Raft has just got
	prefetch  base.Stamp    // Faults.PrefetchStamp
	swapped   base.Stamp    // Faults.SwapStamps
	eager     int           // see lead
	asking    asking
	lonely    int  // ticks since a leader was heard
	ticking   bool // the store was told so
	rest      resting
	shared    shared
	stepping  bool // a step is being made
	yielded   bool // the left neighbour has taken the loop's place
}

// New opens a replica over its log and disk state. Nothing runs yet: call Step,
// or Start.
func New(o Options) (*Replica, error) {
	if o.WindowAge == 0 {
		o.WindowAge, o.WindowKeep = limits.WindowAge, limits.WindowKeep
	}
	o.WindowKeep = max(o.WindowKeep, o.WindowAge)
	if o.Windows == nil {
		o.Windows = NewBudget(limits.WindowBytes)
	}
	if o.IdleTicks == 0 {
		o.IdleTicks = idleTicks
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	r := &Replica{o: o, wake: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	r.loop.nodes, r.loop.notices, r.loop.ticking = map[base.ReplicaID]base.NodeID{}, notices{}, true
	r.loop.lease.acks = map[base.ReplicaID]time.Duration{}
	if !o.Newborn {
		r.loop.quiet = o.Clock.Elapsed() + quietFor
	}
	if err := r.load(o.State); err != nil {
		return nil, errors.Wrapf(err, "range %d", o.Range)
	}
	r.evictor.init(o.Pause != nil)
	group := o.Log.Group(o.Range)
	if last := group.LastIndex(); last < o.State.Applied || !o.State.Received && last < o.State.Readable {
		return nil, errors.Wrapf(base.ErrCorruption,
			"range %d: the log ends at index %d, but the store has applied %d", o.Range, last, o.State.Readable)
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(o.Replica),
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   raftStorage{r: r, group: group},
		Applied:                   uint64(o.State.Applied),
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  64 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    quiet{},
	})
	if err != nil {
		return nil, errors.Wrapf(err, "range %d", o.Range)
	}
	r.loop.raft = node
	r.setDescriptor(o.State.Range, o.State.Applied)
	return r, nil
}

// load makes what the disk holds the state of the replica.
func (r *Replica) load(s State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.win = window.New(s.Stamp, s.Position)
	r.mu.win.CountUncommitted, r.mu.win.InstallByBatch = r.o.Faults.CountUncommitted, r.o.Faults.ResolveByBatchStamp
	r.mu.seq = sequencer.New(r.mu.win, s.Range.Span, s.Position)
	r.mu.seq.SetFrozen(s.Range.Frozen != base.Freeze{})
	r.accountLocked()
	r.mu.bounds++
	r.mu.applied, r.mu.onDisk, r.mu.descs = s.Applied, s, nil
	r.mu.logged, r.mu.position, r.mu.readable = s.Stamp, s.Position, s.Readable
	r.baseStamp.Store(uint64(s.Stamp))
	r.loop.applied, r.loop.position, r.loop.stamp, r.loop.readable = s.Applied, s.Position, s.Stamp, s.Readable
	r.o.Oracle.Observe(s.Stamp)
	return r.loadTableLocked(s.Table)
}

// Descriptor is the range's descriptor.
func (r *Replica) Descriptor() base.RangeDescriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.desc
}

// ID is the range's id and the replica's.
func (r *Replica) ID() (base.RangeID, base.ReplicaID) { return r.o.Range, r.o.Replica }

// Removed reports whether the replica knows that it is no longer one of its range.
func (r *Replica) Removed() bool { return r.removed.Load() }

// Leader is the node that leads, as far as this replica knows; zero if it knows none.
func (r *Replica) Leader() base.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.leader
}

// Receive takes a message from another replica of the range, and keeps it.
func (r *Replica) Receive(m *Message) {
	if r.Take(m) {
		r.signal()
	}
}

// Take is Receive for those who call Attend afterwards, if it answers true.
func (r *Replica) Take(m *Message) bool {
	r.mu.Lock()
	full := len(r.mu.inbox) >= inboxMax || r.mu.stopped
	if !full {
		r.mu.inbox = append(r.mu.inbox, m)
	}
	r.mu.Unlock()
	if full && m.Snapshot != nil && m.Snapshot.Done != nil {
		m.Snapshot.Done()
	}
	return !full
}

// inboxMax bounds the messages that a replica has not yet looked at; Raft sends
// again what is lost.
const inboxMax = 4096

// Tick is called every TickEvery while the replica needs it, see Options.Ticking.
func (r *Replica) Tick() {
	r.ticked.Store(true)
	r.signal()
}

// Campaign asks for leadership. It is called before Start, or by whoever calls Step.
func (r *Replica) Campaign() error { return r.loop.raft.Campaign() }

// Serving reports whether the replica may answer: it leads, and has applied an
// entry of its own term and all that its disk relies on (W5, C12).
func (r *Replica) Serving() bool { return r.serving.Load() }

// AwaitServing waits until the replica may answer, has stopped, knows that others
// may answer, too, or ctx ends. It is woken by the loop.
func (r *Replica) AwaitServing(ctx context.Context) {
	if r.o.Manual {
		r.pauseServing()
		return
	}
	stop := context.AfterFunc(ctx, r.room.Broadcast)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.tenure == nil && !r.mu.stopped && len(r.mu.desc.Replicas) == 1 && ctx.Err() == nil {
		if !r.o.Manual {
			r.room.Wait()
			continue
		}
		if r.o.Pause == nil {
			return
		}
		r.mu.Unlock()
		r.pause(PointWaiting)
		r.mu.Lock()
	}
}

// AwaitBorn waits for a replica that a split has just made, where it is the only one:
// it leads in a moment.
func (r *Replica) AwaitBorn() {
	if r.Serving() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.LeaderWait)
	defer cancel()
	r.AwaitServing(ctx)
}

// Stats describes the replica for metrics.
type Stats struct {
	Applied       base.LogIndex
	Position      base.Position // last sequenced
	WindowBytes   int64
	WindowEntries int
	Carried       int
	Speculative   int64
	Serving       bool
	Term          base.Term // since when it serves; else zero
}

// Stats takes a snapshot of the replica's figures.
func (r *Replica) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	term := base.Term(0)
	if r.mu.tenure != nil {
		term = r.mu.tenure.term
	}
	return Stats{
		Term: term, Applied: r.mu.applied, Position: r.mu.seq.Position(), WindowBytes: r.mu.win.Bytes(),
		WindowEntries: r.mu.win.Entries(), Carried: r.mu.win.Carried(),
		Speculative: r.mu.seq.Speculative(), Serving: r.mu.tenure != nil,
	}
}

func (r *Replica) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
