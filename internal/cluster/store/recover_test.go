package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/identity"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// survivorKeys is how many keys a survivor has in its log and not in its state.
const survivorKeys = 20

// survivor is what is left of a cluster of three: a store of which nobody knows what of
// its log was acknowledged. change, if there is one, is a membership change at the end
// of it.
func survivor(t *testing.T, change *pb.ConfChangeV2) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s, db := manual(t, fs)
	for i := range survivorKeys {
		session := db.NewSession()
		ticket, err := session.Run(setting(fmt.Sprintf("\x04%02d", i), "v"))
		step(t, s)
		if err == nil {
			err = ticket.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Abandon()
	id, err := identity.Load(fs, "data")
	if err != nil {
		t.Fatal(err)
	}
	editState(t, fs, func(d *base.RangeDescriptor) {
		d.Replicas = []base.ReplicaDescriptor{{Node: 1, Replica: 1}, {Node: 2, Replica: 2}, {Node: 3, Replica: 3}}
		d.NextReplica = 4
	})
	log, err := raftlog.Open(raftlog.Options{FS: fs, Dir: "data/log", StoreID: id.Store, SegmentBytes: 1 << 20, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	g := log.Group(1)
	hard, _ := g.HardState()
	w := raftlog.Write{Range: 1, HardState: &raftlog.HardState{Term: hard.Term, Commit: g.FirstIndex() - 1}}
	if change != nil {
		b, err := proto.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		w.Entries = []raftlog.Entry{{Term: hard.Term, Index: g.LastIndex() + 1, Type: uint8(pb.EntryConfChangeV2), Data: b}}
	}
	if err := errors.CombineErrors(log.Append(w), log.Close()); err != nil {
		t.Fatal(err)
	}
	return fs.CrashClone(vfs.CrashCloneCfg{})
}

func setting(key, value string) kv.Closure {
	return kv.Func(func(tx kv.Txn) error {
		tx.Set([]byte(key), []byte(value))
		return nil
	})
}

// editState changes the descriptor of the first range on disk.
func editState(t *testing.T, fs vfs.FS, edit func(*base.RangeDescriptor)) {
	t.Helper()
	state, err := lsm.Open(lsm.Options{FS: fs, Dir: "data/state"})
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := state.RangeState(1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := base.DecodeRangeDescriptor(st.Payload)
	if err != nil {
		t.Fatal(err)
	}
	edit(&d)
	st.Payload = d.Append(nil)
	b := state.NewBatch()
	b.SetRangeState(1, st)
	if err := errors.CombineErrors(errors.CombineErrors(state.Apply(b), state.Flush()), state.Close()); err != nil {
		t.Fatal(err)
	}
}

func recovered(fs vfs.FS) (*store.Recovery, error) {
	rnd := rand.New(rand.NewPCG(3, 5))
	return store.Recover(store.Options{FS: fs, Dir: "data", SegmentBytes: 1 << 20, Random: rnd.Uint64})
}

// servesAlone checks a recovered store, and that it goes on like any other.
func servesAlone(t *testing.T, fs vfs.FS, rec *store.Recovery) {
	t.Helper()
	for round := range 2 {
		s, db := manual(t, fs)
		r := s.Replicas()[0]
		d := r.Descriptor()
		if only, _ := d.On(1); len(s.Replicas()) != 1 || len(d.Replicas) != 1 || only != (base.ReplicaDescriptor{Node: 1, Replica: 1}) || d.NextReplica != 4 {
			t.Fatalf("the range is %+v", d)
		}
		if d.Epoch <= rec.Copies[0].Epoch || !r.Serving() {
			t.Errorf("epoch %d, serving %v", d.Epoch, r.Serving())
		}
		if id := s.Identity(); fmt.Sprintf("%x", id.Cluster) != rec.Cluster || rec.Cluster == rec.OldCluster {
			t.Errorf("cluster %x, recovered as %s from %s", id.Cluster, rec.Cluster, rec.OldCluster)
		}
		for i := range survivorKeys {
			if v := get(t, db, fmt.Sprintf("\x04%02d", i)); v != "v" {
				t.Errorf("key %d is %q", i, v)
			}
		}
		if round == 1 {
			if v := get(t, db, "\x04after"); v != "x" {
				t.Errorf("what was written afterwards is %q", v)
			}
		}
		ticket, err := db.NewSession().Run(setting("\x04after", "x"))
		step(t, s)
		if err = errors.CombineErrors(err, ticket.Wait()); err != nil {
			t.Fatal(err)
		}
		s.Abandon()
	}
	told, err := fs.Open("data/" + store.RecoveredName)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(told); err != nil || strings.Count(b.String(), "\n") != 1 || !strings.Contains(b.String(), rec.Cluster) {
		t.Errorf("%s says %q, %v", store.RecoveredName, &b, err)
	}
}

// tails are membership changes that a survivor's log may end with.
var tails = map[string]*pb.ConfChangeV2{
	"nothing": nil,
	"removed": {Changes: []*pb.ConfChangeSingle{{Type: pb.ConfChangeRemoveNode.Enum(), NodeId: new(uint64(1))}}},
	"joint": {Transition: pb.ConfChangeTransitionAuto.Enum(), Changes: []*pb.ConfChangeSingle{
		{Type: pb.ConfChangeRemoveNode.Enum(), NodeId: new(uint64(1))}, {Type: pb.ConfChangeRemoveNode.Enum(), NodeId: new(uint64(2))}}},
}

var members = map[string]int{"nothing": 3, "removed": 2, "joint": 1}

// TestRecover: everything in the log of a survivor counts, whatever membership change it
// ends with, and the survivor serves alone.
func TestRecover(t *testing.T) {
	for name, change := range tails {
		t.Run(name, func(t *testing.T) {
			fs := survivor(t, change)
			s, _ := manual(t, fs.CrashClone(vfs.CrashCloneCfg{}))
			copies, err := s.Copies()
			if err != nil || len(copies) != 1 || len(copies[0].Replicas) != members[name] || copies[0].LastIndex < survivorKeys || copies[0].Commit >= copies[0].LastIndex {
				t.Fatalf("%+v, %v", copies, err)
			}
			if s.Replicas()[0].Serving() {
				t.Error("it serves without the others")
			}
			s.Abandon()
			rec, err := recovered(fs)
			if err != nil {
				t.Fatalf("%+v", err)
			}
			if c := rec.Copies[0]; c.LastIndex != copies[0].LastIndex || c.Commit != copies[0].Commit || c.LastTerm != copies[0].LastTerm {
				t.Errorf("recorded as %+v, not %+v", c, copies[0])
			}
			if _, err := recovered(fs); !errors.Is(err, store.ErrAlone) {
				t.Errorf("the second time: %v", err)
			}
			servesAlone(t, fs, rec)
		})
	}
}

// TestRecoverCrash: wherever a recovery is interrupted, it has changed nothing, or no
// replica runs before it is finished.
func TestRecoverCrash(t *testing.T) {
	for name, change := range tails {
		t.Run(name, func(t *testing.T) {
			before, stride := survivor(t, change), 1
			if change != nil {
				stride = 3
			}
			undecided, begun, done := 0, 0, 0
			for n, ended := 0, false; !ended; n += stride {
				var after *vfs.MemFS
				mem, written := before.CrashClone(vfs.CrashCloneCfg{}), n%2*100
				cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: written, RNG: rand.New(rand.NewPCG(uint64(n), 7))}
				left := n
				var mu sync.Mutex // files are removed in the background
				fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
					mu.Lock()
					defer mu.Unlock()
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
						if left--; left < 0 && after == nil {
							after = mem.CrashClone(cfg)
						}
					}
					return nil
				}))
				if _, err := recovered(fs); err != nil {
					t.Fatalf("%+v", err)
				}
				if ended = after == nil; ended {
					after = mem.CrashClone(cfg)
				}
				rec, err := store.ReadRecovery(after, "data")
				switch {
				case err != nil:
					t.Fatal(err)
				case rec == nil:
					undecided++
					same(t, before, after)
				case !rec.Done:
					begun++
					if _, err := store.Open(store.Options{FS: after, Dir: "data", Manual: true, OnFatal: func(error) {}}); !errors.Is(err, store.ErrRecovering) {
						t.Fatalf("interrupted at %d, the store opens: %v", n, err)
					}
				default:
					done++
				}
				again, err := recovered(after)
				if rec != nil && rec.Done {
					if !errors.Is(err, store.ErrAlone) {
						t.Fatalf("interrupted at %d: %v", n, err)
					}
					again = rec
				} else if err != nil {
					t.Fatalf("interrupted at %d: %+v", n, err)
				}
				servesAlone(t, after, again)
				if t.Failed() {
					t.Fatalf("interrupted at %d", n)
				}
			}
			if undecided == 0 || begun*stride < 5 || done == 0 {
				t.Errorf("%d before the decision, %d before the end, %d behind it", undecided, begun, done)
			}
		})
	}
}

