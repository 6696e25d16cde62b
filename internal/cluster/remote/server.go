package remote

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/internal/turn"
)

// Store is what a server serves.
type Store interface {
	// Range is the replica that holds key; nil if there is none here.
	Range(key []byte) *replica.Replica
	// Replicas are all of them.
	Replicas() []*replica.Replica
	// Deliver gives a message to the replica it is for.
	Deliver(m *replica.Message) error
	// Take is Deliver for those who call replica.Attend then.
	Take(m *replica.Message) (*replica.Replica, error)
	TakeBeat(from base.NodeID, b *sleep.Beat)
}

// Server answers other nodes.
type Server struct {
	store Store
	log   *slog.Logger
	lines turn.Lines
	// published takes what other nodes publish.
	published atomic.Pointer[func(message []byte) error]
	mu        struct {
		sync.Mutex
		watches map[uint64]*replica.Watch
		last    uint64
		heard   map[base.NodeID]time.Time
		burst   map[base.NodeID][]*replica.Replica // that have messages which came together
	}
}

// NewServer registers a server's handlers.
func NewServer(s Store, log *slog.Logger, to transport.Registrar) *Server {
	v := &Server{store: s, log: log}
	v.mu.watches, v.mu.heard, v.mu.burst = map[uint64]*replica.Watch{}, map[base.NodeID]time.Time{}, map[base.NodeID][]*replica.Replica{}
	v.mu.last = rand.Uint64() // a number of the process before must not mean a watch of this one
	to.HandleMessage(kindRaft, v.raft)
	to.HandleMessage(kindRaftLarge, v.raftLarge)
	to.HandleMessage(kindBeat, v.beat)
	to.HandleMessage(kindPublish, v.publish)
	to.HandleCall(kindRead, v.read)
	to.HandleCall(kindCommit, v.commit)
	to.HandleCall(kindStamp, v.stamp)
	to.HandleCall(kindEntry, v.entry)
	to.HandleCall(kindFate, v.fate)
	to.HandleCall(kindHorizons, v.horizons)
	to.HandleCall(kindRoute, v.route)
	to.HandleCall(kindComplete, v.complete)
	to.HandleStream(kindTalk, v.talk)
	to.HandleStream(kindSnapshot, v.snapshot)
	to.HandleStream(kindFollow, v.follow)
	return v
}

// Heard is when a node was last heard of.
func (v *Server) Heard(from base.NodeID) (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, ok := v.mu.heard[from]
	return at, ok
}

func (v *Server) hear(from base.NodeID) {
	v.mu.Lock()
	v.mu.heard[from] = time.Now()
	v.mu.Unlock()
}

// raft takes a message of a replica. When no more have come with it, those that have
// messages attend to them.
func (v *Server) raft(from base.NodeID, payload []byte, more bool) {
	m, err := replica.DecodeMessage(payload)
	var r *replica.Replica
	if err == nil {
		r, err = v.store.Take(&m)
	}
	if err != nil {
		v.log.Warn("message of a replica", "from", from, "error", err)
	}
	v.mu.Lock()
	v.mu.heard[from] = time.Now()
	burst := v.mu.burst[from]
	if r != nil && !slices.Contains(burst, r) {
		burst = append(burst, r)
	}
	v.mu.burst[from] = burst
	if !more {
		v.mu.burst[from] = nil
	}
	v.mu.Unlock()
	if !more && len(burst) > 0 {
		replica.Attend(burst)
	}
}

func (v *Server) raftLarge(from base.NodeID, payload []byte, _ bool) {
	v.hear(from)
	m, err := replica.DecodeMessage(payload)
	if err == nil {
		err = v.store.Deliver(&m)
	}
	if err != nil {
		v.log.Warn("message of a replica", "from", from, "error", err)
	}
}

func (v *Server) beat(from base.NodeID, payload []byte, _ bool) {
	v.hear(from)
	b, err := sleep.DecodeBeat(payload)
	if err != nil {
		v.log.Warn("heartbeat of a store", "from", from, "error", err)
		return
	}
	v.store.TakeBeat(from, &b)
}

// Every response begins with one of these.
const (
	answerOK        = 0
	answerNotLeader = 1 // then the node that may be it
)

