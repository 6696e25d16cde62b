package operator

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
)

// Words to ask the operator with.
const (
	// AskExplain is followed by a range: what placement would do with it, and why.
	AskExplain = "explain"
	// AskMove is followed by a range, the node that gives its voter, and the one that gets
	// it. It is answered when that is done.
	AskMove = "move"
)

// errNoRange: no range has that id, as far as the operator has heard.
var errNoRange = errors.New("no such range")

// errUnheard: nothing was heard of a node yet, or not lately.
var errUnheard = errors.New("nothing is heard of it")

func noRange(id base.RangeID) error {
	return errors.Mark(errors.Wrapf(errNoRange, "range %d", id), remote.ErrRefused)
}

// Ask answers what other nodes ask (remote.Client.Ask).
func (o *Operator) Ask(ctx context.Context, words []string) (string, error) {
	if !o.cluster.Leads() {
		return "", &remote.NotLeader{}
	}
	var numbers []uint64
	for _, w := range words[min(1, len(words)):] {
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			return "", errors.Wrapf(remote.ErrRefused, "%q is no number", w)
		}
		numbers = append(numbers, n)
	}
	switch {
	case len(words) == 2 && words[0] == AskExplain:
		return o.Explain(base.RangeID(numbers[0]))
	case len(words) == 4 && words[0] == AskMove:
		return "", o.Move(ctx, base.RangeID(numbers[0]), base.NodeID(numbers[1]), base.NodeID(numbers[2]))
	}
	return "", errors.Wrapf(remote.ErrRefused, "%q is no question", words)
}

// Explain says what each rule sees in a range, as of the last picture.
func (o *Operator) Explain(id base.RangeID) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.snap == nil {
		return "", errors.Wrap(base.ErrUnavailable, "this node has just begun to care for the ranges")
	}
	text, err := placement.Explain(o.snap, id)
	if errors.Is(err, placement.ErrNoRange) {
		err = noRange(id)
	}
	return text, err
}

const (
	// moveLook is how often Move looks.
	moveLook = 100 * time.Millisecond
	// moveHear is for how many looks a range or node that is new may be unheard of.
	moveHear = 30
)

// Move gives a range's voter on the node from to another node. It waits until that is
// done, or undone: placement ends what would make the range worse than it is.
func (o *Operator) Move(ctx context.Context, id base.RangeID, from, to base.NodeID) error {
	tick := time.NewTicker(moveLook)
	defer tick.Stop()
	op, err := o.moving(id, from, to)
	for n := 0; n < moveHear && errors.IsAny(err, errNoRange, errUnheard); n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		op, err = o.moving(id, from, to)
	}
	if err == nil {
		err = o.do(ctx, op)
	}
	if err != nil {
		return err
	}
	for came := false; ; {
		select {
		case <-ctx.Done():
			return errors.Wrap(ctx.Err(), "the move goes on")
		case <-tick.C:
		}
		o.mu.Lock()
		r, leads := o.ranges[id], !o.since.IsZero()
		o.mu.Unlock()
		if !leads || r == nil {
			return errors.Wrap(base.ErrUnavailable, "another node cares for the ranges now")
		}
		copied, found := r.Descriptor.Replica(op.Replica)
		_, old := r.Descriptor.Replica(op.Replaces)
		switch {
		case found && copied.Role == base.Voter && !old:
			return nil
		case !found && (came || r.Descriptor.NextReplica > op.Replica):
			return errors.Wrapf(remote.ErrRefused, "the replica on node %d was removed again", to)
		}
		came = came || found
	}
}

// moving is the first step of a move.
func (o *Operator) moving(id base.RangeID, from, to base.NodeID) (op placement.Operator, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.snap == nil {
		return op, errors.Wrap(base.ErrUnavailable, "this node has just begun to care for the ranges")
	}
	i := slices.IndexFunc(o.snap.Ranges, func(r placement.Range) bool { return r.ID == id })
	if i < 0 {
		return op, noRange(id)
	}
	r := &o.snap.Ranges[i]
	victim := base.ReplicaID(0)
	refuse := func(why string, node base.NodeID) error {
		return errors.Wrapf(remote.ErrRefused, "node %d %s", node, why)
	}
	for _, p := range r.Replicas {
		switch {
		case p.Type != placement.Voter:
			return op, errors.Wrap(remote.ErrRefused, "another change of the range is under way")
		case p.Node == to:
			return op, refuse("holds a replica already", to)
		case p.Node == from:
			victim = p.ID
		}
	}
	if victim == 0 {
		return op, refuse("holds no replica of the range", from)
	}
	n := slices.IndexFunc(o.snap.Nodes, func(n placement.Node) bool { return n.ID == to })
	switch {
	case n < 0 || o.snap.Nodes[n].Liveness != placement.Up:
		return op, errors.Mark(errors.Wrapf(errUnheard, "node %d cannot take a replica", to), remote.ErrRefused)
	case o.snap.Nodes[n].Standing != placement.Active || o.snap.Nodes[n].Full:
		return op, refuse("cannot take a replica, since it is draining or full", to)
	}
	return placement.Operator{Kind: placement.AddLearner, Range: id, Epoch: r.Epoch, Replica: r.NextReplica, Node: to,
		Replaces: victim, Rule: "hand", Reason: "somebody asks for it"}, nil
}
