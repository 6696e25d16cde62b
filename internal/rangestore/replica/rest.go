package replica

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// A range in which nothing happens sleeps: its replicas do not tick and send nothing, and the
// heartbeats of their stores stand for those of the leader (package sleep).
//
//	leader    nothing to do for long; the next heartbeats of Raft ask: sleep, at this index?
//	          (it makes no tick until all have answered, or enough time has passed)
//	follower  has exactly that, committed and applied: it sleeps, and says so
//	leader    all members sleep, and there is still nothing to do: it sleeps, too
//
// Whatever there is to do wakes a replica: a transaction, a message of another one, an
// operator, a read that needs a proof, and above all its store, when the sleep has ended
// elsewhere. The leader tells the others at once by heartbeats of Raft.

// offerTicks is how long a leader waits for the answers. Its followers may wait for its
// heartbeats for twice as long.
const offerTicks = electionTicks / 2

// Rest says what a message has to do with sleep.
type Rest uint8

// A message may be an offer to sleep, which comes with a heartbeat of Raft, or the answer
// of a replica that sleeps.
const (
	NoRest Rest = iota
	RestOffer
	RestAsleep
)

// resting is what the loop knows of its replica's sleep.
type resting struct {
	idle    int          // ticks since the leader had something to do
	drowsy  bool         // the next heartbeats are to offer
	sleep   *sleep.Sleep // that was offered, or in which this replica is
	offered bool         // by this replica
	words   map[base.NodeID]sleep.Word
	at      base.LogIndex // of the offer
	waited  int           // ticks, for the answers
	agreed  bool          // all members sleep
	asleep  bool
	invited *Message // an offer that was taken in this step
}

// reposes reports whether the replica sleeps and goes on doing so.
func (r *Replica) reposes() bool {
	p := &r.loop.rest
	if !p.asleep {
		return false
	}
	r.ticked.Store(false)
	if p.sleep.Ended() || r.disturbed() {
		r.rise()
		return false
	}
	return true
}

// disturbed reports whether there is something to do. Answers to offers that are past are
// not.
func (r *Replica) disturbed() bool {
	r.lockSoon()
	defer r.mu.Unlock()
	for _, m := range r.mu.inbox {
		if m.Rest != RestAsleep {
			return true
		}
	}
	r.mu.inbox = nil
	open, _ := r.mu.seq.Open()
	return open || len(r.mu.unproven) > 0 || r.mu.settled.due
}

// rise ends a sleep, or an offer. It comes before anything that the replica does (Z1).
func (r *Replica) rise() {
	p := r.loop.rest
	if p.sleep == nil {
		return
	}
	r.o.Sleep.End(p.sleep)
	r.loop.rest = resting{}
	if !p.offered {
		for range min(p.sleep.Ticks(), 2*electionTicks) { // Z2
			r.loop.raft.Tick()
			r.loop.lonely++
		}
		return
	}
	if p.asleep {
		r.leaseSince(p.sleep.Since())
		r.asleep.Store(nil)
	}
	if r.loop.leading {
		r.beat()
	}
}

// Asleep reports whether the replica leads a range that sleeps.
func (r *Replica) Asleep() bool { return r.asleep.Load() != nil }

// forgetSleep ends a sleep of a replica that does nothing any more.
func (r *Replica) forgetSleep() {
	if p := r.loop.rest; p.sleep != nil {
		r.o.Sleep.End(p.sleep)
		r.loop.rest = resting{}
		r.asleep.Store(nil)
	}
}

// tellTicks tells the store whether it is to tell this replica of time: there are others,
// who may be awake, or it is alone and has still to take the lead.
func (r *Replica) tellTicks() {
	needs := !r.loop.rest.asleep && (len(r.loop.desc.Replicas) != 1 || r.loop.lead == nil)
	if needs != r.loop.ticking {
		r.loop.ticking = needs
		if r.o.Ticking != nil {
			r.o.Ticking(needs)
		}
	}
}

// beat sends heartbeats of Raft, which wake the others.
func (r *Replica) beat() {
	r.loop.proofs.asked++
	r.loop.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, r.loop.proofs.asked))
}

// drowse is called at every tick. It reports whether the tick is to be left out, because the
// leader waits for answers to its offer.
func (r *Replica) drowse() (skip bool) {
	p := &r.loop.rest
	if r.o.Sleep == nil {
		return false
	}
	if p.sleep != nil {
		if p.waited++; p.waited < offerTicks {
			return true
		}
		r.rise()
		return false
	}
	p.idle++
	p.drowsy = p.idle >= r.o.IdleTicks && r.finished()
	return false
}

