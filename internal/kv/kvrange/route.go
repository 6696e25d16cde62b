package kvrange

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/router"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// serving is the replica of key's range if this node works on it. Where the node is alone,
// one that was just split off is waited for.
func (e *Engine) serving(key []byte) *replica.Replica {
	if e.client != nil {
		return e.client.Serving(key)
	}
	r := e.store.Range(key)
	if r != nil {
		r.AwaitBorn()
	}
	return r
}

// find is the replica that works on key, nil if another node leads, and where its range is.
// Who is in a hurry is not told of what others lead.
func (e *Engine) find(key []byte, prompt bool) (*replica.Replica, router.Route, error) {
	if r := e.serving(key); r != nil {
		d := r.Descriptor()
		return r, router.Route{Range: d.ID, Span: d.Span}, nil
	}
	if e.client == nil {
		return nil, router.Route{}, errors.Wrap(base.ErrUnavailable, "no range holds the key")
	}
	if prompt {
		return nil, router.Route{}, base.ErrWouldWait
	}
	route, err := e.client.Route(key)
	return nil, route, err
}
