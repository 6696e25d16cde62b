package replica

import (
	"fmt"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// raftStorage shows a group of the store's log to etcd/raft.
type raftStorage struct {
	r     *Replica
	group raftlog.Group
}

var _ raft.Storage = raftStorage{}

func (s raftStorage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	// What the disk holds is committed, whatever the hard state says: the commit
	// index is written without being synced.
	onDisk := s.r.mu.onDisk
	hs := &pb.HardState{}
	if h, ok := s.group.HardState(); ok {
		hs.Term, hs.Vote, hs.Commit = new(uint64(h.Term)), new(uint64(h.Vote)), new(uint64(max(h.Commit, onDisk.Applied)))
	}
	commit, err := s.committedAlone(base.LogIndex(hs.GetCommit()), &onDisk)
	if err != nil {
		return nil, nil, err
	}
	if commit > 0 {
		hs.Commit = new(uint64(commit))
	}
	return hs, confState(onDisk.Range.Replicas), nil
}

// committedAlone is the commit index as far as the log itself proves it. What the only
// voter has in its log is committed, up to the entry that makes another one: so a
// replica that comes back with an old configuration and has forgotten its commit
// index cannot elect itself beside those who follow the new one. Behind that entry
// only a quorum's word counts, whatever is known to be committed.
func (s raftStorage) committedAlone(commit base.LogIndex, onDisk *State) (base.LogIndex, error) {
	cs := confState(onDisk.Range.Replicas)
	if len(cs.VotersOutgoing) > 0 || len(cs.Voters) != 1 || cs.Voters[0] != uint64(s.r.o.Replica) {
		return commit, nil
	}
	for proven := onDisk.Applied; proven < s.group.LastIndex(); {
		entries, err := s.group.Entries(nil, proven+1, s.group.LastIndex()+1, replayBytes)
		if err != nil {
			return 0, storageError(err)
		}
		for _, e := range entries {
			proven = e.Index
			commit = max(commit, proven)
			if pb.EntryType(e.Type) != pb.EntryConfChangeV2 {
				continue
			}
			cc := &pb.ConfChangeV2{}
			if err := proto.Unmarshal(e.Data, cc); err != nil {
				return 0, errors.Wrapf(base.ErrCorruption, "entry %d: %v", e.Index, err)
			}
			for _, c := range cc.GetChanges() {
				if c.GetType() == pb.ConfChangeAddNode && !s.r.o.Faults.TrustOwnLog {
					return commit, nil
				}
			}
		}
	}
	return commit, nil
}

// replayBytes is how much of the log is read at a time.
const replayBytes = 1 << 20

func (s raftStorage) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	entries, err := s.group.Entries(nil, base.LogIndex(lo), base.LogIndex(hi), maxSize)
	if err != nil {
		return nil, storageError(err)
	}
	out := make([]*pb.Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		out[i] = &pb.Entry{Term: new(uint64(e.Term)), Index: new(uint64(e.Index)),
			Type: pb.EntryType(e.Type).Enum(), Data: e.Data}
	}
	return out, nil
}

func (s raftStorage) Term(i uint64) (uint64, error) {
	t, err := s.group.Term(base.LogIndex(i))
	return uint64(t), storageError(err)
}

func (s raftStorage) LastIndex() (uint64, error)  { return uint64(s.group.LastIndex()), nil }
func (s raftStorage) FirstIndex() (uint64, error) { return uint64(s.group.FirstIndex()), nil }

// Snapshot is asked for a follower that is too far behind. What it is sent may be
// newer: the copy is made when the message goes out.
func (s raftStorage) Snapshot() (*pb.Snapshot, error) {
	s.r.mu.Lock()
	onDisk := s.r.mu.onDisk
	s.r.mu.Unlock()
	term, err := s.group.Term(onDisk.Applied)
	if err != nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		Index: new(uint64(onDisk.Applied)), Term: new(uint64(term)), ConfState: confState(onDisk.Range.Replicas),
	}}, nil
}

func storageError(err error) error {
	switch {
	case errors.Is(err, raftlog.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, raftlog.ErrUnavailable):
		return raft.ErrUnavailable
	}
	return err
}

// quiet keeps etcd/raft's chatter out of the logs; its panics stay panics.
type quiet struct{}

var _ raft.Logger = quiet{}

func (quiet) Debug(...any)            {}
func (quiet) Debugf(string, ...any)   {}
func (quiet) Error(...any)            {}
func (quiet) Errorf(string, ...any)   {}
func (quiet) Info(...any)             {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warning(...any)          {}
func (quiet) Warningf(string, ...any) {}

func (quiet) Fatal(v ...any)            { panic(contradiction{fmt.Sprint(v...)}) }
func (quiet) Fatalf(f string, v ...any) { panic(contradiction{fmt.Sprintf(f, v...)}) }
func (quiet) Panic(v ...any)            { panic(contradiction{fmt.Sprint(v...)}) }
func (quiet) Panicf(f string, v ...any) { panic(contradiction{fmt.Sprintf(f, v...)}) }

// contradiction is what Raft panics with: what it is told cannot be, above all that
// entries are committed which this replica has acknowledged and has not.
type contradiction struct{ said string }

// contradicted turns a panic of Raft into an error: the log was damaged or lost.
func contradicted(err *error) {
	switch p := recover().(type) {
	case nil:
	case contradiction:
		*err = errors.Mark(errors.AssertionFailedf("raft: %s", p.said), base.ErrCorruption)
	default:
		panic(p)
	}
}
