package remote

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// What coordinators ask ranges for (cluster/coordinator). A request says a key of the
// range and what the range is to log; the answer begins with a verdict, since not every
// refusal keeps its class on the way.
const (
	verdictDone      = 0
	verdictOver      = 1 // prepared.ErrOver
	verdictNotHeld   = 2 // prepared.ErrNotHeld
	verdictForgotten = 3 // prepared.ErrForgotten
)

var verdicts = map[uint64]error{verdictOver: prepared.ErrOver, verdictNotHeld: prepared.ErrNotHeld,
	verdictForgotten: prepared.ErrForgotten}

// entryRequest asks the range that holds Key to log Entry.
type entryRequest struct {
	Key    []byte
	Guards []uint64 // of a prepare: numbers of watches
	Entry  prepared.Entry
}

func (q *entryRequest) append(dst []byte) []byte {
	dst = binary.AppendUvarint(base.AppendBytes(dst, q.Key), uint64(len(q.Guards)))
	return q.Entry.Append(appendNumbers(dst, q.Guards...))
}

func decodeEntryRequest(b []byte) (q entryRequest, err error) {
	d := base.NewDecoder(b)
	q.Key = d.Bytes()
	for n := d.Count(1); n > 0; n-- {
		q.Guards = append(q.Guards, d.Uvarint())
	}
	if !d.OK() {
		return q, errMalformed
	}
	q.Entry, err = prepared.DecodeRequest(d.Rest())
	return q, err
}

// entryAnswer is how a transaction ended, of a record, or what the range holds, of a
// resolve.
type entryAnswer struct {
	Commit base.Stamp
	Held   base.Span
}

func (a *entryAnswer) append(dst []byte) []byte {
	return appendSpan(appendNumbers(dst, verdictDone, uint64(a.Commit)), a.Held)
}

func decodeEntryAnswer(b []byte) (a entryAnswer, err error) {
	d := base.NewDecoder(b)
	if err, bad := verdicts[d.Uvarint()]; bad {
		return a, err
	}
	a.Commit, a.Held = base.Stamp(d.Uvarint()), decodeSpan(&d)
	if !d.Done() {
		return a, errMalformed
	}
	return a, nil
}

// judged is an answer, or a refusal that has a verdict.
func judged(answer []byte, err error) ([]byte, error) {
	for code, known := range verdicts {
		if errors.Is(err, known) {
			return appendNumbers(nil, answerOK, code), nil
		}
	}
	return answer, err
}

// local is this node's part of the ranges.
func (v *Server) local() *coordinator.Here { return &coordinator.Here{Store: leaders{v.store}} }

// leaders shows a coordinator the replicas that lead.
type leaders struct{ Store }

// NextStamp implements coordinator.Store; nobody asks a server for stamps in this way.
func (leaders) NextStamp() (base.Stamp, error) { return 0, base.ErrUnavailable }

func (v *Server) entry(_ context.Context, from base.NodeID, request []byte) ([]byte, error) {
	v.hear(from)
	q, err := decodeEntryRequest(request)
	if err != nil {
		return nil, err
	}
	if r, other := v.leading(q.Key); r == nil {
		return other, nil
	}
	var out entryAnswer
	switch e := q.Entry.(type) {
	case *prepared.Prepare:
		watches, gone := v.guards(q.Guards)
		if len(gone) > 0 {
			return nil, base.ErrConflict
		}
		var guards []coordinator.Guard
		for _, w := range watches {
			guards = append(guards, w)
		}
		err = v.local().Prepare(q.Key, e, guards)
	case *prepared.Record:
		out.Commit, err = v.local().Record(e)
	case *prepared.Resolve:
		out.Held, err = v.local().Resolve(q.Key, e)
	case *prepared.Settled:
		err = v.local().Settled(q.Key, e)
	default:
		err = errMalformed
	}
	return judged(out.append([]byte{answerOK}), err)
}

