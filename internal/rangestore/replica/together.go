package replica

import (
	"context"
	"time"

	"github.com/cockroachdb/errors"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/rangestore/batch"
)

// On few processors a step is made by whoever has something for it, a client's goroutine
// or the reader of a connection: waking the loop costs more than the step. Who has
// something for several ranges makes their steps together, or lets one loop do it: the log
// that they share is flushed once, and what they send to a node leaves at once.

// shared is what a step has left to those who make it for several replicas, or to the loop.
type shared struct {
	on        bool          // the log is flushed by who makes the step
	unflushed []*pb.Message // answers that wait for it
	light     bool          // nothing may be applied that takes long
	reading   bool          // nothing may be proposed: that would be flushed
	later     []*pb.Message // so the loop does it
}

// Kick commits what was sequenced in several ranges of a store; see Replica.Kick. The list is
// used up.
func Kick(list []*Replica) { kick(list, false) }

// Commit is Kick for those who wait for all of it: however long a flush takes, it is
// shorter than several.
func Commit(list []*Replica) { kick(list, true) }

func kick(list []*Replica, waits bool) {
	ready := list[:0:len(list)]
	for _, r := range list {
		r.mu.Lock()
		_, bytes := r.mu.seq.Open()
		if waits {
			r.mu.gathering.want = 0
		}
		idle := r.dormantLocked() || r.gathersLocked()
		r.mu.Unlock()
		switch {
		case idle:
		case bytes <= promptBytes && (r.prompt() || waits && r.o.PromptCommit):
			ready = append(ready, r)
		default:
			r.signal()
		}
	}
	drive(ready)
}

// Attend makes several replicas of a store look at what they have received. Who calls has
// other things to read, and does what needs no flush: a leader hears that followers have
// its entries. The rest is left to the loop of one of them. The list is used up.
func Attend(list []*Replica) {
	rest := list[:0:len(list)]
	for _, r := range list {
		if !r.o.PromptCommit || !r.heardOnly() || !r.driving.TryLock() {
			rest = append(rest, r)
			continue
		}
		r.loop.shared.light, r.loop.shared.reading = true, true
		more := r.drive(context.Background())
		r.loop.shared.reading = false
		r.leave(more)
	}
	if len(rest) > 0 && !rest[0].bring(rest[1:]) {
		for _, r := range rest[1:] {
			r.signal()
		}
	}
}

// heardOnly reports whether nothing but answers of followers has come in.
func (r *Replica) heardOnly() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.mu.inbox {
		if kind := m.Raft.GetType(); kind != pb.MsgAppResp && kind != pb.MsgHeartbeatResp {
			return false
		}
	}
	return true
}

// bring wakes the loop, which is to make others' steps together with its own.
func (r *Replica) bring(others []*Replica) (taken bool) {
	r.mu.Lock()
	if taken = r.o.PromptCommit && !r.mu.stopped; taken {
		r.mu.brought = append(r.mu.brought, others...)
	}
	r.mu.Unlock()
	r.signal()
	return taken
}

// driveBrought makes the steps that the loop was brought, together with its own.
func (r *Replica) driveBrought() {
	r.mu.Lock()
	list := r.mu.brought
	r.mu.brought = nil
	r.mu.Unlock()
	if len(list) > 0 {
		drive(append(list, r))
	}
}

// Wake makes the loop look at what was taken.
func (r *Replica) Wake() { r.signal() }

// prompt reports whether steps are made by those who have something for them.
func (r *Replica) prompt() bool {
	return r.o.PromptCommit && r.flushTook.Load() <= int64(promptFlush)
}

// drive makes a step of each replica that nobody else drives. While it has several of them, none
// applies a merge, which would take the place of the loop of another.
func drive(list []*Replica) {
	ctx := context.Background()
	held := list[:0:len(list)]
	for _, r := range list {
		if !r.driving.TryLock() {
			r.signal()
			continue
		}
		r.loop.shared.on, r.loop.shared.light = len(list) > 1, len(list) > 1
		more := r.drive(ctx)
		r.loop.shared.on = false
		if len(r.loop.shared.unflushed) > 0 {
			held = append(held, r)
		} else {
			r.leave(more)
		}
	}
	if len(held) == 0 {
		return
	}
	began := time.Now()
	err := errors.Wrap(held[0].o.Log.Flush(), "raft log")
	took := time.Since(began)
	for _, r := range held {
		r.noteFlush(took)
		more, failed := r.resume(ctx, err)
		if failed != nil {
			r.Stop()
			r.o.OnFatal(failed)
		}
		r.leave(more)
	}
}

// leave ends a step that was made for the loop, which goes on if there is more to do.
func (r *Replica) leave(more bool) {
	r.loop.shared.light = false
	late := len(r.loop.shared.later) > 0 || r.loop.raft.HasReady()
	r.driving.Unlock()
	if more && !late {
		r.mu.Lock()
		late = !r.dormantLocked() && !r.gathersLocked() || len(r.mu.inbox) > 0
		r.mu.Unlock()
	}
	if late {
		r.signal()
	}
}

// resume goes on with a step behind the flush.
func (r *Replica) resume(ctx context.Context, flushed error) (more bool, err error) {
	if flushed != nil {
		return false, flushed
	}
	defer contradicted(&err)
	answers := r.loop.shared.unflushed
	if r.loop.shared.unflushed = nil; r.loop.stopped {
		return false, nil
	}
	if err := r.answerAppend(answers); err != nil {
		return false, err
	}
	if err := r.finishStep(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// postpones reports whether a message to apply entries is left to the loop, with those
// that follow it.
func (r *Replica) postpones(m *pb.Message) bool {
	s := &r.loop.shared
	if !s.light {
		return false
	}
	long := len(s.later) > 0
	for _, e := range m.Entries {
		if h, err := batch.DecodeHeader(e.Data); e.GetType() != pb.EntryNormal || len(e.Data) > 0 && (err != nil || h.Kind != batch.KindTransactions) {
			long = true
		}
	}
	if long {
		s.later = append(s.later, m)
	}
	return long
}

// leaveCopiesLocked leaves snapshots in the inbox for the loop.
func (r *Replica) leaveCopiesLocked(inbox []*Message) (rest []*Message) {
	for _, m := range inbox {
		if m.Snapshot != nil {
			r.mu.inbox = append(r.mu.inbox, m)
		} else {
			rest = append(rest, m)
		}
	}
	return rest
}

// applyLate applies what light steps have left.
func (r *Replica) applyLate(ctx context.Context) error {
	list := r.loop.shared.later
	r.loop.shared.later = nil
	for _, m := range list {
		if err := r.storageApply(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
