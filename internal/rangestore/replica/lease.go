package replica

import (
	"time"

	"go.etcd.io/raft/v3/quorum"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
)

// The leader lease. A follower that takes a message from its leader votes for
// nobody else for electionTicks of its own ticks (Raft's pre-vote and check-quorum).
// It says in all that it sends back when, on the leader's clock, the newest such
// message was sent. When a quorum has said so, nobody else can have become leader
// until that moment plus leaseFor, whatever the clocks show:
//
//	leader   sent s ------------------------------ s + leaseFor ----> must not answer
//	follower        took it |--- at least electionTicks-2 whole ticks ---| may vote
//
// Two ticks of the follower do not count: the first one after the message may come at
// once, and one that was late is followed sooner by the next. Its clock may run faster
// than the leader's by leaseDrift. A replica that has just been started has forgotten
// whom it heard, and takes no part in elections for as long. Who hands over
// leadership by itself gives up the lease first, for the rest of its term: the
// message that makes its successor a candidate at once may arrive at any time.

const (
	// TickEvery is the interval of Tick.
	TickEvery      = 50 * time.Millisecond
	electionTicks  = 12
	heartbeatTicks = 3
	// leaseDrift is the part of a lease that clocks may disagree by.
	leaseDrift = 10
	leaseFor   = (electionTicks - 2) * TickEvery * (leaseDrift - 1) / leaseDrift
	// BeatTicks is how often a store sends its heartbeat, SilenceTicks after how long
	// without one its ranges wake up elsewhere: as heartbeats of Raft and elections are.
	BeatTicks, SilenceTicks = heartbeatTicks, electionTicks
	// idleTicks is how long a leader has nothing to do before its range sleeps: 2 s.
	idleTicks = 40
	// quietFor is how long a replica keeps out of elections after its start.
	quietFor = electionTicks * TickEvery * (leaseDrift + 1) / leaseDrift
)

// lease is what a replica knows about who may answer. It belongs to the goroutine
// that makes a step.
type lease struct {
	voters quorum.JointConfig
	acks   map[base.ReplicaID]time.Duration // as leader: the newest echo of each voter
	gone   bool                             // given up for this term

	heard     base.ReplicaID // as follower: the leader
	heardTerm base.Term
	heardSent time.Duration
}

// solo reports whether nobody else votes.
func (l *lease) solo() bool { return len(l.voters[0]) <= 1 && len(l.voters[1]) == 0 }

// ackedAt makes a quorum of the acks, as Raft does of indexes.
type ackedAt struct {
	l    *lease
	self base.ReplicaID
	now  time.Duration
}

func (a ackedAt) AckedIndex(voter uint64) (quorum.Index, bool) {
	if base.ReplicaID(voter) == a.self {
		return quorum.Index(a.now), true
	}
	at, ok := a.l.acks[base.ReplicaID(voter)]
	return quorum.Index(at), ok
}

// took notes a message of Raft that was stepped, before the next one is.
func (r *Replica) took(m *Message) {
	l, term := &r.loop.lease, base.Term(r.loop.raft.BasicStatus().GetTerm())
	switch m.Raft.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		r.loop.lonely = 0
		if base.Term(m.Raft.GetTerm()) != term {
			break // refused
		}
		if l.heardTerm != term || l.heard != m.From {
			l.heard, l.heardTerm, l.heardSent = m.From, term, 0
		}
		l.heardSent = max(l.heardSent, m.Sent)
	}
	if r.loop.leading && m.EchoTerm == r.loop.term && m.Echo > l.acks[m.From] {
		l.acks[m.From] = m.Echo
		r.extendLease()
	}
}

// extendLease moves the end of the lease to what a quorum allows.
func (r *Replica) extendLease() {
	l := &r.loop.lease
	if l.gone || l.solo() {
		return
	}
	since := l.voters.CommittedIndex(ackedAt{l, r.o.Replica, r.o.Clock.Elapsed()})
	r.leaseSince(time.Duration(since))
}

// leaseSince extends the lease: a quorum has heard of the leader at that moment, or later.
func (r *Replica) leaseSince(since time.Duration) {
	if until := int64(since + leaseFor); since > 0 && !r.loop.lease.gone && until > r.leaseUntil.Load() {
		r.leaseUntil.Store(until)
	}
}

// revokeLease ends the lease.
func (r *Replica) revokeLease(forTerm bool) {
	r.loop.lease.gone = forTerm
	r.leaseUntil.Store(0)
	clear(r.loop.lease.acks)
}

// leasedLocked reports whether the leader of the present tenure may answer by its lease
// alone: nobody else can have been elected yet. mu is held, so that the tenure is
// still the one whose state was read.
func (r *Replica) leasedLocked() bool {
	if r.solo.Load() || r.o.Faults.TrustLeader {
		return true
	}
	now := int64(r.o.Clock.Elapsed())
	if r.o.Faults.LeaseAtStep {
		now = r.stepped.Load()
	}
	if r.o.QuorumReads || now < r.leaseUntil.Load() {
		return !r.o.QuorumReads
	}
	if s := r.asleep.Load(); s != nil {
		since := s.Since()
		return since > 0 && now < int64(since+leaseFor)
	}
	return false
}
