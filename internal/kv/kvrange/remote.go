package kvrange

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// distant is an attempt on a range that another node leads. Every read is a call,
// and says nothing that is not committed; the commit validates all of them.
type distant struct {
	client *remote.Client
	at     base.Stamp
	basis  replica.Basis
	now    int64
}

func (d *distant) begin(at base.Stamp) { d.at, d.basis, d.now = at, replica.Basis{}, 0 }

// took keeps the basis of the first read (C8).
func (d *distant) took(p *remote.Pairs) {
	if d.basis.Term == 0 {
		d.basis, d.now = p.Basis, p.NowMillis
	}
}

func (d *distant) get(key []byte) ([]byte, error) {
	p, err := d.client.Read(&remote.Read{At: d.at, Key: key})
	if err != nil {
		return nil, err
	}
	d.took(&p)
	if len(p.Pairs) == 0 {
		return nil, nil
	}
	return p.Pairs[0].Value, nil
}

// scanPairs is how many pairs a call asks for: few at first.
const (
	scanPairsMin = 16
	scanPairsMax = 4096
)

func (d *distant) scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	for limit := scanPairsMin; !span.Empty(); limit = min(4*limit, scanPairsMax) {
		p, err := d.client.Read(&remote.Read{At: d.at, Span: span, Reverse: reverse, Limit: limit})
		if err != nil {
			return err
		}
		d.took(&p)
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

// nowMillis is the leader's TTL clock.
func (d *distant) nowMillis() int64 {
	if d.at != 0 {
		return d.at.Millis()
	}
	if d.now == 0 {
		if s, err := d.client.Stamp(); err == nil {
			d.now = s.Millis()
		}
	}
	return d.now // zero: nothing is due without an oracle
}

func (d *distant) commit(req *kv.CommitRequest) (kv.Receipt, error) {
	q := remote.Commit{At: d.at, Basis: d.basis, ReadKeys: req.ReadKeys, ReadSpans: req.ReadSpans, Mutations: req.Mutations,
		Session: req.ID.Session, Number: req.ID.Number}
	watches := map[uint64]*remote.Watch{}
	for _, g := range req.Guards {
		w, ok := g.(*remote.Watch)
		if !ok || w.ID() == 0 {
			return kv.Receipt{}, base.ErrConflict // made while this node led: it is dirty
		}
		q.Guards = append(q.Guards, w.ID())
		watches[w.ID()] = w
	}
	if len(q.Mutations)+len(q.Guards) == 0 && (d.at != 0 || len(q.ReadSpans) == 0 && len(q.ReadKeys) <= 1) {
		return kv.Receipt{}, nil // consistent by itself
	}
	done, err := d.client.Commit(&q)
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