// same checks that nothing a node would see has changed.
func same(t *testing.T, before, after *vfs.MemFS) {
	t.Helper()
	var copies [2][]store.Copy
	var ids [2]identity.Identity
	for i, fs := range []*vfs.MemFS{before, after} {
		s, _ := manual(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		var err error
		if copies[i], err = s.Copies(); err != nil || s.Replicas()[0].Serving() {
			t.Fatalf("%v, or it serves alone", err)
		}
		ids[i] = s.Identity()
		s.Abandon()
	}
	if ids[0] != ids[1] || fmt.Sprintf("%+v", copies[0]) != fmt.Sprintf("%+v", copies[1]) {
		t.Errorf("%+v was %+v", copies[1], copies[0])
	}
}

// TestNothingToRecover: a store that is alone, or lacks keys, is left as it is.
func TestNothingToRecover(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, _ := manual(t, fs)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := recovered(fs); !errors.Is(err, store.ErrAlone) {
		t.Errorf("alone: %v", err)
	}
	part := survivor(t, nil)
	editState(t, part, func(d *base.RangeDescriptor) { d.Span.End = []byte("\x04m") })
	if _, err := recovered(part); !errors.Is(err, store.ErrIncomplete) {
		t.Errorf("without some keys: %v", err)
	}
	if rec, err := store.ReadRecovery(part, "data"); rec != nil || err != nil {
		t.Errorf("it was decided: %+v, %v", rec, err)
	}
	if _, err := recovered(vfs.NewMem()); err == nil {
		t.Error("a directory without a store was recovered")
	}
}

// TestRecoverRemoved: the log may end with the removal of the survivor, and an
// interrupted recovery may have brought the state that far.
func TestRecoverRemoved(t *testing.T) {
	fs := survivor(t, tails["removed"])
	rec, err := recovered(fs)
	if err != nil {
		t.Fatal(err)
	}
	rec.Done = false
	b, err := json.Marshal(rec)
	if err == nil {
		err = identity.Replace(fs, "data", store.RecoveryName, b)
	}
	if err != nil {
		t.Fatal(err)
	}
	editState(t, fs, func(d *base.RangeDescriptor) {
		d.Replicas = []base.ReplicaDescriptor{{Node: 2, Replica: 2}, {Node: 3, Replica: 3}}
	})
	if _, err := recovered(fs); err != nil {
		t.Fatalf("%+v", err)
	}
	servesAlone(t, fs, rec)
}

// TestRecoverStamps: no stamp that the lost leader may have issued is issued again, also
// where the clock is behind.
func TestRecoverStamps(t *testing.T) {
	fs := survivor(t, nil)
	if _, err := recovered(fs); err != nil {
		t.Fatal(err)
	}
	state, err := lsm.Open(lsm.Options{FS: fs, Dir: "data/state", ReadOnly: true, ErrorIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := state.RangeState(1)
	if err = errors.CombineErrors(err, state.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Options{FS: fs, Dir: "data", SegmentBytes: 1 << 20, Manual: true, Clock: behind{},
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err == nil {
		err = s.Step()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.NextStamp(); err != nil || got <= st.Stamp+replica.IssueReach {
		t.Errorf("stamp %d, %v, after %d", got, err, st.Stamp)
	}
	s.Abandon()
}

// behind is a clock that has stopped long ago.
type behind struct{ clock.System }

func (behind) UnixMicros() int64 { return 1 }
