package replica

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/sequencer"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// inFlight is a batch that is proposed and not yet applied.
type inFlight struct {
	closed   sequencer.Closed
	stamp    base.Stamp
	proposed time.Time
}

// diskFullPause is how long the loop waits before it asks the log for room again.
const diskFullPause = 50 * time.Millisecond

// Run drives the replica until ctx ends or something fails for good.
func (r *Replica) Run(ctx context.Context) {
	r.signal()
	for {
		select {
		case <-ctx.Done():
			r.driving.Lock()
			r.Stop()
			r.driving.Unlock()
			r.driveBrought()
			return
		case <-r.wake:
		}
		for more := true; more; {
			// Whoever is runnable now joins the batch: an entry costs more than
			// letting them go first.
			runtime.Gosched()
			r.driveBrought()
			r.driving.Lock()
			more = r.drive(ctx)
			r.driving.Unlock()
		}
	}
}

// drive makes a step and reports whether there may be more to do. The caller holds
// driving.
func (r *Replica) drive(ctx context.Context) (more bool) {
	if r.loop.stopped {
		return false
	}
	more, err := r.Step(ctx)
	if err != nil {
		r.Stop()
		if ctx.Err() == nil {
			r.o.OnFatal(err)
		}
		return false
	}
	return more
}

// promptFlush is how long a flush of the log may take, on average, for the
// goroutine that asks for a commit to make the flush itself: on a fast disk it
// costs less than waking another goroutine.
const promptFlush = 250 * time.Microsecond

// promptBytes is how large a batch may be for that. Even for the largest pipelines
// it is better: a goroutine that is woken waits for a processor behind those that
// flush and compact.
const promptBytes = 1 << 20

// Kick makes the loop look for work, or does the work: on few processors, if
// nobody else does, the disk is fast and the batch is small.
func (r *Replica) Kick() {
	one := [1]*Replica{r}
	Kick(one[:])
}

// Step does what there is to do and reports whether there was anything. It is
// called by one goroutine at a time: the one that holds driving, or in a manual
// replica the only one.
func (r *Replica) Step(ctx context.Context) (worked bool, err error) {
	if r.loop.yielded {
		return false, nil
	}
	r.loop.stepping = true
	defer func() { r.loop.stepping = false }()
	defer contradicted(&err)
	if r.o.Faults.LeaseAtStep {
		r.stepped.Store(int64(r.o.Clock.Elapsed()))
	}
	if len(r.loop.shared.later) > 0 && !r.loop.shared.light {
		worked = true
		if err := r.applyLate(ctx); err != nil {
			return true, err
		}
	}
	if r.reposes() {
		return worked, nil
	}
	late := worked
	if worked, err = r.tick(); err != nil {
		return worked, err
	}
	worked = r.receive() || worked || late
	if r.ask() {
		r.busy()
		worked = true
	}
	if r.loop.leading && len(r.loop.inFlight) == 0 && !r.loop.shared.reading && r.loop.raft.BasicStatus().LeadTransferee == 0 {
		proposed, err := r.propose()
		if err != nil {
			return true, err
		}
		if proposed {
			r.busy()
			worked = true
		}
	}
	worked = r.loop.raft.HasReady() || worked
	if err := r.finishStep(ctx); err != nil {
		return worked, err
	}
	return worked || r.loop.raft.HasReady(), nil
}

// finishStep does what Raft asks for. Where others flush the log, it ends there, and is
// called again.
func (r *Replica) finishStep(ctx context.Context) error {
	for r.loop.raft.HasReady() || r.handOver() {
		if err := r.ready(ctx, r.loop.raft.Ready()); err != nil || len(r.loop.shared.unflushed) > 0 {
			return err
		}
	}
	for _, s := range r.loop.incoming {
		if s.Done != nil {
			s.Done()
		}
	}
	r.loop.incoming = nil
	r.agree()
	r.tellTicks()
	return nil
}