func (v *Server) fate(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	e, err := prepared.DecodeRequest(request)
	rec, ok := e.(*prepared.Record)
	if err != nil || !ok {
		return nil, errMalformed
	}
	if r, other := v.leading(rec.Anchor); r == nil {
		return other, nil
	}
	status, commit, err := v.local().Fate(&rec.Txn)
	return appendNumbers(nil, answerOK, uint64(status), uint64(commit)), readError(err)
}

func (v *Server) horizons(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	d := base.NewDecoder(request)
	refuse, key := base.Stamp(d.Uvarint()), d.Bytes()
	if !d.Done() {
		return nil, errMalformed
	}
	if r, other := v.leading(key); r == nil {
		return other, nil
	}
	h, err := v.local().Horizons(key, refuse)
	return appendSpan(appendNumbers(nil, answerOK, uint64(h.Refuse), uint64(h.Oldest)), h.Span), readError(err)
}

func (v *Server) route(_ context.Context, _ base.NodeID, key []byte) ([]byte, error) {
	r, other := v.leading(key)
	if r == nil {
		return other, nil
	}
	d := r.Descriptor()
	if !d.Span.Contains(key) { // it was cut since it was found; who asks again finds the right side
		return appendNumbers(nil, answerNotLeader, 0), nil
	}
	return d.Append([]byte{answerOK}), nil
}

var _ coordinator.Ranges = (*Client)(nil)

// Key implements coordinator.Guard.
func (w *Watch) Key() []byte { return w.key }

// change asks for an entry. What is delivered twice happens once (C3), except that the
// answer to a record may be lost: its fate is then for the coordinator to find out.
func (c *Client) change(q *entryRequest) (entryAnswer, error) {
	again := harmless
	if _, record := q.Entry.(*prepared.Record); record {
		again = never
	}
	b, err := c.ask(q.Key, kindEntry, q.append(nil), again)
	if err != nil {
		return entryAnswer{}, err
	}
	return decodeEntryAnswer(b)
}

// Prepare implements coordinator.Ranges.
func (c *Client) Prepare(key []byte, p *prepared.Prepare, guards []coordinator.Guard) error {
	q := entryRequest{Key: key, Entry: p}
	for _, g := range guards {
		w, ok := g.(*Watch)
		if !ok || w.ID() == 0 {
			return base.ErrConflict // made while this node led: it is dirty
		}
		q.Guards = append(q.Guards, w.ID())
	}
	_, err := c.change(&q)
	return err
}

// Record implements coordinator.Ranges.
func (c *Client) Record(r *prepared.Record) (base.Stamp, error) {
	a, err := c.change(&entryRequest{Key: r.Anchor, Entry: r})
	return a.Commit, err
}

// Resolve implements coordinator.Ranges.
func (c *Client) Resolve(key []byte, r *prepared.Resolve) (base.Span, error) {
	a, err := c.change(&entryRequest{Key: key, Entry: r})
	return a.Held, err
}

// Settled implements coordinator.Ranges.
func (c *Client) Settled(anchor []byte, s *prepared.Settled) error {
	_, err := c.change(&entryRequest{Key: anchor, Entry: s})
	return err
}

// Fate implements coordinator.Ranges.
func (c *Client) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error) {
	b, err := c.ask(t.Anchor, kindFate, (&prepared.Record{Txn: *t}).Append(nil), harmless)
	if err != nil {
		return 0, 0, err
	}
	d := base.NewDecoder(b)
	status, commit := d.Uvarint(), base.Stamp(d.Uvarint())
	if !d.Done() || status > uint64(prepared.Forgotten) {
		return 0, 0, errMalformed
	}
	return prepared.Status(status), commit, nil
}

// Horizons implements coordinator.Ranges.
func (c *Client) Horizons(key []byte, refuse base.Stamp) (h coordinator.Horizons, err error) {
	b, err := c.ask(key, kindHorizons, base.AppendBytes(appendNumbers(nil, uint64(refuse)), key), harmless)
	if err != nil {
		return h, err
	}
	d := base.NewDecoder(b)
	h.Refuse, h.Oldest, h.Span = base.Stamp(d.Uvarint()), base.Stamp(d.Uvarint()), decodeSpan(&d)
	if !d.Done() {
		return h, errMalformed
	}
	return h, nil
}
