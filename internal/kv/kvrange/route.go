package kvrange

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// route is where an attempt works: on the one range there is, or on the range of the
// first key that it touches. A transaction over several ranges is refused with
// base.ErrWrongRange. When the ranges have changed since it began, that is a conflict
// instead: the next attempt finds its way.
type route struct {
	options     kv.AttemptOptions
	single      bool // there is one range
	bound       bool // the range is known
	arrangement uint64
}

// open begins an attempt; it is bound at once if there is one range.
func (a *attempt) open(o kv.AttemptOptions) {
	a.options = o
	a.arrangement = a.e.store.Arrangement()
	a.single = a.e.store.Only() != nil || a.e.client != nil
	a.bound, a.far = a.single, false
}

// bind begins on the range that holds key, if none is known yet.
func (a *attempt) bind(key []byte) error {
	if a.bound {
		return nil
	}
	r := a.e.serving(key)
	if r == nil {
		return errors.Wrap(base.ErrUnavailable, "no range holds the key")
	}
	a.bound = true
	a.begin(r)
	return nil
}

// bindCommit begins on the range of a transaction that has read nothing. done says that
// there is nothing to do at all.
func (a *attempt) bindCommit(req *kv.CommitRequest) (done bool, err error) {
	switch {
	case len(req.Mutations) > 0:
		return false, a.bind(anchor(&req.Mutations[0]))
	case len(req.ReadKeys) > 0:
		return false, a.bind(req.ReadKeys[0])
	case len(req.ReadSpans) > 0:
		return false, a.bind(req.ReadSpans[0].Start)
	case len(req.Guards) > 0:
		return false, a.bind(nil)
	}
	return true, nil
}

// anchor is a key by which the range of a mutation is found: a versionstamped one lands
// above all that have been.
func anchor(m *base.Mutation) []byte {
	if m.Op != base.OpSetVersionstampedKey {
		return m.Key
	}
	template, off, ok := base.VersionstampOffset(m.Key)
	if !ok {
		return m.Key
	}
	key := append([]byte{}, template...)
	for i := range base.VersionstampLen {
		key[off+i] = 0xFF
	}
	return key
}

// rerouted turns the refusal of a range that does not hold a key, any more, into a
// conflict.
func (a *attempt) rerouted(err error) error {
	if errors.Is(err, base.ErrWrongRange) && a.arrangement != a.e.store.Arrangement() {
		return errors.Wrap(base.ErrConflict, "the range was split")
	}
	return err
}

// ownMillis is the TTL clock of an attempt that has not touched any range.
func (a *attempt) ownMillis() int64 {
	if a.options.At != 0 {
		return a.options.At.Millis()
	}
	s, err := a.e.store.NextStamp()
	if err != nil {
		return 0 // nothing is due without an oracle
	}
	return s.Millis()
}

// serving is the replica of key's range. Where this node is alone, one that was just
// split off is waited for.
func (e *Engine) serving(key []byte) *replica.Replica {
	if e.client != nil {
		return e.here()
	}
	r := e.store.Range(key)
	if r != nil && !r.Serving() {
		ctx, cancel := context.WithTimeout(context.Background(), limits.LeaderWait)
		defer cancel()
		r.AwaitServing(ctx)
	}
	return r
}