// tick passes a tick on; those that were missed are not made up for, since a
// follower's promise to its leader is measured in ticks.
func (r *Replica) tick() (bool, error) {
	if !r.ticked.Swap(false) {
		return false, nil
	}
	r.patient.Store(0)
	if r.drowse() {
		return false, nil
	}
	r.loop.raft.Tick()
	r.loop.proofs.ticks++
	r.loop.asking.ticks++
	r.lead()
	r.wonder()
	r.settleDue()
	return true, r.giveNotices()
}

// receive takes the messages that have come in.
func (r *Replica) receive() bool {
	r.lockSoon()
	inbox := r.mu.inbox
	r.mu.inbox = nil
	if r.loop.shared.light {
		inbox = r.leaveCopiesLocked(inbox)
	}
	r.mu.Unlock()
	for _, m := range inbox {
		kind := m.Raft.GetType()
		if kind == pb.MsgSnapStatus { // of this replica's own store
			r.reportSnapshot(m)
			continue
		}
		if r.strange(m) {
			continue
		}
		r.loop.nodes[m.From] = m.Node
		if m.Rest == RestAsleep {
			r.answersOffer(m)
			continue
		}
		if kind != pb.MsgHeartbeat && kind != pb.MsgHeartbeatResp {
			r.busy()
		}
		if isElection(kind) && r.o.Clock.Elapsed() < r.loop.quiet && !r.o.Faults.VoteAtOnce {
			continue
		}
		if kind == pb.MsgSnap {
			if m.Snapshot == nil {
				continue
			}
			r.loop.incoming = append(r.loop.incoming, m.Snapshot)
		}
		// Raft refuses what makes no sense to it, and hears of everything again.
		if err := r.loop.raft.Step(m.Raft); err == nil {
			r.took(m)
			if m.Rest == RestOffer && r.o.Sleep != nil {
				r.loop.rest.invited = m
			}
		}
	}
	return len(inbox) > 0
}

func isElection(kind pb.MessageType) bool {
	return kind == pb.MsgVote || kind == pb.MsgPreVote || kind == pb.MsgTimeoutNow
}

// notices are messages to followers that say nothing but how far the log is committed.
// The next entries say it, too, so a notice waits for those, or for a tick: at a batch
// after the other this is half of all messages.
type notices map[base.ReplicaID]*pb.Message

// keep reports whether m may wait.
func (n notices) keep(m *pb.Message) bool {
	to := base.ReplicaID(m.GetTo())
	if m.GetType() != pb.MsgApp || len(m.Entries) > 0 {
		if m.GetType() == pb.MsgApp {
			delete(n, to)
		}
		return false
	}
	n[to] = m
	return true
}

// giveNotices sends what has waited for entries that did not come.
func (r *Replica) giveNotices() error {
	if len(r.loop.notices) == 0 {
		return nil
	}
	for _, to := range slices.Sorted(maps.Keys(r.loop.notices)) {
		m := r.loop.notices[to]
		delete(r.loop.notices, to)
		if err := r.transmit(m); err != nil {
			return err
		}
	}
	return nil
}

// send hands a message of Raft to the replica it is for, this one or another.
func (r *Replica) send(m *pb.Message) error {
	if base.ReplicaID(m.GetTo()) == r.o.Replica {
		return errors.Wrap(r.loop.raft.Step(m), "raft")
	}
	if r.loop.notices.keep(m) {
		return nil
	}
	return r.transmit(m)
}

func (r *Replica) transmit(m *pb.Message) error {
	to := base.ReplicaID(m.GetTo())
	node, known := r.loop.nodes[to]
	if d, found := r.loop.desc.Replica(to); found {
		node, known = d.Node, true
	}
	if !known {
		return nil
	}
	out := &Message{Range: r.o.Range, From: r.o.Replica, To: to, Node: r.o.Node, Raft: m}
	if r.loop.leading {
		out.Sent = r.o.Clock.Elapsed()
	}
	if out.Makes() {
		out.Start = r.loop.desc.Span.Start
	}
	if r.loop.leading && m.GetType() == pb.MsgHeartbeat && len(m.GetContext()) == 0 {
		r.offer(out, node)
	}
	if l := &r.loop.lease; to == l.heard {
		out.Echo, out.EchoTerm = l.heardSent, l.heardTerm
	}
	r.o.Send(node, out)
	return nil
}

