package remote

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
)

// Two nodes may be cut off from each other while both reach a third one. A range's leader is
// then cut off from those who ask for it, or from the leader of the first range, who has the
// stamps for its batches, and stays the leader: it has a majority. So who suspects its way to
// a node sends its call by way of one that it does not suspect. A call goes by way of one
// node at most, and what has become of it is told as if it had gone straight.

// suspecter tells ways that are in doubt; see transport.Transport.Suspect.
type suspecter interface{ Suspect(base.NodeID) bool }

var _ suspecter = (*transport.Transport)(nil)

// by is the node by way of which node is called; zero: straight.
func (c *Client) by(node base.NodeID) base.NodeID {
	s, ok := c.to.(suspecter)
	if !ok || !s.Suspect(node) {
		return 0
	}
	ways := slices.DeleteFunc(slices.Clone(c.others()), func(id base.NodeID) bool {
		return id == node || id == c.self || s.Suspect(id)
	})
	if len(ways) == 0 {
		return 0
	}
	return ways[c.detours.Add(1)%uint64(len(ways))] // in turn: not all of them need reach the node
}

// way is how a node is called.
type way struct {
	to base.NodeID
	by base.NodeID // zero: straight
}

// doubts reports whether a call that has gone such a way had better be given up.
func (c *Client) doubts(w way) bool {
	if w.by == 0 {
		return c.by(w.to) != 0
	}
	s, ok := c.to.(suspecter)
	return ok && s.Suspect(w.by)
}

// call calls a node, straight or not.
func (c *Client) call(ctx context.Context, node base.NodeID, kind transport.Kind, request []byte) ([]byte, error) {
	return c.callBy(ctx, way{node, c.by(node)}, kind, request)
}

func (c *Client) callBy(ctx context.Context, w way, kind transport.Kind, request []byte) ([]byte, error) {
	if w.by != 0 {
		return c.to.Call(ctx, w.by, kindDetour, appendDetour(w.to, kind, request))
	}
	return c.to.Call(ctx, w.to, kind, request)
}

func appendDetour(node base.NodeID, kind transport.Kind, request []byte) []byte {
	b := appendNumbers(make([]byte, 0, len(request)+2*binary.MaxVarintLen64), uint64(node), uint64(kind))
	return append(b, request...)
}

// HandleDetours lets a node pass on what others cannot send themselves.
func HandleDetours(to interface {
	transport.Registrar
	transport.Messenger
	suspecter
}) {
	to.HandleCall(kindDetour, func(ctx context.Context, _ base.NodeID, request []byte) ([]byte, error) {
		node, n := binary.Uvarint(request)
		if n <= 0 {
			return nil, errMalformed
		}
		kind, m := binary.Uvarint(request[n:])
		if m <= 0 || transport.Kind(kind) == kindDetour {
			return nil, errMalformed
		}
		if to.Suspect(base.NodeID(node)) {
			return nil, errors.Wrapf(base.ErrUnavailable, "node %d is not reached either", node)
		}
		ctx, give := context.WithCancel(ctx)
		defer give()
		defer lookOut(ctx, give, func() bool { return to.Suspect(base.NodeID(node)) })()
		return to.Call(ctx, base.NodeID(node), transport.Kind(kind), request[n+m:])
	})
}
