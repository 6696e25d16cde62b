package kvrange

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/turn"
)

// several is an attempt where there are several ranges. It begins on the range of the
// first key that it touches, and on the newest state, as if there were only that one.
// When it touches another, the closure starts again as a wide attempt: that reads at
// one stamp S everywhere, and prepares on every range that it has read or is going to
// write. One that is given a stamp is wide from the beginning, and commits in one
// batch where it has to do with a single range.
type several struct {
	e        *Engine
	o        kv.AttemptOptions
	wide     bool
	crossed  bool       // the attempt before was not wide and had to be
	at       base.Stamp // S of a wide attempt; zero until it is needed
	now      base.Stamp
	stuck    bool       // a prompt attempt could not tell the time
	vain     bool       // what is expected needs several ranges
	priority base.Stamp // of the transaction's first wide attempt (C6)
	legs     []*leg
	live     int // legs that this attempt is on
	req      replica.Request
	guards   []kv.Watch
	place    *turn.Place // in the line of a hot key
}

func (m *several) begin(o kv.AttemptOptions) {
	m.finish()
	if !o.Again {
		m.crossed, m.priority = false, 0
	}
	m.o, m.at, m.now, m.stuck, m.vain = o, o.At, 0, false, false
	m.wide = o.At != 0 || m.crossed
}

// finish ends what is left of the attempt before.
func (m *several) finish() {
	for _, l := range m.legs[:m.live] {
		l.abort()
	}
	m.live = 0
	m.yield()
}

// errSeveral restarts a transaction that turns out to need several ranges.
var errSeveral = errors.Wrap(base.ErrConflict, "the transaction needs several ranges")

func (m *several) cross() error {
	if m.o.Prompt {
		return base.ErrWouldWait
	}
	m.crossed = true
	return errSeveral
}

// stamp is S.
func (m *several) stamp() (base.Stamp, error) {
	if m.at == 0 {
		var err error
		if m.at, err = m.e.ReadVersion(context.Background()); err != nil {
			return 0, err
		}
	}
	return m.at, nil
}

// on is the leg on the range that holds key.
func (m *several) on(key []byte) (*leg, error) {
	for _, l := range m.legs[:m.live] {
		if l.span.Contains(key) {
			return l, nil
		}
	}
	if m.live > 0 && !m.wide {
		return nil, m.cross()
	}
	r, route, err := m.e.find(key, m.o.Prompt)
	if err != nil {
		return nil, err
	}
	if r == nil && m.live == 0 {
		m.queue(key)
	}
	at := base.Stamp(0)
	if m.wide {
		if at, err = m.stamp(); err != nil {
			return nil, err
		}
	}
	l := m.leg(r)
	l.id, l.span = route.Range, route.Span
	l.begin(at, &m.o)
	return l, nil
}

// leg is one to begin on r, or away, with the memory of an earlier one.
func (m *several) leg(r *replica.Replica) *leg {
	defer func() { m.live++ }()
	for i := m.live; i < len(m.legs); i++ {
		if m.legs[i].r == r {
			m.legs[i], m.legs[m.live] = m.legs[m.live], m.legs[i]
			return m.legs[m.live]
		}
	}
	l := &leg{e: m.e, r: r}
	if r != nil {
		l.here = r.NewAttempt()
	}
	if len(m.legs) >= legsMax && m.live < len(m.legs) {
		m.legs[m.live] = l
		return l
	}
	m.legs = append(m.legs, l)
	m.legs[m.live], m.legs[len(m.legs)-1] = l, m.legs[m.live]
	return l
}

// legsMax is how many legs an attempt keeps the memory of.
const legsMax = 16

func (m *several) get(key []byte) ([]byte, error) {
	if m.vain {
		return nil, errSeveral
	}
	l, err := m.on(key)
	if err != nil {
		return nil, err
	}
	return l.get(key)
}

// expect reads keys of ranges that other nodes lead, with one call to each. An attempt that
// is going to touch several ranges is a wide one from the beginning then.
func (m *several) expect(keys [][]byte) {
	if m.o.Prompt {
		return
	}
	if m.live == 0 && !m.wide && m.apart(keys) {
		m.wide, m.crossed = true, true
	}
	if m.e.client == nil {
		return
	}
	away := map[*leg][][]byte{}
	for _, key := range keys {
		l, err := m.on(key)
		if err != nil { // as the read of that key will find
			m.vain = errors.Is(err, errSeveral)
			return
		}
		if l.r == nil {
			away[l] = append(away[l], key)
		}
	}
	var wait sync.WaitGroup
	for l, keys := range away {
		if len(keys) > 1 {
			wait.Go(func() { l.fetch(keys) })
		}
	}
	wait.Wait()
}

