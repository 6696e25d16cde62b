package replica

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// TestVoidSplitLosesNoUpdate: an attempt that keeps the range's lock since its first read
// gives it up while it waits for a split; when that turns out to be void, what it has
// read may have changed.
func TestVoidSplitLosesNoUpdate(t *testing.T) {
	log, err := raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "log", Inline: true, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	disk := &memDisk{rows: map[string]string{}}
	disk.state.Range = base.RangeDescriptor{ID: 1, Epoch: 1, Span: base.Span{Start: []byte{1}, End: []byte{0xFF}},
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}}, NextReplica: 2}
	r, err := New(Options{Range: 1, Replica: 1, Node: 1, Log: log, Disk: disk, State: disk.state, Oracle: &counter{},
		OnFatal: func(err error) { t.Error(err) }, Send: func(base.NodeID, *Message) {}})
	if err == nil {
		err = r.Campaign()
	}
	step := func() {
		t.Helper()
		if _, err := r.Step(context.Background()); err != nil { // the test is the loop
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	step()
	k, p := []byte("k"), []byte("p")
	// increment counts at k; who also reads p, on the right side, waits for the split.
	increment := func(hold Hold, wide bool, read func()) bool {
		a := r.NewAttempt()
		for again := false; ; again = true {
			a.Begin(0, hold)
			v, err := a.Get(k)
			n, _ := strconv.Atoi(string(v))
			q := Request{ReadKeys: [][]byte{k}, Mutations: []base.Mutation{{Op: base.OpSet, Key: k, Value: []byte(strconv.Itoa(n + 1))}}}
			if !again {
				read()
			}
			if err == nil && wide {
				q.ReadKeys = append(q.ReadKeys, p)
				_, err = a.Get(p)
			}
			if err == nil {
				_, err = a.Commit(&q)
			}
			if err == nil {
				return true
			}
			if !base.Retryable(err) {
				t.Errorf("%+v", err)
				return false
			}
		}
	}
	done := 0
	for round := range 40 {
		d := r.Descriptor()
		change := Change{Kind: AddLearner, Replica: d.NextReplica, Node: 2}
		if len(d.Replicas) > 1 {
			change = Change{Kind: Remove, Replica: d.Replicas[1].Replica}
		}
		if err := r.ChangeMembers(change); err != nil {
			t.Fatal(err)
		}
		if _, err := r.BeginSplit([]byte("m"), base.RangeID(2+round)); err != nil {
			t.Fatal(err)
		}
		var started, ended sync.WaitGroup
		started.Add(2)
		ended.Go(func() { increment(HoldNever, false, started.Done) })
		ended.Go(func() { increment(HoldAlways, true, started.Done) })
		started.Wait()
		r.mu.Lock() // nobody keeps the lock any more: both wait, or will
		r.mu.Unlock()
		step()
		ended.Wait()
		step()
		done += 2
	}
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	v, err := a.Get(k)
	if err != nil || string(v) != strconv.Itoa(done) {
		t.Errorf("%s of %d updates, %v", v, done, err)
	}
	r.Stop()
}
