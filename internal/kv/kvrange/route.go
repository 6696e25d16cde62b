package kvrange

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// rerouted turns the refusal of a range that does not hold a key, any more, into a
// conflict, if the ranges have changed since they were arranged as it says: the next
// attempt finds its way.
func (e *Engine) rerouted(err error, arrangement uint64) error {
	if errors.Is(err, base.ErrWrongRange) && arrangement != e.store.Arrangement() {
		return errors.Wrap(base.ErrConflict, "the range was split")
	}
	return err
}

// serving is the replica of key's range. Where this node is alone, one that was just
// split off is waited for.
func (e *Engine) serving(key []byte) *replica.Replica {
	if e.client != nil {
		return e.here()
	}
	r := e.store.Range(key)
	if r != nil {
		r.AwaitBorn()
	}
	return r
}