// leading is the replica of key if it leads; otherwise the answer that says who does.
func (v *Server) leading(key []byte) (*replica.Replica, []byte) {
	r := v.store.Range(key)
	if r != nil && r.Serving() {
		return r, nil
	}
	leader := base.NodeID(0)
	if r != nil {
		leader = r.Leader()
	}
	return nil, appendNumbers(nil, answerNotLeader, uint64(leader))
}

// is refuses what was meant for another range: the ranges have changed since its route was
// learnt.
func is(r *replica.Replica, meant base.RangeID) error {
	if id, _ := r.ID(); id != meant {
		return errors.Wrapf(base.ErrWrongRange, "range %d holds the key, not range %d", id, meant)
	}
	return nil
}

// stamp answers as many stamps as are asked for, none of them issued before.
func (v *Server) stamp(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	d := base.NewDecoder(request)
	count := d.Uvarint()
	if !d.Done() || count == 0 || count > stampsMax {
		return nil, errMalformed
	}
	r, other := v.leading(nil)
	if r == nil {
		return other, nil
	}
	stamps, err := r.IssueStamps(int(count))
	if err != nil {
		return nil, readError(err)
	}
	out := []byte{answerOK}
	for _, s := range stamps {
		out = appendNumbers(out, uint64(s))
	}
	return out, nil
}

// readBytes is how much a read of a span answers at a time.
const readBytes = 1 << 20

func (v *Server) read(_ context.Context, from base.NodeID, request []byte) ([]byte, error) {
	v.hear(from)
	q, err := decodeRead(request)
	if err != nil {
		return nil, err
	}
	r, other := v.leading(q.place())
	if r == nil {
		return other, nil
	}
	if err := is(r, q.Range); err != nil {
		return nil, err
	}
	a := r.NewAttempt()
	a.Begin(q.At, replica.HoldNever)
	var out Pairs
	if len(q.Keys) > 0 {
		err = get(a, q.Keys, &out)
	} else {
		err = scan(a, &q, &out)
	}
	if err == nil && q.At == 0 {
		out.NowMillis = a.NowMillis()
	}
	out.Basis = a.Basis()
	ticket := a.Abort()
	if err == nil {
		err = ticket.Wait()
	}
	if err != nil {
		return nil, readError(err)
	}
	return out.append([]byte{answerOK}), nil
}

// readError: a read has no fate that could be unknown.
func readError(err error) error {
	if errors.Is(err, base.ErrUnknownOutcome) {
		return base.ErrUnavailable
	}
	return err
}

func get(a *replica.Attempt, keys [][]byte, out *Pairs) error {
	size := 0
	for _, key := range keys {
		if size >= readBytes {
			out.More = true
			return nil
		}
		value, err := a.Get(key)
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		if len(keys) == 1 {
			key = nil
		}
		size += len(key) + len(value)
		out.Pairs = append(out.Pairs, base.KeyValue{Key: key, Value: value})
	}
	return nil
}

func scan(a *replica.Attempt, q *Read, out *Pairs) error {
	size := 0
	return a.Scan(q.Span, q.Reverse, func(key, value []byte) bool {
		if q.Limit > 0 && len(out.Pairs) == q.Limit || size >= readBytes {
			out.More = true
			return false
		}
		size += len(key) + len(value)
		out.Pairs = append(out.Pairs, base.KeyValue{Key: append([]byte{}, key...), Value: append([]byte{}, value...)})
		return true
	})
}

func (v *Server) commit(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	q, err := decodeCommit(request)
	if err != nil {
		return nil, err
	}
	r, other := v.leading(q.Place)
	if r == nil {
		return other, nil
	}
	if err := is(r, q.Range); err != nil {
		return nil, err
	}
	guards, dirty := v.guards(q.Guards)
	for i, w := range guards {
		if !w.Of(r) { // the key was in a range that is another one now: nobody marks it here
			dirty = append(dirty, q.Guards[i])
		}
	}
	if len(dirty) > 0 {
		return (&Committed{Dirty: dirty}).append([]byte{answerOK}), nil
	}
	a := r.NewAttempt()
	a.Begin(q.At, replica.HoldNever)
	if err := a.Resume(q.Basis); err != nil {
		return nil, err
	}
	rec, err := a.Commit(&replica.Request{ReadKeys: q.ReadKeys, ReadSpans: q.ReadSpans, Mutations: q.Mutations,
		Stamped: len(q.Mutations) > 0, Session: q.Session, Number: q.Number, Guards: guards, Origin: q.Origin})
	if err != nil {
		for i, w := range guards {
			if is, _ := w.Dirty(); is {
				dirty = append(dirty, q.Guards[i])
			}
		}
		if len(dirty) == 0 || !errors.Is(err, base.ErrConflict) {
			return nil, err
		}
	}
	if werr := rec.Ticket.Wait(); werr != nil {
		if len(q.Mutations) == 0 || len(dirty) > 0 {
			werr = readError(werr)
		}
		return nil, werr
	}
	out := Committed{Dirty: dirty}
	if rec.Version != nil {
		out.Stamped, out.Version = true, *rec.Version
	}
	return out.append([]byte{answerOK}), nil
}

