package replica

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// alone makes the only replica of a range, which leads.
func alone(t *testing.T, o Options) *Replica {
	t.Helper()
	log, err := raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "log", Inline: true, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	disk := &memDisk{rows: map[string]string{}}
	disk.state.Range = base.RangeDescriptor{ID: 2, Epoch: 1, Span: base.Span{Start: []byte{1}, End: []byte{0xFF}},
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}}, NextReplica: 2}
	o.Range, o.Replica, o.Node, o.Log, o.Disk, o.State, o.Oracle = 2, 1, 1, log, disk, disk.state, &counter{}
	o.Manual, o.OnFatal, o.Send = true, func(err error) { t.Error(err) }, func(base.NodeID, *Message) {}
	r, err := New(o)
	if err == nil {
		err = r.Campaign()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFarOracle: stamps that are longer on their way than a question waits before it is
// asked again are as good as others, as long as they were asked for behind the batch.
func TestFarOracle(t *testing.T) {
	type question struct {
		at   int
		done func(base.Stamp, error)
	}
	const way = 3 * askAgain
	var questions []question
	now, stamp := 0, base.Stamp(1<<20)
	r := alone(t, Options{Stamps: func(done func(base.Stamp, error)) { questions = append(questions, question{now, done}) }})
	defer r.Stop()
	step := func() {
		t.Helper()
		now++
		r.Tick()
		for len(questions) > 0 && questions[0].at+way <= now {
			stamp++
			questions[0].done(stamp, nil)
			questions = questions[1:]
		}
		for worked := true; worked; {
			var err error
			if worked, err = r.Step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	for range 3 { // answers to old questions are under way when the next batch is closed
		a := r.NewAttempt()
		a.Begin(0, HoldNever)
		rec, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}})
		if err != nil {
			t.Fatal(err)
		}
		asked := now
		for !rec.Ticket.Done() && now < asked+4*way {
			step()
		}
		if took := now - asked; !rec.Ticket.Done() || took < way {
			t.Fatalf("done: %v, after %d ticks", rec.Ticket.Done(), took)
		}
	}
}

// TestFarQuorum: the answer to a question proves what it covers, although it was asked
// again meanwhile, and nothing that came later.
func TestFarQuorum(t *testing.T) {
	r := alone(t, Options{})
	defer r.Stop()
	answer := func(n uint64) { r.answered([]raft.ReadState{{RequestCtx: binary.BigEndian.AppendUint64(nil, n)}}) }
	early, late := &confirmation{asked: 4}, &confirmation{asked: 5}
	r.loop.proofs = proofs{asked: 5, open: true, covers: []*confirmation{early, late}}
	answer(3)
	if early.Committed() != 0 {
		t.Error("proven by a question from before it")
	}
	answer(4)
	if early.Committed() != 1 || late.Committed() != 0 || !r.loop.proofs.open {
		t.Errorf("the first: %d, the second: %d, open: %v", early.Committed(), late.Committed(), r.loop.proofs.open)
	}
	answer(5)
	if late.Committed() != 1 || r.loop.proofs.open {
		t.Error("not proven by the last question")
	}
}

// TestStampsTogether: one proof of leadership does for all stamps of a question.
func TestStampsTogether(t *testing.T) {
	r := alone(t, Options{QuorumReads: true})
	defer r.Stop()
	for worked := true; worked; {
		var err error
		if worked, err = r.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r.solo.Store(false) // so that it has to ask
	before := r.loop.proofs.asked
	list, err := r.IssueStamps(100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list[1:] {
		if list[i] >= list[i+1] {
			t.Fatalf("%d, then %d", list[i], list[i+1])
		}
	}
	if asked := r.loop.proofs.asked - before; len(list) != 100 || asked > 2 {
		t.Errorf("%d stamps, %d proofs", len(list), asked)
	}
}

// TestWaitForALostWrite: who only reads has no outcome that could be unknown.
func TestWaitForALostWrite(t *testing.T) {
	var r *Replica
	step := func() {
		for worked := true; worked; {
			var err error
			if worked, err = r.Step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r = alone(t, Options{Pause: func(p Point) {
		if p == PointWaiting {
			r.endTenure()
		}
	}})
	defer r.Stop()
	step()
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	key, value := []byte("k"), make([]byte, base.VersionstampLen+4) // which is not known before the stamp
	if _, err := a.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSetVersionstampedValue, Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
	a.Begin(0, HoldNever)
	if v, err := a.Get(key); !errors.Is(err, base.ErrConflict) {
		t.Errorf("%q, %v", v, err)
	}
}

// TestStampAfterHandover: a leader that hands over while it makes room for a stamp does not
// lead any more, which is what it says: others are asked then.
func TestStampAfterHandover(t *testing.T) {
	var r *Replica
	r = alone(t, Options{Pause: func(p Point) {
		if p == PointNoRoom {
			r.endTenure()
		}
	}})
	defer r.Stop()
	for worked := true; worked; {
		var err error
		if worked, err = r.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r.o.Oracle.Observe(r.mu.logged + 2*IssueReach) // the next one is not within reach
	r.mu.leaving = true
	if s, err := r.IssueStamp(); !errors.Is(err, base.ErrUnavailable) || errors.Is(err, base.ErrConflict) {
		t.Errorf("%d, %v", s, err)
	}
}
