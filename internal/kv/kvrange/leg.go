package kvrange

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// leg is what an attempt does in one range: on this node's replica, or by calls to the
// node that leads. What a call answers is committed; the commit validates all that was
// read since the first one (C8).
type leg struct {
	e    *Engine
	id   base.RangeID
	span base.Span
	r    *replica.Replica // nil: another node leads
	here *replica.Attempt // on r
	away distant
}

// distant is what is known of a range that another node leads.
type distant struct {
	at    base.Stamp
	basis replica.Basis     // of the first read
	ready map[string][]byte // what was expected and has been read; nil: absent
	now   int64             // the leader's TTL clock then
}

func (l *leg) begin(at base.Stamp, o *kv.AttemptOptions) {
	if l.r == nil {
		l.away = distant{at: at}
		return
	}
	l.here.Begin(at, replica.Hold(o.Hold))
	if o.Prompt {
		l.here.Prompt()
	}
}

func (l *leg) get(key []byte) ([]byte, error) {
	if l.r != nil {
		value, err := l.here.Get(key)
		return value, l.e.moved(err)
	}
	if value, ready := l.away.ready[string(key)]; ready {
		return value, nil
	}
	p, err := l.read(&remote.Read{Range: l.id, At: l.away.at, Keys: [][]byte{key}})
	if err != nil || len(p.Pairs) == 0 {
		return nil, err
	}
	return p.Pairs[0].Value, nil
}

// fetchMax is how many keys one call asks for.
const fetchMax = 1024

// fetch reads keys, all in one call. What goes wrong is seen when they are read one by one.
func (l *leg) fetch(keys [][]byte) {
	if len(keys) > fetchMax {
		defer l.fetch(keys[fetchMax:])
		keys = keys[:fetchMax]
	}
	p, err := l.read(&remote.Read{Range: l.id, At: l.away.at, Keys: keys})
	if err != nil {
		return
	}
	if l.away.ready == nil {
		l.away.ready = make(map[string][]byte, len(keys))
	}
	found := p.Pairs
	for _, key := range keys { // they are answered in this order
		if len(found) > 0 && bytes.Equal(found[0].Key, key) {
			l.away.ready[string(key)], found = found[0].Value, found[1:]
		} else if !p.More || len(found) > 0 { // else it was not looked for any more
			l.away.ready[string(key)] = nil
		}
	}
}

func (l *leg) read(q *remote.Read) (remote.Pairs, error) {
	p, err := l.e.client.Read(q)
	if err == nil && l.away.basis.Term == 0 {
		l.away.basis, l.away.now = p.Basis, p.NowMillis
	}
	return p, err
}

// scanPairs is how many pairs a call asks for: few at first.
const (
	scanPairsMin = 16
	scanPairsMax = 4096
)

func (l *leg) scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if l.r != nil {
		return l.e.moved(l.here.Scan(span, reverse, visit))
	}
	for limit := scanPairsMin; !span.Empty(); limit = min(4*limit, scanPairsMax) {
		p, err := l.read(&remote.Read{Range: l.id, At: l.away.at, Span: span, Reverse: reverse, Limit: limit})
		if err != nil {
			return err
		}
		for _, kv := range p.Pairs {
			if !visit(kv.Key, kv.Value) {
				return nil
			}
		}
		if !p.More {
			return nil
		}
		last := p.Pairs[len(p.Pairs)-1].Key
		if reverse {
			span.End = last
		} else {
			span.Start = base.Next(last)
		}
	}
	return nil
}

// nowMillis is the TTL clock of the range's leader; zero if that was not asked yet.
func (l *leg) nowMillis() int64 {
	if l.r != nil {
		return l.here.NowMillis()
	}
	return l.away.now
}

// abort ends the leg. What it has read must have come from a leader (R2); a call says
// nothing else.
func (l *leg) abort() base.Ticket {
	if l.r != nil {
		return l.here.Abort()
	}
	return base.Ticket{}
}

// holds reports whether everything lies in the leg's range.
func (l *leg) holds(req *kv.CommitRequest) bool {
	if !inside(req, l.span) {
		return false
	}
	for _, g := range req.Guards {
		if !l.span.Contains(g.(coordinator.Guard).Key()) {
			return false
		}
	}
	return true
}

// commit commits what lies in the leg's range. q is memory to use again.
func (l *leg) commit(req *kv.CommitRequest, q *replica.Request) (kv.Receipt, error) {
	if l.r != nil {
		r, err := l.e.commitHere(l.r, l.here, req, q)
		return r, l.e.moved(err)
	}
	c := remote.Commit{Range: l.id, Place: l.span.Start, At: l.away.at, Basis: l.away.basis, ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans,
		Mutations: req.Mutations, Session: req.ID.Session, Number: req.ID.Number, Origin: req.Origin}
	watches := map[uint64]*remote.Watch{}
	for _, g := range req.Guards {
		w, ok := g.(*remote.Watch)
		if !ok || w.ID() == 0 {
			return kv.Receipt{}, base.ErrConflict // made while this node led: it is dirty
		}
		if dirty, _ := w.Dirty(); dirty {
			return kv.Receipt{}, base.ErrConflict
		}
		c.Guards = append(c.Guards, w.ID())
		watches[w.ID()] = w
	}
	if len(c.Mutations)+len(c.Guards) == 0 && (c.At != 0 || len(c.ReadSpans) == 0 && len(c.ReadKeys) <= 1) {
		return kv.Receipt{}, nil // consistent by itself
	}
	done, err := l.e.client.Commit(&c)
	if err != nil {
		return kv.Receipt{}, err
	}
	for _, id := range done.Dirty {
		watches[id].MarkDirty()
	}
	switch {
	case len(done.Dirty) > 0:
		return kv.Receipt{}, base.ErrConflict
	case !done.Stamped:
		return kv.Receipt{}, nil
	}
	return kv.Receipt{Version: &done.Version}, nil
}