// guards finds the watches; those that are gone count as dirty.
func (v *Server) guards(ids []uint64) (found []*replica.Watch, gone []uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		if w := v.mu.watches[id]; w != nil {
			found = append(found, w)
		} else {
			gone = append(gone, id)
		}
	}
	return found, gone
}

// watch registers an interest and says its number; a second chunk says that the key
// has changed.
func (v *Server) watch(ctx context.Context, _ base.NodeID, key []byte, s transport.Stream) error {
	r, other := v.leading(key)
	if r == nil {
		return s.Send(other)
	}
	w := r.Watch(key)
	defer w.Close()
	v.mu.Lock()
	v.mu.last++
	id := v.mu.last
	v.mu.watches[id] = w
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		delete(v.mu.watches, id)
		v.mu.Unlock()
	}()
	if err := s.Send(appendNumbers(nil, answerOK, id)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.Changed():
		return s.Send([]byte{answerOK})
	}
}

// snapshot takes a message with a snapshot: its bytes come in chunks.
func (v *Server) snapshot(_ context.Context, from base.NodeID, request []byte, s transport.Stream) error {
	m, err := replica.DecodeMessage(request)
	if err != nil {
		return err
	}
	var data []byte
	for {
		chunk, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(data)+len(chunk) > limits.SnapshotBytes {
			return errors.Newf("a snapshot of more than %d bytes", limits.SnapshotBytes)
		}
		data = append(data, chunk...)
	}
	snap, err := decodeSnapshot(data)
	if err != nil {
		return err
	}
	v.log.Info("snapshot received", "range", m.Range, "from", from, "pairs", len(snap.Pairs), "applied", snap.State.Applied)
	m.SetSnapshot(snap)
	return v.store.Deliver(&m)
}

// sendSnapshot streams a message's snapshot.
func sendSnapshot(ctx context.Context, t transport.Messenger, to base.NodeID, m *replica.Message) error {
	s, err := t.OpenStream(ctx, to, kindSnapshot, m.Append(nil))
	if err != nil {
		return err
	}
	defer s.Close()
	for chunk := range slices.Chunk(appendSnapshot(nil, m.Snapshot), limits.TransportChunkBytes) {
		if err := s.Send(chunk); err != nil {
			return err
		}
	}
	if err := s.End(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != io.EOF {
		return err
	}
	return nil
}

func appendSnapshot(dst []byte, s *replica.Snapshot) []byte {
	dst = base.AppendBytes(base.AppendBytes(dst, s.State.Range.Append(nil)), s.State.Table)
	dst = appendNumbers(dst, uint64(s.State.Applied), uint64(s.State.Position), uint64(s.State.Stamp),
		uint64(s.State.Readable), uint64(s.Term), uint64(len(s.Pairs)))
	for _, p := range s.Pairs {
		dst = base.AppendBytes(base.AppendBytes(dst, p.Key), p.Value)
	}
	return dst
}

func decodeSnapshot(b []byte) (*replica.Snapshot, error) {
	d := base.NewDecoder(b)
	desc, err := base.DecodeRangeDescriptor(d.Bytes())
	if err != nil {
		return nil, err
	}
	s := &replica.Snapshot{State: replica.State{Range: desc, Table: d.Bytes(), Applied: base.LogIndex(d.Uvarint()), Position: base.Position(d.Uvarint()),
		Stamp: base.Stamp(d.Uvarint()), Readable: base.LogIndex(d.Uvarint()), Received: true}}
	s.Term = base.Term(d.Uvarint())
	for n := d.Count(2); n > 0; n-- {
		s.Pairs = append(s.Pairs, base.KeyValue{Key: d.Bytes(), Value: d.Bytes()})
	}
	if !d.Done() {
		return nil, errMalformed
	}
	return s, nil
}
