package replica

import "github.com/stratadb/strata/internal/base"

// A leader that goes of its own accord loses nothing: new writes wait, as they do for
// room, until what it has sequenced is committed, and only then Raft hands over. Who has
// waited begins again, where the range is led then.
type handover struct {
	to    base.ReplicaID // zero: nobody
	begun bool           // Raft hands over
}

// handOver begins the handover that was asked for as soon as nothing is in flight, and
// then reports that Raft has something to do. It ends one that Raft has
// given up.
func (r *Replica) handOver() (began bool) {
	h := &r.loop.handover
	if h.to == 0 {
		return false
	}
	r.mu.Lock()
	open, _ := r.mu.seq.Open()
	r.mu.Unlock()
	switch {
	case h.begun && r.loop.raft.BasicStatus().LeadTransferee == 0:
		r.setHandover(handover{})
	case h.begun || (open || r.loop.asking.open || len(r.loop.inFlight) > 0) && !r.o.Faults.HandOverAtOnce:
	default:
		if !r.o.Faults.KeepLease {
			r.revokeLease(true) // first
		}
		h.begun = true
		r.loop.raft.TransferLeader(uint64(h.to))
		return r.loop.raft.HasReady()
	}
	return false
}

func (r *Replica) setHandover(h handover) {
	r.loop.handover = h
	r.mu.Lock()
	r.mu.leaving = h.to != 0
	r.room.Broadcast()
	r.mu.Unlock()
}
