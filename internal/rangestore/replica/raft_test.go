package replica

import (
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// TestCommittedAlone: a replica whose disk knows only itself takes for committed what
// its log proves, which is all of it up to the entry that makes a second voter, and
// nothing behind that but what a quorum had told it.
func TestCommittedAlone(t *testing.T) {
	const (
		applied = base.LogIndex(10)
		voter   = base.LogIndex(14) // makes the second one
		last    = base.LogIndex(20) // that the replica has flushed
	)
	alone := []base.ReplicaDescriptor{{Node: 1, Replica: 1}}
	joint := []base.ReplicaDescriptor{{Node: 1, Replica: 1}, {Node: 2, Replica: 2, Role: base.Outgoing}}
	for _, c := range []struct {
		name     string
		replicas []base.ReplicaDescriptor
		change   pb.ConfChangeType
		known    base.LogIndex // to be committed
		want     base.LogIndex
	}{
		{"the second voter bounds what is proven", alone, pb.ConfChangeAddNode, 10, voter},
		{"the hard state was ahead of the disk", alone, pb.ConfChangeAddNode, 12, voter},
		{"behind the second voter a quorum counts", alone, pb.ConfChangeAddNode, 17, 17},
		{"a learner does not vote", alone, pb.ConfChangeAddLearnerNode, 10, last},
		{"a voter that leaves still counts", joint, pb.ConfChangeRemoveNode, 12, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "log", Inline: true, SegmentBytes: 1 << 20,
				OnFatal: func(err error) { t.Error(err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.Close() }()
			change, err := proto.Marshal(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{{Type: c.change.Enum(), NodeId: new(uint64(2))}}})
			if err != nil {
				t.Fatal(err)
			}
			w := raftlog.Write{Range: 1, Snapshot: &raftlog.Mark{Index: applied, Term: 5},
				HardState: &raftlog.HardState{Term: 6, Commit: c.known}}
			for i := applied + 1; i <= last; i++ {
				e := raftlog.Entry{Term: 6, Index: i}
				if i == voter {
					e.Type, e.Data = uint8(pb.EntryConfChangeV2), change
				}
				w.Entries = append(w.Entries, e)
			}
			if err := log.Append(w); err != nil {
				t.Fatal(err)
			}
			r, err := New(Options{Range: 1, Replica: 1, Node: 1, Log: log, Disk: &memDisk{}, Oracle: &counter{}, Manual: true,
				OnFatal: func(err error) { t.Error(err) },
				State:   State{Applied: applied, Range: base.RangeDescriptor{ID: 1, Epoch: 1, Replicas: c.replicas}}})
			if err != nil {
				t.Fatal(err)
			}
			if got := base.LogIndex(r.loop.raft.BasicStatus().GetCommit()); got != c.want {
				t.Errorf("committed up to %d, want %d", got, c.want)
			}
		})
	}
}

// TestContradictedByLeader: a leader that tells of entries which this replica has
// acknowledged, and has not any more, ends the replica with an error, not the process.
func TestContradictedByLeader(t *testing.T) {
	log, err := raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "log", Inline: true, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if err := log.Append(raftlog.Write{Range: 1, Snapshot: &raftlog.Mark{Index: 10, Term: 5},
		HardState: &raftlog.HardState{Term: 6, Commit: 10}}); err != nil {
		t.Fatal(err)
	}
	d := base.RangeDescriptor{ID: 1, Epoch: 1, Span: base.Span{End: []byte{0xFF}}, NextReplica: 3,
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}, {Node: 2, Replica: 2}}}
	r, err := New(Options{Range: 1, Replica: 1, Node: 1, Log: log, Disk: &memDisk{}, Oracle: &counter{}, Manual: true,
		State: State{Range: d, Applied: 10}})
	if err != nil {
		t.Fatal(err)
	}
	r.Receive(&Message{Range: 1, From: 2, To: 1, Node: 2, Raft: &pb.Message{Type: pb.MsgHeartbeat.Enum(),
		From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(6)), Commit: new(uint64(20))}})
	if _, err := r.Step(t.Context()); !errors.Is(err, base.ErrCorruption) {
		t.Errorf("the replica says %v", err)
	}
}
