package remote

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/transport"
)

// What whoever cares for all ranges asks nodes for: what has changed in the ranges that
// they lead, and to carry out an operator on one of them.

// ErrRefused: the range's leader does not carry an operator out, for a reason that its
// text gives. Nothing was begun.
var ErrRefused = errors.New("refused")

// NotLeader is the error of a node that does not lead the range in question.
type NotLeader struct {
	Leader base.NodeID // that it takes for the leader; zero: it knows none
}

// Error says so.
func (*NotLeader) Error() string { return "this node does not lead the range" }

// Done is what an operator has led to; empty but for a split, and a merge, whose result
// is the left side.
type Done struct{ Left, Right base.RangeDescriptor }

// answerRefused is the third kind of answer; then the reason.
const answerRefused = 2

// ServeStates lets others ask for a node's census.
func ServeStates(to transport.Registrar, since func(version uint64) census.Report) {
	to.HandleCall(kindStates, func(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
		d := base.NewDecoder(request)
		version := d.Uvarint()
		if !d.Done() {
			return nil, errMalformed
		}
		r := since(version)
		return r.Append(nil), nil
	})
}

// States asks a node for what has changed since a version of its census.
func (c *Client) States(ctx context.Context, node base.NodeID, since uint64) (census.Report, error) {
	b, err := c.call(ctx, node, kindStates, binary.AppendUvarint(nil, since))
	if err != nil {
		return census.Report{}, err
	}
	return census.DecodeReport(b)
}

// ServeOperators lets others ask for operators to be carried out.
func ServeOperators(to transport.Registrar, carry func(context.Context, placement.Operator) (Done, error)) {
	to.HandleCall(kindOperate, func(ctx context.Context, _ base.NodeID, request []byte) ([]byte, error) {
		op, err := decodeOperator(request)
		if err != nil {
			return nil, err
		}
		done, err := carry(ctx, op)
		return answerOperate(&done, err)
	})
}

// Operate asks a node to carry an operator out. *NotLeader and ErrRefused say that it has
// not.
func (c *Client) Operate(ctx context.Context, node base.NodeID, op placement.Operator) (Done, error) {
	b, err := c.call(ctx, node, kindOperate, appendOperator(nil, &op))
	if err != nil {
		return Done{}, err
	}
	return decodeDone(b)
}

// Ask asks the node that cares for all ranges in words; *NotLeader says that it is
// another one, ErrRefused why there is no answer.
func (c *Client) Ask(ctx context.Context, node base.NodeID, words []string) (string, error) {
	request := binary.AppendUvarint(nil, uint64(len(words)))
	for _, w := range words {
		request = base.AppendBytes(request, []byte(w))
	}
	b, err := c.call(ctx, node, kindAsk, request)
	if err != nil {
		return "", err
	}
	d, err := answer(b)
	return string(d.Rest()), err
}

// ServeQuestions lets others ask in words; see Ask.
func ServeQuestions(to transport.Registrar, tell func(ctx context.Context, words []string) (string, error)) {
	to.HandleCall(kindAsk, func(ctx context.Context, _ base.NodeID, request []byte) ([]byte, error) {
		d := base.NewDecoder(request)
		var words []string
		for n := d.Count(1); n > 0; n-- {
			words = append(words, string(d.Bytes()))
		}
		if !d.Done() {
			return nil, errMalformed
		}
		text, err := tell(ctx, words)
		if refusal, is := refused(err); is {
			return refusal, nil
		}
		return append([]byte{answerOK}, text...), err
	})
}

func appendOperator(dst []byte, op *placement.Operator) []byte {
	dst = appendNumbers(dst, uint64(op.Kind), uint64(op.Range), uint64(op.Epoch), uint64(op.Replica), uint64(op.Node),
		uint64(op.Replaces), uint64(op.Right))
	return base.AppendBytes(dst, op.Key)
}

func decodeOperator(b []byte) (op placement.Operator, err error) {
	d := base.NewDecoder(b)
	kind := d.Uvarint()
	op = placement.Operator{Kind: placement.Kind(kind), Range: base.RangeID(d.Uvarint()), Epoch: base.Epoch(d.Uvarint()),
		Replica: base.ReplicaID(d.Uvarint()), Node: base.NodeID(d.Uvarint()), Replaces: base.ReplicaID(d.Uvarint()),
		Right: base.RangeID(d.Uvarint())}
	if key := d.Bytes(); len(key) > 0 {
		op.Key = key
	}
	if !d.Done() || kind == 0 || kind > uint64(placement.Merge) {
		return placement.Operator{}, errMalformed
	}
	return op, nil
}

// refused is the answer for an error that says that nothing was done here.
func refused(err error) (answer []byte, is bool) {
	other := (*NotLeader)(nil)
	switch {
	case errors.As(err, &other):
		return appendNumbers(nil, answerNotLeader, uint64(other.Leader)), true
	case errors.Is(err, ErrRefused):
		return append([]byte{answerRefused}, err.Error()...), true
	}
	return nil, false
}

// answer reads the beginning of an answer.
func answer(b []byte) (base.Decoder, error) {
	d := base.NewDecoder(b)
	switch d.Uvarint() {
	case answerOK:
		if !d.OK() {
			return d, errMalformed
		}
		return d, nil
	case answerNotLeader:
		return base.Decoder{}, &NotLeader{Leader: base.NodeID(d.Uvarint())}
	case answerRefused:
		return base.Decoder{}, errors.Mark(errors.New(string(d.Rest())), ErrRefused)
	}
	return d, errMalformed
}

func answerOperate(done *Done, err error) ([]byte, error) {
	if b, is := refused(err); is {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	return base.AppendBytes(base.AppendBytes([]byte{answerOK}, done.Left.Append(nil)), done.Right.Append(nil)), nil
}

func decodeDone(b []byte) (done Done, err error) {
	d, err := answer(b)
	if err != nil {
		return done, err
	}
	if done.Left, err = base.DecodeRangeDescriptor(d.Bytes()); err == nil {
		done.Right, err = base.DecodeRangeDescriptor(d.Bytes())
	}
	if err == nil && !d.Done() {
		err = errMalformed
	}
	return done, err
}
