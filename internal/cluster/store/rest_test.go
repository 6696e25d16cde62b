package store_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// handClock goes on when the test says so.
type handClock struct{ elapsed time.Duration }

func (c *handClock) Elapsed() time.Duration { return c.elapsed }
func (c *handClock) UnixMicros() int64      { return 1_700_000_000_000_000 + c.elapsed.Microseconds() }
func (c *handClock) Now() time.Time         { return time.UnixMicro(c.UnixMicros()) }

// three are stores of one range, on a network without faults.
type three struct {
	t               *testing.T
	clock           *handClock
	stores          [3]*store.Store
	net             []func() error
	messages, beats int // that were sent
	mute            base.NodeID
	leader          *replica.Replica
}

const idleTicks = 5

func startThree(t *testing.T, quorum bool) *three {
	c := &three{t: t, clock: &handClock{elapsed: time.Second}}
	for i := range c.stores {
		self := base.NodeID(i + 1)
		o := store.Options{FS: vfs.NewMem(), Dir: "data", SegmentBytes: 1 << 20, Manual: true, Clock: c.clock, IdleTicks: idleTicks, QuorumReads: quorum,
			OnFatal: func(err error) { t.Errorf("fatal: %+v", err) },
			Send: func(to base.NodeID, m *replica.Message) {
				c.messages++
				c.carry(self, func() error { return c.stores[to-1].Deliver(m) })
			},
			Beat: func(to base.NodeID, b *sleep.Beat) {
				c.beats++
				c.carry(self, func() error { c.stores[to-1].TakeBeat(self, b); return nil })
			}}
		if i > 0 {
			o.Join = &store.Join{Cluster: [16]byte{1}, Node: self}
		}
		s, err := store.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		c.stores[i] = s
		t.Cleanup(s.Abandon)
	}
	c.pass(1)
	c.leader = c.stores[0].Replica(1)
	for id := base.ReplicaID(2); id <= 3; id++ {
		c.change(replica.Change{Kind: replica.AddLearner, Replica: id, Node: base.NodeID(id)})
		c.change(replica.Change{Kind: replica.Promote, Replica: id})
	}
	return c
}

func (c *three) carry(from base.NodeID, do func() error) {
	if from != c.mute {
		c.net = append(c.net, do)
	}
}

// pass lets so many ticks pass, and everything happen that follows.
func (c *three) pass(ticks int) {
	c.t.Helper()
	for range ticks {
		c.clock.elapsed += replica.TickEvery
		for _, s := range c.stores {
			s.Tick()
		}
		c.settle()
	}
}

func (c *three) settle() {
	c.t.Helper()
	for more := true; more; {
		var err error
		for _, s := range c.stores {
			err = errors.CombineErrors(err, s.Step())
		}
		net := c.net
		c.net = nil
		for _, do := range net {
			err = errors.CombineErrors(err, do())
		}
		if err != nil {
			c.t.Fatal(err)
		}
		more = len(net) > 0
	}
}

func (c *three) until(what string, is func() bool) {
	c.t.Helper()
	for range 200 {
		if is() {
			return
		}
		c.pass(1)
	}
	c.t.Fatal("not within 200 ticks: " + what)
}

func (c *three) change(x replica.Change) {
	c.t.Helper()
	c.until("a change", func() bool { return c.leader.ChangeMembers(x) == nil })
	c.pass(1)
}

func (c *three) asleep() {
	c.t.Helper()
	c.until("the range sleeps", c.leader.Asleep)
}

// read reads a key, and reports whether the answer could be given at once.
func (c *three) read() (now bool) {
	c.t.Helper()
	a := c.leader.NewAttempt()
	a.Begin(0, replica.HoldNever)
	if _, err := a.Get([]byte("\x04k")); err != nil {
		c.t.Fatal(err)
	}
	return a.Abort().Done()
}