// propose closes the open batch, asks for its stamp and hands it to Raft.
func (r *Replica) propose() (bool, error) {
	r.lockSoon()
	c, ok := r.loop.asking.batch, r.loop.asking.open
	var err error
	if !ok && !r.patientLocked() && !r.gathersLocked() {
		if err = r.noteSettledLocked(); err == nil {
			c, ok, err = r.mu.seq.Close()
		}
	}
	prefetched := r.loop.prefetch
	r.mu.Unlock()
	if !ok {
		return false, err
	}
	var stamp base.Stamp
	stamp, ok, err = r.stampFor(&c)
	if err != nil || !ok {
		return ok, err
	}
	if r.o.Faults.PrefetchStamp {
		stamp = prefetched
	}
	if r.o.Faults.SwapStamps {
		stamp = r.swapStamp(stamp)
	}
	r.pause(PointIssued)
	if stamp <= r.loop.lastStamp {
		return true, errors.AssertionFailedf("oracle answered %d after %d", stamp, r.loop.lastStamp)
	}
	r.lockSoon()
	deferred := r.mu.win.Deferred(c.Num)
	r.mu.seq.Stamp(&c, r.loop.term, stamp, r.loop.lastStamp)
	r.stampWantsLocked(&c, stamp)
	if deferred && len(r.mu.watches.byKey) > 0 {
		err = r.watchStampedLocked(&c)
	}
	r.mu.Unlock()
	if err != nil {
		return true, err
	}
	r.loop.lastStamp = stamp
	r.loop.inFlight = append(r.loop.inFlight, inFlight{closed: c, stamp: stamp, proposed: time.Now()})
	r.pause(PointStamped)
	if r.o.Faults.ReplyBeforeCommit {
		r.loop.woken = r.loop.lead.advance(c.Last, r.loop.woken)
	}
	if err := r.loop.raft.Propose(c.Buf); err != nil {
		if !errors.Is(err, raft.ErrProposalDropped) {
			return true, errors.Wrap(err, "propose")
		}
		r.endTenure() // nothing behind a dropped proposal may follow (R4)
	}
	return true, nil
}

func (r *Replica) stampWantsLocked(c *sequencer.Closed, stamp base.Stamp) {
	kept := r.mu.wants[:0]
	for _, w := range r.mu.wants {
		if w.batch == c.Num {
			*w.out = base.MakeVersionstamp(stamp, w.place)
		} else {
			kept = append(kept, w)
		}
	}
	clear(r.mu.wants[len(kept):])
	r.mu.wants = kept
}

// watchStampedLocked marks the watches of keys that got their versionstamp just now.
func (r *Replica) watchStampedLocked(c *sequencer.Closed) error {
	return batch.Records(c.Buf, func(rec batch.Record) {
		if rec.Op == base.OpSet {
			pos := c.Prev + base.Position(rec.Place) + 1
			r.mu.watches.keyLocked(rec.Key.In(c.Buf), base.Ticket{Log: r.loop.lead, Pos: pos})
		}
	})
}

