package kvrange_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/kv/kvtest"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// node is one of several in this process, on a real transport.
type node struct {
	store  *store.Store
	client *remote.Client
	engine *kvrange.Engine
	db     *kv.DB
	sender atomic.Pointer[remote.Client]
}

// nodes are three, each of which holds a replica of every range.
type nodes struct {
	t    *testing.T
	list [3]*node
}

// startNodes makes three nodes and cuts the keyspace at keys; the ranges are led by the
// nodes in turn.
func startNodes(t *testing.T, keys ...string) *nodes {
	t.Helper()
	return startNodesWith(t, false, keys...)
}

// startNodesWith is startNodes where reads may ask a quorum instead of relying on a lease.
func startNodesWith(t *testing.T, quorum bool, keys ...string) *nodes {
	t.Helper()
	c := &nodes{t: t}
	book, log := &addresses{}, slog.New(slog.DiscardHandler)
	ids := func() []base.NodeID { return []base.NodeID{1, 2, 3} }
	for i := range c.list {
		n := &node{}
		c.list[i] = n
		o := store.Options{FS: vfs.NewMem(), Dir: "data", SegmentBytes: 1 << 20, QuorumReads: quorum, OnFatal: func(err error) { t.Errorf("fatal: %+v", err) },
			Send: func(to base.NodeID, m *replica.Message) {
				if s := n.sender.Load(); s != nil {
					s.Send(to, m)
				}
			},
			Beat: func(to base.NodeID, b *sleep.Beat) {
				if s := n.sender.Load(); s != nil {
					s.SendBeat(to, b)
				}
			},
			IdleTicks:    3, // ranges fall asleep all the time
			PromptCommit: i != 1,
			Stamp:        func(done func(base.Stamp, error)) { n.sender.Load().AskStamp(done) },
		}
		if i > 0 {
			o.Join = &store.Join{Cluster: [16]byte{7}, Node: base.NodeID(i + 1)}
		}
		s, err := store.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		n.store = s
		way, serve := openTransport(t, base.NodeID(i+1), book)
		n.client = remote.NewClient(base.NodeID(i+1), way, s, ids, log)
		n.client.Keep(remote.NewServer(s, log, way))
		n.sender.Store(n.client)
		serve()
		n.engine = kvrange.NewShared(s, n.client)
		n.db = kv.New(n.engine, time.Now)
	}
	t.Cleanup(func() {
		for _, n := range c.list {
			if err := n.store.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	first := c.list[0].store.Range(nil)
	for i := 1; i < 3; i++ {
		id := base.ReplicaID(i + 1)
		c.until("a learner", func() error {
			return first.ChangeMembers(replica.Change{Kind: replica.AddLearner, Replica: id, Node: base.NodeID(i + 1)})
		})
		c.until("a voter", func() error {
			if err := first.ChangeMembers(replica.Change{Kind: replica.Promote, Replica: id}); err != nil {
				return err
			}
			return nil
		})
		c.until("the change to end", func() error {
			d := first.Descriptor()
			if m, ok := d.Replica(id); !ok || m.Role != base.Voter {
				return errors.Newf("%+v", d)
			}
			return nil
		})
	}
	for i, key := range keys {
		c.lead([]byte(key), 0)
		divideAt(t, c.list[0].store, key, base.RangeID(2+i))
	}
	for i, key := range keys {
		c.lead([]byte(key), i%3)
	}
	return c
}

// until repeats do until it succeeds.
func (c *nodes) until(what string, do func() error) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// lead lets a node lead the range of key.
func (c *nodes) lead(key []byte, to int) {
	c.t.Helper()
	c.until("a leader", func() error {
		want := c.list[to].store.Range(key)
		if want == nil {
			return errors.New("it is not there yet")
		}
		if want.Serving() {
			return nil
		}
		_, id := want.ID()
		for _, n := range c.list {
			if r := n.store.Range(key); r != nil && r.Serving() {
				_ = r.TransferLeader(id)
			}
		}
		return errors.New("another one leads")
	})
}

// TestConformanceOverSeveralNodes: every range has another leader, which is the asked node
// itself or not.
func TestConformanceOverSeveralNodes(t *testing.T) {
	c := startNodes(t, tiny...)
	turn := 0
	kvtest.Run(t, func(t *testing.T) kv.Engine {
		n := c.list[turn%3]
		turn++
		if _, err := n.db.Transact(context.Background(), func(tx kv.Txn) error {
			tx.ClearRange(base.Span{Start: []byte{4}, End: []byte{5}})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n.engine
	})
}

// TestStaleRoutes: what a node has learnt of ranges is wrong after a split, and after a
// leader has moved.
func TestStaleRoutes(t *testing.T) {
	c := startNodes(t)
	set := func(n *node, keys ...string) {
		t.Helper()
		s := n.db.NewSession()
		s.Guards = []kv.Watch{n.db.Watch([]byte("\x04a"))}
		defer s.Guards[0].Close()
		if err := s.RunAndWait(kv.Func(func(tx kv.Txn) error {
			for _, k := range keys {
				if _, err := tx.Get([]byte(k)); err != nil {
					return err
				}
				tx.Set([]byte(k), []byte(keys[0]))
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.list {
		set(n, "\x04b", "\x04m")
	}
	divideAt(t, c.list[0].store, "\x04c", 2)
	for i, n := range c.list {
		set(n, "\x04b")
		set(n, "\x04m")
		c.lead([]byte("\x04m"), (i+1)%3)
		set(n, "\x04m")
		set(n, "\x04m", "\x04b")
		c.lead([]byte("\x04b"), (i+2)%3)
		set(n, "\x04b", "\x04m")
		if v := get(t, n.db, "\x04m"); string(v) != "\x04b" {
			t.Errorf("%q", v)
		}
	}
}

// TestStampsWithoutLease: a node that leads the first range and another one gives that one
// stamps, although every one of them takes a quorum.
func TestStampsWithoutLease(t *testing.T) {
	c := startNodesWith(t, true, "\x04c")
	c.lead(nil, 0)
	ended := make(chan error, 1)
	go func() {
		_, err := c.list[0].db.Transact(context.Background(), func(tx kv.Txn) error {
			tx.Set([]byte("\x04m"), []byte("v"))
			return nil
		})
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing is written to the second range")
	}
}

// TestGuardOfAnotherRange: a watch does not guard what is written to another range, whose
// leader would not mark it.
func TestGuardOfAnotherRange(t *testing.T) {
	c := startNodes(t, "\x04c")
	c.lead([]byte("\x04b"), 0)
	far, key := c.list[1], []byte("\x04m")
	w := far.client.Watch([]byte("\x04b"))
	defer w.Close()
	done, err := far.client.Commit(&remote.Commit{Range: 2, Place: key, Guards: []uint64{w.ID()},
		Mutations: []base.Mutation{{Op: base.OpSet, Key: key, Value: []byte("v")}}})
	if err != nil || len(done.Dirty) != 1 || done.Dirty[0] != w.ID() {
		t.Errorf("%+v, %v", done, err)
	}
	if v := get(t, far.db, string(key)); v != nil {
		t.Errorf("it was written: %q", v)
	}
}

// TestReadsOfALostLeader: what was read where another node leads by now is read again; nothing
// was written, so that nobody is told that something may have been.
func TestReadsOfALostLeader(t *testing.T) {
	c := startNodes(t, "\x04c")
	near, far := []byte("\x04b"), []byte("\x04m")
	for _, muts := range [][]base.Mutation{
		{{Op: base.OpSet, Key: near, Value: []byte("v")}, {Op: base.OpSet, Key: far, Value: []byte("v")}},
		{{Op: base.OpSet, Key: near, Value: []byte("v")}},
	} {
		c.lead(near, 0)
		c.lead(far, 0)
		at, err := c.list[0].engine.ReadVersion(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		a := c.list[0].engine.NewAttempt()
		a.Begin(kv.AttemptOptions{At: at})
		if _, err := a.Get(far); err != nil {
			t.Fatal(err)
		}
		c.lead(far, 1)
		if _, err := a.Commit(&kv.CommitRequest{ReadKeys: [][]byte{far}, Mutations: muts}); !errors.Is(err, base.ErrConflict) {
			t.Errorf("%d writes: %v", len(muts), err)
		}
	}
}

// TestBankOverNodes moves money between accounts in many ranges, from three nodes, while
// ranges are cut and leadership moves, the oracle's included; no reader may ever miss any.
func TestBankOverNodes(t *testing.T) {
	const accounts, each, clients, steps = 12, 100, 6, 120
	name := func(i int) []byte { return fmt.Appendf(nil, "\x04acc%02d", i) }
	cuts := []string{"\x04acc02", "\x04acc04", "\x04acc05", "\x04acc08", "\x04acc11"}
	c := startNodes(t, cuts[0], cuts[3])
	if _, err := c.list[1].db.Transact(context.Background(), func(tx kv.Txn) error {
		for i := range accounts {
			tx.Set(name(i), binary.LittleEndian.AppendUint64(nil, each))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var moving, wait sync.WaitGroup
	moving.Go(func() { c.disturb(cuts, stop) })
	var unknown atomic.Int64
	for k := range clients {
		rnd := rand.New(rand.NewPCG(uint64(k), 7))
		wait.Go(func() {
			for range steps {
				err := bankStep(c.list[k%3].db, rnd, name, accounts, each)
				if errors.IsAny(err, base.ErrUnknownOutcome, base.ErrUnavailable) {
					unknown.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	close(stop)
	moving.Wait()
	if n := unknown.Load(); n > clients*steps/4 {
		t.Errorf("%d of %d transactions ended with an unknown outcome or none", n, clients*steps)
	}
}