// TestRangeSleeps: a range in which nothing happens costs heartbeats of the stores only, and
// is read all the time.
func TestRangeSleeps(t *testing.T) {
	c := startThree(t, false)
	c.asleep()
	c.messages, c.beats = 0, 0
	for range 100 {
		c.pass(1)
		if !c.read() {
			t.Fatal("a leader that sleeps has no lease")
		}
	}
	// Four for each of the two pairs, and nobody has anything to say to the third one.
	if want := 100 / replica.BeatTicks * 8; c.messages != 0 || c.beats < want-8 || c.beats > want+8 {
		t.Errorf("%d messages, %d heartbeats of stores", c.messages, c.beats)
	}
	for _, s := range c.stores {
		if n := s.Stats().Sleep.Sleeping; n != 1 {
			t.Errorf("%d sleep", n)
		}
	}
	c.clock.elapsed += time.Second // as if the process had been stopped
	if c.read() {
		t.Error("a lease outlives a pause")
	}
}

// TestWhatWakes: everything that there is to do.
func TestWhatWakes(t *testing.T) {
	for _, x := range []struct {
		name string
		do   func(c *three)
	}{
		{"a write", func(c *three) {
			a := c.leader.NewAttempt()
			a.Begin(0, replica.HoldNever)
			r, err := a.Commit(&replica.Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("\x04k"), Value: []byte("v")}}})
			if c.settle(); err != nil || !r.Ticket.Done() {
				c.t.Errorf("the write: %v", err)
			}
		}},
		{"a transfer of leadership", func(c *three) {
			if err := c.leader.TransferLeader(2); err != nil || c.read() {
				c.t.Errorf("there is still a lease; %v", err)
			}
			c.until("it leads", func() bool { return c.stores[1].Replica(1).Serving() })
		}},
		{"a change of the members", func(c *three) {
			if err := c.leader.ChangeMembers(replica.Change{Kind: replica.Remove, Replica: 3}); err != nil {
				c.t.Error(err)
			}
		}},
		{"a split", func(c *three) {
			if _, err := c.leader.BeginSplit([]byte("\x04m"), 2); err != nil {
				c.t.Error(err)
			}
		}},
		{"a message of Raft", func(c *three) {
			c.leader.Receive(&replica.Message{Range: 1, From: 2, To: 1, Node: 2, Raft: heartbeat()})
		}},
		{"the silence of a store", func(c *three) {
			c.mute = 3
			c.pass(replica.SilenceTicks + replica.BeatTicks)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := startThree(t, false)
			c.asleep()
			x.do(c)
			c.settle()
			if c.leader.Asleep() {
				t.Error("it sleeps on")
			}
			c.mute = 0
			c.until("it sleeps again", func() bool {
				sleeping := 0
				for _, s := range c.stores {
					for _, r := range s.Replicas() {
						if id, _ := r.ID(); id == 1 && r.Asleep() {
							sleeping++
						}
					}
				}
				return sleeping == 1
			})
		})
	}
}

// TestQuorumReadWakes: a read that asks a quorum wakes the range, and is answered.
func TestQuorumReadWakes(t *testing.T) {
	c := startThree(t, true)
	c.asleep()
	a := c.leader.NewAttempt()
	a.Begin(0, replica.HoldNever)
	if _, err := a.Get([]byte("\x04k")); err != nil {
		t.Fatal(err)
	}
	ticket := a.Abort()
	if ticket.Done() {
		t.Error("it is answered without a proof")
	}
	if c.settle(); !ticket.Done() || c.leader.Asleep() {
		t.Errorf("answered: %v; the range sleeps: %v", ticket.Done(), c.leader.Asleep())
	}
}

// TestLeaderFallsSilent: its followers elect another one as soon as if they had been awake. How
// long each waits is drawn by Raft, between one time of silence and two; who began to count only
// when it woke up would always take longer than that.
func TestLeaderFallsSilent(t *testing.T) {
	soonest := 1 << 10
	for range 8 {
		soonest = min(soonest, untilAnotherLeads(t))
	}
	if soonest > 2*replica.SilenceTicks {
		t.Errorf("another one leads after %d ticks at the soonest", soonest)
	}
}

func untilAnotherLeads(t *testing.T) (ticks int) {
	c := startThree(t, false)
	c.asleep()
	c.pass(7)
	c.mute = 1
	c.until("another one leads", func() bool {
		ticks++
		return c.stores[1].Replica(1).Serving() || c.stores[2].Replica(1).Serving()
	})
	if c.leader.Serving() && c.read() {
		t.Error("the old leader has a lease")
	}
	return ticks - 1
}