// busy notes that there is something to do.
func (r *Replica) busy() { r.loop.rest.idle, r.loop.rest.drowsy = 0, false }

// finished reports whether the leader has nothing to do, all members have everything, and
// nothing is on its way.
func (r *Replica) finished() bool {
	l := &r.loop
	if l.lead == nil || l.lease.gone || l.asking.open || len(l.inFlight) > 0 || len(l.proofs.covers) > 0 ||
		len(l.desc.Replicas) < 2 || joint(&l.desc) {
		return false
	}
	st, last := l.raft.BasicStatus(), r.o.Log.Group(r.o.Range).LastIndex()
	if st.LeadTransferee != 0 || l.applied != last || base.LogIndex(st.HardState.GetCommit()) != last {
		return false
	}
	done := true
	l.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if base.ReplicaID(id) != r.o.Replica && (pr.State != tracker.StateReplicate || base.LogIndex(pr.Match) != last) {
			done = false
		}
	})
	return done && r.unused()
}

// unused reports whether nobody has sequenced or asked for anything.
func (r *Replica) unused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	open, _ := r.mu.seq.Open()
	return !open && r.mu.seq.Speculative() == 0 && r.mu.seq.Table().Empty() && !r.withheldLocked() && !r.mu.altering &&
		len(r.mu.unproven) == 0 && len(r.mu.settled.list) == 0
}

// offer makes a heartbeat of Raft that is about to be sent an offer to sleep.
func (r *Replica) offer(m *Message, to base.NodeID) {
	p := &r.loop.rest
	if p.drowsy {
		p.drowsy = false
		p.at = base.LogIndex(m.Raft.GetCommit())
		var others, voters []base.NodeID
		for _, d := range r.loop.desc.Replicas {
			if d.Replica == r.o.Replica {
				continue
			}
			others = append(others, d.Node)
			if d.Role == base.Voter {
				voters = append(voters, d.Node)
			}
		}
		s, words := r.o.Sleep.Offer(r.o.Range, others, voters, r.signal)
		if s == nil { // another try is worth it when the stores have met
			p.idle = max(0, p.idle-offerTicks)
			return
		}
		p.sleep, p.offered, p.words = s, true, map[base.NodeID]sleep.Word{}
		for i, n := range others {
			p.words[n] = words[i]
		}
	}
	if w, found := p.words[to]; found {
		m.Rest, m.Word = RestOffer, w
		delete(p.words, to)
	}
}

// agree falls asleep, as the leader has offered, or after all have agreed to. It is called at
// the end of a step.
func (r *Replica) agree() {
	p := &r.loop.rest
	if m := p.invited; m != nil {
		p.invited = nil
		r.accept(m)
		return
	}
	if p.sleep == nil || p.asleep {
		return
	}
	if p.sleep.Ended() || p.idle < r.o.IdleTicks {
		r.rise()
		return
	}
	if p.agreed {
		if !r.finished() || r.o.Log.Group(r.o.Range).LastIndex() != p.at {
			r.rise()
			return
		}
		p.asleep = true
		r.asleep.Store(p.sleep)
	}
}

// accept falls asleep if this replica is where its leader says.
func (r *Replica) accept(m *Message) {
	l, st := &r.loop, r.loop.raft.BasicStatus()
	at := base.LogIndex(m.Raft.GetCommit())
	if l.rest.sleep != nil || l.leading || base.ReplicaID(st.Lead) != m.From || st.GetTerm() != m.Raft.GetTerm() || l.applied != at ||
		base.LogIndex(st.HardState.GetCommit()) != at || r.o.Log.Group(r.o.Range).LastIndex() != at || r.Removed() {
		return
	}
	s, w := r.o.Sleep.Hold(r.o.Range, m.Node, m.Word, r.signal)
	if s == nil {
		return
	}
	l.rest = resting{sleep: s, asleep: true}
	answer := &pb.Message{Type: pb.MsgHeartbeatResp.Enum(), Term: m.Raft.Term, Index: m.Raft.Commit}
	r.o.Send(m.Node, &Message{Range: r.o.Range, From: r.o.Replica, To: m.From, Node: r.o.Node, Rest: RestAsleep, Word: w, Raft: answer})
}

// answersOffer takes the answer of a member that sleeps.
func (r *Replica) answersOffer(m *Message) {
	p := &r.loop.rest
	if p.sleep == nil || p.asleep || base.Term(m.Raft.GetTerm()) != r.loop.term || base.LogIndex(m.Raft.GetIndex()) != p.at {
		return
	}
	p.agreed = r.o.Sleep.Confirm(p.sleep, m.Node, m.Word) || p.agreed
}
