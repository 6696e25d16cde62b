package replica

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// neighbours makes ranges of one store, whose only replicas lead.
func neighbours(t *testing.T, n int) (list []*Replica, log *raftlog.Log) {
	t.Helper()
	log, err := raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "log", SegmentBytes: 1 << 20, OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	oracle := &counter{}
	for i := range n {
		disk := &memDisk{rows: map[string]string{}}
		disk.state.Range = base.RangeDescriptor{ID: base.RangeID(i + 2), Epoch: 1, Span: base.Span{Start: []byte{1}, End: []byte{0xFF}},
			Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}}, NextReplica: 2}
		r, err := New(Options{Range: base.RangeID(i + 2), Replica: 1, Node: 1, Log: log, Disk: disk, State: disk.state, Oracle: oracle,
			PromptCommit: true, OnFatal: func(err error) { t.Error(err) }, Send: func(base.NodeID, *Message) {}})
		if err == nil {
			err = r.Campaign()
		}
		for worked := true; worked && err == nil; {
			worked, err = r.Step(context.Background())
		}
		if err != nil || !r.Serving() {
			t.Fatal(err)
		}
		t.Cleanup(r.Stop)
		list = append(list, r)
	}
	return list, log
}

func (r *Replica) testWrite(t *testing.T) base.Ticket {
	t.Helper()
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	rec, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}, Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	return rec.Ticket
}

// TestKickTogether: what was sequenced in several ranges is committed with one flush. Who
// is driven by somebody else is left to its loop.
func TestKickTogether(t *testing.T) {
	list, log := neighbours(t, 4)
	var tickets []base.Ticket
	for _, r := range list {
		tickets = append(tickets, r.testWrite(t))
	}
	busy := list[1]
	busy.driving.Lock()
	before := log.Metrics().Flushes
	Kick(append([]*Replica(nil), list...))
	busy.driving.Unlock()
	for i, ticket := range tickets {
		if ticket.Done() != (list[i] != busy) {
			t.Errorf("range %d: committed %v", i, ticket.Done())
		}
	}
	if n := log.Metrics().Flushes - before; n != 1 {
		t.Errorf("%d flushes", n)
	}
	select {
	case <-busy.wake:
	default:
		t.Error("the loop was not woken")
	}
}

// TestTogetherIsLight: who makes the steps of several ranges does not apply a change of a
// range, nor what follows it, nor a snapshot.
func TestTogetherIsLight(t *testing.T) {
	list, _ := neighbours(t, 2)
	r := list[0]
	if err := r.ChangeMembers(Change{Kind: AddLearner, Replica: 2, Node: 2}); err != nil {
		t.Fatal(err)
	}
	ticket, other := r.testWrite(t), list[1].testWrite(t)
	r.Take(&Message{Range: r.o.Range, From: 2, To: 1, Node: 2, Snapshot: &Snapshot{},
		Raft: &pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(1))}})
	<-r.wake
	Commit([]*Replica{r, list[1]})
	if n := len(r.Descriptor().Replicas); n != 1 || ticket.Done() || len(r.mu.inbox) != 1 || len(r.loop.shared.later) == 0 {
		t.Errorf("%d replicas, committed %v, %d messages and %d applications are left", n, ticket.Done(), len(r.mu.inbox), len(r.loop.shared.later))
	}
	if !other.Done() {
		t.Error("the other range has not committed")
	}
	if !woken(r) {
		t.Fatal("the loop was not woken")
	}
	r.mu.inbox = nil // it is of no leader
	for worked := true; worked; {
		var err error
		if worked, err = r.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.Descriptor().Replicas); n != 2 || !ticket.Done() {
		t.Errorf("%d replicas, committed %v", n, ticket.Done())
	}
}

func woken(r *Replica) bool {
	select {
	case <-r.wake:
		return true
	default:
		return false
	}
}

// TestAttend: the reader of a connection lets a leader hear of its followers, and flushes
// nothing; for the rest it wakes one loop, which makes all steps together.
func TestAttend(t *testing.T) {
	list, log := neighbours(t, 3)
	before := log.Metrics().Flushes
	write := list[0].testWrite(t)
	list[0].Take(&Message{Range: list[0].o.Range, From: 2, To: 1, Node: 2,
		Raft: &pb.Message{Type: pb.MsgAppResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(1))}})
	Attend([]*Replica{list[0]})
	if len(list[0].mu.inbox) != 0 || write.Done() || !woken(list[0]) {
		t.Errorf("%d answers are left, committed %v, or the loop sleeps", len(list[0].mu.inbox), write.Done())
	}
	var tickets []base.Ticket
	receive := func(r *Replica) { // of an earlier term
		r.Take(&Message{Range: r.o.Range, From: 2, To: 1, Node: 2,
			Raft: &pb.Message{Type: pb.MsgApp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(0))}})
	}
	for _, r := range list {
		tickets = append(tickets, r.testWrite(t))
		receive(r)
	}
	Attend(append([]*Replica(nil), list...))
	if n := log.Metrics().Flushes - before; n != 0 || !woken(list[0]) || woken(list[1]) || woken(list[2]) {
		t.Errorf("%d flushes by a reader, or other loops than the first are awake", n)
	}
	list[0].driveBrought()
	for i, ticket := range tickets {
		if !ticket.Done() {
			t.Errorf("range %d has not committed", i)
		}
	}
	if n := log.Metrics().Flushes - before; n != 1 {
		t.Errorf("%d flushes", n)
	}
	for _, r := range list {
		receive(r)
	}
	list[0].Stop()
	Attend([]*Replica{list[0], list[1], list[2]})
	if !woken(list[1]) || !woken(list[2]) {
		t.Error("they were left to a loop that has ended")
	}
}