// apart reports whether keys lie in several ranges.
func (m *several) apart(keys [][]byte) bool {
	var first base.Span
	for i, key := range keys {
		if i > 0 && first.Contains(key) {
			continue
		}
		span, err := m.e.ranges.Span(key)
		switch {
		case err != nil:
			return false // as the read of that key will find
		case i > 0:
			return true
		}
		first = span
	}
	return false
}

func (m *several) scan(span base.Span, reverse bool, visit visitor) error {
	return pieces(span, reverse, visit, func(span base.Span, visit visitor) (base.Span, error) {
		piece, err := m.next(span, reverse)
		if err != nil {
			return piece, err
		}
		l, err := m.on(piece.Start)
		if err != nil {
			return piece, err
		}
		return piece, l.scan(piece, reverse, visit)
	})
}

// next is the beginning of span, in reverse the end, as far as one range goes. While a
// leg may hold its range's lock, nobody is asked.
func (m *several) next(span base.Span, reverse bool) (piece base.Span, err error) {
	for _, l := range m.legs[:m.live] {
		if holdsEdge(l.span, span, reverse) {
			return span.Clip(l.span), nil
		}
	}
	if m.live > 0 && !m.wide {
		return piece, m.cross()
	}
	for at := span.Start; ; at = piece.End {
		held, err := m.e.ranges.Span(at)
		if err != nil {
			return piece, err
		}
		if bytes.Compare(held.End, at) <= 0 { // it was cut while it was looked for
			return piece, errors.Wrapf(base.ErrWrongRange, "key %q", at)
		}
		piece = span.Clip(held)
		if !reverse || bytes.Equal(piece.End, span.End) {
			return piece, nil
		}
	}
}

// nowMillis is the TTL clock. Ranges have heard of stamps more or less lately; what this
// node was told once does not go back.
func (m *several) nowMillis() int64 {
	switch {
	case m.wide:
		if _, err := m.stamp(); err != nil {
			return 0 // nothing is due without an oracle
		}
		m.e.clock.told(m.at.Millis())
		return m.at.Millis()
	case m.now == 0 && m.live > 0: // the leg may hold its range's lock: nobody else is asked
		if now := m.legs[0].nowMillis(); now != 0 {
			return m.e.clock.told(now)
		}
	}
	if m.now == 0 && m.o.Prompt && m.e.client != nil {
		m.stuck = true // another node may have to be asked
		return 0
	}
	if m.now == 0 {
		m.now, _ = m.e.ReadVersion(context.Background())
	}
	return m.e.clock.told(m.now.Millis())
}

// highest is the highest of numbers.
type highest struct{ atomic.Int64 }

// told takes one more.
func (h *highest) told(n int64) int64 {
	for {
		old := h.Load()
		if old >= n || h.CompareAndSwap(old, n) {
			return max(old, n)
		}
	}
}

// abort ends all legs. What they have read must have come from leaders (R2).
func (m *several) abort() kv.Receipt {
	defer m.yield()
	var rest kv.Receipt
	for _, l := range m.legs[:m.live] {
		t := l.abort()
		switch {
		case t.Done():
		case rest.Ticket.Pos == 0:
			rest.Ticket = t
		default:
			if err := l.r.Await(t); err != nil {
				rest.Ticket = lost(err)
			}
		}
	}
	m.live = 0
	return rest
}

// end is abort for a transaction that goes on, in the leg keep if there is one: it waits
// for what its reads elsewhere depend on.
func (m *several) end(keep *leg) error {
	legs := m.legs[:m.live]
	m.live = 0
	for _, l := range legs {
		if l == keep {
			continue
		}
		t := l.abort()
		if t.Done() {
			continue
		}
		if err := l.r.Await(t); err != nil {
			for _, other := range legs {
				other.abort()
			}
			return errors.Wrapf(base.ErrConflict, "what was read: %v", err) // nothing was written
		}
	}
	return nil
}

