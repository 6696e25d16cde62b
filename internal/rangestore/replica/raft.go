package replica

import (
	"fmt"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// raftStorage shows a group of the store's log to etcd/raft.
type raftStorage struct {
	group raftlog.Group
	desc  *base.RangeDescriptor
	// applied is what the disk holds. It is committed, whatever the hard state
	// says: the commit index is written without being synced.
	applied base.LogIndex
}

var _ raft.Storage = raftStorage{}

func (s raftStorage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hs := &pb.HardState{}
	if h, ok := s.group.HardState(); ok {
		hs.Term, hs.Vote, hs.Commit = new(uint64(h.Term)), new(uint64(h.Vote)), new(uint64(max(h.Commit, s.applied)))
	}
	cs := &pb.ConfState{}
	for _, r := range s.desc.Replicas {
		cs.Voters = append(cs.Voters, uint64(r.Replica))
	}
	return hs, cs, nil
}

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

// Snapshot is asked for by a follower that is too far behind; the only voter has none.
func (s raftStorage) Snapshot() (*pb.Snapshot, error) {
	return nil, raft.ErrSnapshotTemporarilyUnavailable
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

func (quiet) Fatal(v ...any)            { panic(errors.AssertionFailedf("raft: %s", fmt.Sprint(v...))) }
func (quiet) Fatalf(f string, v ...any) { panic(errors.AssertionFailedf("raft: "+f, v...)) }
func (quiet) Panic(v ...any)            { panic(errors.AssertionFailedf("raft: %s", fmt.Sprint(v...))) }
func (quiet) Panicf(f string, v ...any) { panic(errors.AssertionFailedf("raft: "+f, v...)) }
