package remote

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// complete answers the leader's word about a stamp; see replica.Complete.
func (v *Server) complete(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	d := base.NewDecoder(request)
	id, at, place := base.RangeID(d.Uvarint()), base.Stamp(d.Uvarint()), d.Bytes()
	if !d.Done() {
		return nil, errMalformed
	}
	r, other := v.leading(place)
	if r == nil {
		return other, nil
	}
	if err := is(r, id); err != nil {
		return nil, err
	}
	index, err := r.Complete(at)
	if err != nil {
		return nil, readError(err)
	}
	return appendNumbers([]byte{answerOK}, uint64(index)), nil
}

// Complete asks for the word of whoever leads a range about a stamp that was issued before:
// the index of its log that holds all up to there. This node has a replica of the range.
// Two nodes are asked at most: who wants to know may do without.
func (c *Client) Complete(ctx context.Context, id base.RangeID, at base.Stamp, key []byte) (base.LogIndex, error) {
	request := base.AppendBytes(appendNumbers(nil, uint64(id), uint64(at)), key)
	node := c.follows(key)
	for again := true; ; again = false {
		if node == 0 || node == c.self {
			return 0, errSelf
		}
		b, err := c.call(ctx, node, kindComplete, request)
		if err == nil {
			b, err = payload(b)
		}
		hint := errNotLeader{}
		if again && errors.As(err, &hint) {
			node = hint.leader
			continue
		}
		if err != nil {
			return 0, err
		}
		d := base.NewDecoder(b)
		index := base.LogIndex(d.Uvarint())
		if !d.Done() {
			return 0, errMalformed
		}
		return index, nil
	}
}
