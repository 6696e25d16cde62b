package replica

import (
	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// FillSnapshot makes the copy that a message with a snapshot brings along. Whoever
// sends the message calls it, when it is sent.
func (r *Replica) FillSnapshot(m *Message) error {
	if err := r.settle(); err != nil {
		return err
	}
	s, err := r.o.Disk.Snapshot()
	if err != nil {
		return err
	}
	term, err := r.o.Log.Group(r.o.Range).Term(s.State.Applied)
	if err != nil {
		return errors.Wrapf(err, "range %d: term of entry %d", r.o.Range, s.State.Applied)
	}
	s.Term = term
	m.SetSnapshot(s)
	return nil
}

// settle brings the disk behind the last membership change: a replica takes no
// snapshot whose configuration does not know it.
func (r *Replica) settle() error {
	for {
		r.mu.Lock()
		want := r.mu.descs[len(r.mu.descs)-1].index
		done := r.mu.onDisk.Applied >= want
		r.mu.win.Seal()
		r.mu.Unlock()
		if done {
			return nil
		}
		if more, err := r.evictOne(); err != nil {
			return err
		} else if !more {
			if err := r.settleEmpty(); err != nil {
				return err
			}
		}
	}
}

// settleEmpty notes on disk what was applied since the window became empty: entries
// without mutations.
func (r *Replica) settleEmpty() error {
	r.lockEviction()
	defer r.unlockEviction()
	r.mu.Lock()
	s := State{Range: r.mu.desc, Applied: r.mu.applied, Position: r.mu.position, Stamp: r.mu.logged, Readable: r.mu.applied}
	empty := r.mu.win.Empty()
	var err error
	if empty {
		s.Table, err = r.tableLocked(s.Applied)
	}
	r.mu.Unlock()
	if !empty || err != nil {
		return err
	}
	if err := r.o.Disk.Write(&window.Eviction{}, s); err != nil {
		return errors.Wrap(err, "settle")
	}
	r.mu.Lock()
	r.mu.onDisk = s
	r.descriptorLocked(s.Applied)
	r.mu.Unlock()
	return nil
}

// SetSnapshot makes the message speak of s.
func (m *Message) SetSnapshot(s *Snapshot) {
	m.Snapshot = s
	m.Raft.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(uint64(s.State.Applied)),
		Term: new(uint64(s.Term)), ConfState: confState(s.State.Range.Replicas)}}
}

// SnapshotSent tells Raft what became of a snapshot for another replica.
func (r *Replica) SnapshotSent(to base.ReplicaID, sent bool) {
	r.Receive(&Message{Range: r.o.Range, From: to, To: r.o.Replica,
		Raft: &pb.Message{Type: pb.MsgSnapStatus.Enum(), From: new(uint64(to)), Reject: new(!sent)}})
}

func (r *Replica) reportSnapshot(m *Message) {
	status := raft.SnapshotFinish
	if m.Raft.GetReject() {
		status = raft.SnapshotFailure
	}
	r.loop.raft.ReportSnapshot(uint64(m.From), status)
}

// install makes a snapshot that Raft has accepted the state of this replica.
func (r *Replica) install(snap *pb.Snapshot) error {
	var s *Snapshot
	for _, in := range r.loop.incoming {
		if uint64(in.State.Applied) == snap.GetMetadata().GetIndex() && uint64(in.Term) == snap.GetMetadata().GetTerm() {
			s = in
		}
	}
	if s == nil {
		return errors.AssertionFailedf("range %d: snapshot at %d without its data", r.o.Range, snap.GetMetadata().GetIndex())
	}
	r.lockEviction()
	defer r.unlockEviction()
	r.alter(true)
	defer r.alter(false)
	if err := r.o.Disk.Install(s); err != nil {
		return errors.Wrapf(err, "range %d: snapshot at %d", r.o.Range, s.State.Applied)
	}
	if err := r.load(s.State); err != nil {
		return errors.Wrapf(err, "range %d: snapshot at %d", r.o.Range, s.State.Applied)
	}
	r.setDescriptor(s.State.Range, s.State.Applied)
	r.moved()
	return nil
}

// lockEviction waits until no slice is on its way to disk, and lets none begin.
func (r *Replica) lockEviction() {
	r.mu.Lock()
	for r.mu.evicting {
		if r.o.Pause != nil {
			r.mu.Unlock()
			r.pause(PointNoRoom)
			r.mu.Lock()
			continue
		}
		r.room.Wait()
	}
	r.mu.evicting = true
	r.mu.Unlock()
}

func (r *Replica) unlockEviction() {
	r.mu.Lock()
	r.mu.evicting = false
	r.room.Broadcast()
	r.mu.Unlock()
}