func (m *several) commit(req *kv.CommitRequest) (kv.Receipt, error) {
	defer m.yield()
	if m.stuck {
		m.finish()
		return kv.Receipt{}, base.ErrWouldWait
	}
	if m.live == 0 && !m.wide && len(req.Mutations) > 0 { // nearly always they lie in one range
		if _, err := m.on(someKey(req)); err != nil {
			return kv.Receipt{}, err
		}
	}
	if req.Fence != nil {
		fits, err := false, error(nil)
		if m.live == 1 && !m.wide {
			fits, err = m.fencedIn(m.legs[0], req)
		}
		if fits {
			return m.commitIn(m.legs[0], req)
		}
		if err == nil {
			err = m.fenced(req)
		}
		if err != nil {
			m.finish()
			return kv.Receipt{}, err
		}
	}
	if m.live == 0 && len(req.Mutations)+len(req.ReadKeys)+len(req.ReadSpans)+len(req.Guards) == 0 {
		return kv.Receipt{}, nil
	}
	if m.live == 1 && !m.wide { // it may hold the range's lock
		if l := m.legs[0]; l.holds(req) {
			return m.commitIn(l, req)
		}
		m.finish()
		if len(req.ReadKeys)+len(req.ReadSpans) > 0 || len(req.Mutations) == 0 {
			return kv.Receipt{}, m.cross()
		}
	}
	if m.o.Prompt {
		m.finish()
		return kv.Receipt{}, base.ErrWouldWait
	}
	var guards []coordinator.Guard
	for _, g := range req.Guards {
		guards = append(guards, g.(coordinator.Guard))
	}
	q := coordinator.Request{At: m.at, Priority: m.priority, ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans,
		Mutations: req.Mutations, Guards: guards}
	if m.wide && len(req.Mutations) == 0 {
		return m.commitReads(req)
	}
	spread, err := m.e.coordinator.Wide(&q)
	switch {
	case err != nil:
		m.finish()
		return kv.Receipt{}, err
	case !spread:
		return m.commitHere(req)
	case !m.wide && len(req.ReadKeys)+len(req.ReadSpans) > 0, len(req.Mutations) == 0:
		m.finish()
		return kv.Receipt{}, m.cross()
	}
	return m.commitSpread(req, &q)
}

// commitHere commits in the only range that the transaction has to do with. Others
// may have been read without conflicts.
func (m *several) commitHere(req *kv.CommitRequest) (kv.Receipt, error) {
	l, err := m.on(someKey(req))
	if err != nil {
		m.finish()
		return kv.Receipt{}, err
	}
	if err := m.end(l); err != nil {
		return kv.Receipt{}, err
	}
	return m.commitIn(l, req)
}

// commitIn commits in one range, and ends the leg.
func (m *several) commitIn(l *leg, req *kv.CommitRequest) (kv.Receipt, error) {
	m.live = 0
	return l.commit(req, &m.req)
}

// commitReads ends an attempt that has read one state, that of S. What is guarded is
// read, too, so that it has not been written by then.
func (m *several) commitReads(req *kv.CommitRequest) (kv.Receipt, error) {
	for _, g := range req.Guards {
		key := g.(coordinator.Guard).Key()
		if _, err := m.get(key); err != nil {
			m.finish()
			return kv.Receipt{}, err
		}
		if _, far := g.(*remote.Watch); far {
			if err := m.cleanAway(key, g); err != nil {
				m.finish()
				return kv.Receipt{}, err
			}
		}
		if dirty, t := g.Dirty(); dirty {
			m.finish()
			return kv.Receipt{Ticket: t}, base.ErrConflict
		}
	}
	return m.abort(), nil
}

// cleanAway asks the node that keeps a watch whether it is dirty: what this node has heard
// may be late.
func (m *several) cleanAway(key []byte, w kv.Watch) error {
	l, err := m.on(key)
	if err != nil {
		return err
	}
	if l.r != nil { // the leader that kept it leads no more
		return base.ErrConflict
	}
	_, err = l.commit(&kv.CommitRequest{Guards: []kv.Watch{w}}, nil)
	return err
}

func (m *several) commitSpread(req *kv.CommitRequest, q *coordinator.Request) (kv.Receipt, error) {
	if err := m.end(nil); err != nil {
		return kv.Receipt{}, err
	}
	res, err := m.e.coordinator.Commit(q)
	m.priority = res.Priority
	if err != nil {
		for _, g := range req.Guards {
			if dirty, t := g.Dirty(); dirty {
				return kv.Receipt{Ticket: t}, err
			}
		}
		return kv.Receipt{}, err
	}
	v := base.MakeVersionstamp(res.Commit, 0)
	return kv.Receipt{Version: &v}, nil
}

// someKey is a key of the range that the transaction has to do with.
func someKey(req *kv.CommitRequest) []byte {
	switch {
	case len(req.Mutations) > 0:
		return coordinator.Place(&req.Mutations[0])
	case len(req.ReadKeys) > 0:
		return req.ReadKeys[0]
	case len(req.ReadSpans) > 0:
		return req.ReadSpans[0].Start
	}
	return req.Guards[0].(coordinator.Guard).Key()
}

// lost is the ticket of what cannot be revealed.
func lost(err error) base.Ticket { return base.Ticket{Log: lostLog{err}, Pos: 1} }

type lostLog struct{ err error }

func (l lostLog) Committed() base.Position { return 0 }
func (l lostLog) Kick()                    {}
func (l lostLog) Notify(_ base.Position, w base.Waiter) bool {
	w.Committed(l.err)
	return true
}
