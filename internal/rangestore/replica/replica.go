package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/sequencer"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// Options configures a replica. All of it is required unless it says otherwise.
type Options struct {
	Range   base.RangeDescriptor
	Replica base.ReplicaID
	Log     *raftlog.Log
	Disk    Disk
	State   State // of Disk
	Oracle  Oracle
	// OnFatal is called when the replica cannot go on: the process must stop.
	OnFatal func(error)
	// Full reports that only transactions which free space are admitted, given the
	// bytes that are on their way to the log. Optional.
	Full func(ahead int64) bool
	// Faults plants bugs; tests only. Optional.
	Faults Faults
	// PromptCommit lets Kick commit in the caller's goroutine.
	PromptCommit bool
	// Manual means that no loop runs: whoever waits for a commit steps the
	// replica itself. All calls come from one goroutine then.
	Manual bool
	// Pause is called, in a manual replica, at every Point and without locks. What
	// it runs meanwhile is what other goroutines could have done there; whoever
	// waits calls it until the wait is over. Optional; tests only.
	Pause func(Point)
	// WindowAge and WindowBytes default to the values in limits.
	WindowAge   time.Duration
	WindowBytes int64
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
	}
	baseStamp atomic.Uint64 // mirrors win.BaseStamp
	evictions atomic.Uint64 // counts slices written to disk and dropped
	flushTook atomic.Int64  // moving average in nanoseconds

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
	prefetch  base.Stamp // Faults.PrefetchStamp
}

// New opens a replica over its log and disk state. Nothing runs yet: call Step,
// or Start.
func New(o Options) (*Replica, error) {
	if o.WindowAge == 0 {
		o.WindowAge = limits.WindowAge
	}
	if o.WindowBytes == 0 {
		o.WindowBytes = limits.WindowBytes
	}
	r := &Replica{o: o, wake: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	r.mu.win = window.New(o.State.Stamp, o.State.Position)
	r.mu.win.CountUncommitted = o.Faults.CountUncommitted
	r.mu.seq = sequencer.New(r.mu.win, o.Range.Span, o.State.Position)
	r.mu.applied = o.State.Applied
	r.baseStamp.Store(uint64(o.State.Stamp))
	r.loop.applied, r.loop.position, r.loop.stamp = o.State.Applied, o.State.Position, o.State.Stamp
	r.loop.readable = o.State.Readable
	r.evictor.init()
	o.Oracle.Observe(o.State.Stamp)
	group := o.Log.Group(o.Range.ID)
	if last := group.LastIndex(); last < o.State.Readable {
		return nil, errors.Wrapf(base.ErrCorruption,
			"range %d: the log ends at index %d, but the store has applied %d", o.Range.ID, last, o.State.Readable)
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(o.Replica),
		ElectionTick:              10,
		HeartbeatTick:             1,
		Storage:                   raftStorage{group: group, desc: &r.o.Range, applied: o.State.Applied},
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
		return nil, errors.Wrapf(err, "range %d", o.Range.ID)
	}
	r.loop.raft = node
	return r, nil
}

// Descriptor is the range's descriptor.
func (r *Replica) Descriptor() base.RangeDescriptor { return r.o.Range }

// Campaign asks for leadership. It is called before Start, or by whoever calls Step.
func (r *Replica) Campaign() error { return r.loop.raft.Campaign() }

// Serving reports whether the replica may answer: it leads, and has applied an
// entry of its own term and all that its disk relies on (W5, C12).
func (r *Replica) Serving() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.tenure != nil
}

// AwaitServing waits until the replica may answer, has stopped, or ctx ends. It
// is woken by the loop.
func (r *Replica) AwaitServing(ctx context.Context) {
	stop := context.AfterFunc(ctx, r.room.Broadcast)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.tenure == nil && !r.mu.stopped && ctx.Err() == nil {
		r.room.Wait()
	}
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
}

// Stats takes a snapshot of the replica's figures.
func (r *Replica) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{
		Applied: r.mu.applied, Position: r.mu.seq.Position(), WindowBytes: r.mu.win.Bytes(),
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