func (r *Replica) ready(ctx context.Context, rd raft.Ready) error {
	if rd.SoftState != nil {
		r.heardOf(base.ReplicaID(rd.SoftState.Lead))
		r.leadership(rd.SoftState.RaftState == raft.StateLeader)
	}
	r.answered(rd.ReadStates)
	// The others write while this replica does.
	for _, m := range rd.Messages {
		if !raft.IsLocalMsgTarget(m.GetTo()) {
			if err := r.send(m); err != nil {
				return err
			}
		}
	}
	for _, m := range rd.Messages {
		var err error
		switch m.GetTo() {
		case raft.LocalAppendThread:
			err = r.storageAppend(ctx, m)
		case raft.LocalApplyThread:
			if !r.postpones(m) {
				err = r.storageApply(ctx, m)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// heardOf notes who leads, as far as this replica knows.
func (r *Replica) heardOf(leader base.ReplicaID) {
	node := r.loop.nodes[leader]
	if d, found := r.loop.desc.Replica(leader); found {
		node = d.Node
	}
	r.mu.Lock()
	r.mu.leader = node
	r.mu.Unlock()
}

// leadership begins or ends a tenure.
func (r *Replica) leadership(leads bool) {
	term := base.Term(r.loop.raft.BasicStatus().GetTerm())
	if r.loop.leading && (!leads || term != r.loop.term) {
		r.endTenure()
	}
	if leads && !r.loop.leading {
		r.loop.leading, r.loop.term = true, term
		r.loop.lastStamp = r.loop.stamp
		r.revokeLease(false)
	}
}

// endTenure drops the speculative tail (R3).
func (r *Replica) endTenure() {
	r.mu.Lock()
	lost := r.loop.lead
	r.mu.tenure, r.loop.lead = nil, nil
	r.serving.Store(false)
	r.leaseUntil.Store(0)
	r.mu.seq.DropTail(r.loop.position)
	r.mu.wants, r.mu.settled, r.mu.leaving, r.mu.gathering.want = nil, settled{}, false, 0
	r.mu.watches.tenureEndedLocked(base.Ticket{})
	r.mu.waits.drain()
	r.room.Broadcast()
	r.mu.Unlock()
	r.loop.leading, r.loop.inFlight, r.loop.handover = false, nil, handover{}
	clear(r.loop.notices)
	r.loop.asking = asking{number: r.loop.asking.number}
	r.dropProofs()
	if lost != nil {
		lost.end()
	}
}

// beginTenure lets the leader answer, once an entry of its term is applied and
// everything that the disk relies on (W5).
func (r *Replica) beginTenure() {
	if !r.loop.leading || r.loop.lead != nil || r.loop.applied < r.loop.readable {
		return
	}
	r.loop.lastStamp = r.loop.stamp
	if !r.solo.Load() && r.loop.desc.Span.Contains(issueKey) {
		r.o.Oracle.Observe(r.loop.stamp + IssueReach) // the leader before may have issued as much
	}
	r.loop.lead = newTenure(r.loop.term, r.loop.position, r.press)
	r.mu.Lock()
	r.mu.seq.DropTail(r.loop.position)
	r.mu.tenure = r.loop.lead
	r.serving.Store(true)
	r.room.Broadcast()
	r.mu.Unlock()
	r.freshen()
}

// storageAppend makes entries and hard state durable, and tells Raft.
func (r *Replica) storageAppend(ctx context.Context, m *pb.Message) error {
	w := raftlog.Write{Range: r.o.Range}
	r.loop.entries = r.loop.entries[:0]
	for _, e := range m.Entries {
		r.loop.entries = append(r.loop.entries, raftlog.Entry{Term: base.Term(e.GetTerm()),
			Index: base.LogIndex(e.GetIndex()), Type: uint8(e.GetType()), Data: e.Data})
	}
	w.Entries = r.loop.entries
	if m.Term != nil && m.Vote != nil {
		w.HardState = &raftlog.HardState{Term: base.Term(m.GetTerm()), Vote: base.ReplicaID(m.GetVote()),
			Commit: base.LogIndex(m.GetCommit())}
	}
	if m.Snapshot != nil {
		if err := r.install(m.Snapshot); err != nil {
			return err
		}
	}
	if err := r.appendWithRoom(ctx, w); err != nil {
		return err
	}
	if len(m.Responses) == 0 {
		return nil
	}
	if r.loop.shared.on && !r.o.Faults.SkipSync {
		r.loop.shared.unflushed = m.Responses
		return nil
	}
	r.pause(PointAppended)
	if !r.o.Faults.SkipSync {
		began := time.Now()
		if err := r.o.Log.Flush(); err != nil {
			return errors.Wrap(err, "raft log")
		}
		r.noteFlush(time.Since(began))
	}
	r.pause(PointFlushed)
	return r.answerAppend(m.Responses)
}

// noteFlush keeps the average of what flushes take. One that takes very long says little
// about the next ones.
func (r *Replica) noteFlush(took time.Duration) {
	average := r.flushTook.Load()
	r.flushTook.Store(average + (int64(min(took, 2*promptFlush))-average)/8)
}

// answerAppend tells Raft, and others, what is durable.
func (r *Replica) answerAppend(responses []*pb.Message) error {
	for _, resp := range responses {
		if err := r.send(resp); err != nil {
			return err
		}
	}
	return nil
}

// appendWithRoom waits out a full disk: what is sequenced cannot be refused any
// more. Writes are refused earlier, so this is the last resort.
func (r *Replica) appendWithRoom(ctx context.Context, w raftlog.Write) error {
	return r.withRoom(ctx, func() error { return errors.Wrap(r.o.Log.Append(w), "raft log") })
}

// withRoom repeats do while it has no room on disk.
func (r *Replica) withRoom(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, base.ErrDiskFull) {
			return err
		}
		if r.o.Pause != nil {
			r.pause(PointDiskFull)
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(diskFullPause):
		}
	}
}

// storageApply applies committed entries.
func (r *Replica) storageApply(ctx context.Context, m *pb.Message) error {
	for _, e := range m.Entries {
		if err := r.apply(ctx, e); err != nil {
			return err
		}
	}
	for _, resp := range m.Responses {
		if err := r.loop.raft.Step(resp); err != nil {
			return errors.Wrap(err, "raft")
		}
	}
	return nil
}

func (r *Replica) apply(ctx context.Context, e *pb.Entry) error {
	index := base.LogIndex(e.GetIndex())
	if index != r.loop.applied+1 {
		return errors.AssertionFailedf("entry %d follows entry %d", index, r.loop.applied)
	}
	r.loop.applied = index
	r.busy()
	if e.GetType() != pb.EntryNormal || len(e.Data) == 0 { // or a leader's first entry
		if e.GetType() != pb.EntryNormal {
			if err := r.applyChange(index, e); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.mu.applied = index
		r.appliedLocked()
		r.mu.Unlock()
		if base.Term(e.GetTerm()) == r.loop.term {
			r.beginTenure()
		}
		return nil
	}
	h, err := batch.DecodeHeader(e.Data)
	if err != nil {
		return errors.Wrapf(err, "entry %d", index)
	}
	if h.Previous != r.loop.position || h.Stamp <= r.loop.stamp || h.Term != base.Term(e.GetTerm()) {
		return errors.AssertionFailedf("entry %d: position %d, stamp %d, term %d follow position %d, stamp %d, term %d",
			index, h.Previous, h.Stamp, h.Term, r.loop.position, r.loop.stamp, e.GetTerm())
	}
	r.loop.position, r.loop.stamp = h.Last(), h.Stamp
	if h.Kind != batch.KindTransactions {
		return r.applyRangeChange(ctx, index, h, e.Data)
	}
	return r.applyBatch(index, h, e.Data)
}

// applyBatch takes a batch into the window.
func (r *Replica) applyBatch(index base.LogIndex, h batch.Header, data []byte) error {
	if r.loop.leading && h.Term == r.loop.term { // only this leader proposes in its term
		return r.applyOwn(index, h)
	}
	return r.applyForeign(index, h, data)
}

// applyOwn moves the boundary over a batch that this replica sequenced.
func (r *Replica) applyOwn(index base.LogIndex, h batch.Header) error {
	if len(r.loop.inFlight) == 0 || r.loop.inFlight[0].stamp != h.Stamp || r.loop.inFlight[0].closed.Last != h.Last() {
		return errors.AssertionFailedf("entry %d (stamp %d) is not the oldest batch in flight", index, h.Stamp)
	}
	f := r.loop.inFlight[0]
	r.loop.inFlight = append(r.loop.inFlight[:0], r.loop.inFlight[1:]...)
	r.lockSoon()
	r.mu.win.SetIndex(f.closed.Num, index)
	r.mu.win.Commit(f.closed.Num)
	r.mu.seq.Committed(&f.closed)
	if err := r.noteEntriesLocked(index, h, f.closed.Buf); err != nil {
		r.mu.Unlock()
		return err
	}
	r.mu.applied, r.mu.logged, r.mu.position = index, h.Stamp, h.Last()
	r.mu.watches.appliedLocked(f.closed.Last)
	told := r.mu.watches.committedLocked(f.closed.Last)
	r.gatherLocked(&f)
	r.accountLocked()
	r.room.Broadcast()
	r.mu.Unlock()
	for _, news := range told { // before those hear of it who wait for the commit
		news.feed.to(news.list)
	}
	r.pause(PointApplied)
	r.loop.woken = r.loop.lead.advance(f.closed.Last, r.loop.woken)
	r.evictor.applied(f.stamp)
	return nil
}

// applyForeign puts a batch from the log into the window: a replay, or an entry
// of another leader.
func (r *Replica) applyForeign(index base.LogIndex, h batch.Header, data []byte) error {
	r.o.Oracle.Observe(h.Stamp)
	r.mu.Lock()
	defer r.mu.Unlock()
	win := r.mu.win
	if len(r.loop.inFlight) > 0 || r.mu.seq.Speculative() > 0 {
		return errors.AssertionFailedf("entry %d of another leader while batches are in flight", index)
	}
	n := win.Open(h.Previous)
	win.SetBuffer(data)
	if err := r.replayLocked(h, data); err != nil {
		return errors.Wrapf(err, "entry %d", index)
	}
	r.mu.seq.Replayed(n, h.Last(), h.Stamp)
	win.SetIndex(n, index)
	if err := r.noteEntriesLocked(index, h, data); err != nil {
		return err
	}
	r.mu.seq.DropTail(h.Last())
	r.mu.applied, r.mu.logged, r.mu.position = index, h.Stamp, h.Last()
	if index <= r.loop.readable { // what died in memory below it is not carried (W5)
		r.raiseBase(h.Stamp)
	}
	r.accountLocked()
	r.appliedLocked()
	r.evictor.applied(h.Stamp)
	return nil
}

// replayLocked puts what a batch says into the window. It looks for several keys at a time.
func (r *Replica) replayLocked(h batch.Header, data []byte) (failed error) {
	var records [window.ExpectMax]batch.Record
	var keys [window.ExpectMax][]byte
	n := 0
	put := func() {
		r.mu.win.Expect(keys[:n])
		for _, rec := range records[:n] {
			failed = errors.CombineErrors(failed, r.mu.seq.Replay(rec, data, h.Previous+base.Position(rec.Place)+1))
		}
		n = 0
	}
	err := batch.Records(data, func(rec batch.Record) {
		records[n], keys[n] = rec, rec.Key.In(data)
		if n++; n == len(records) {
			put()
		}
	})
	if err == nil {
		put()
	}
	return errors.CombineErrors(err, failed)
}

// Stop ends the tenure: nothing is answered any more. Run calls it in the end; in
// a manual replica it is the caller's.
func (r *Replica) Stop() {
	r.loop.stopped = true
	r.forgetSleep()
	r.mu.Lock()
	r.mu.stopped = true
	r.accountLocked()
	r.room.Broadcast()
	r.mu.Unlock()
	if r.loop.leading {
		r.endTenure()
	}
}
