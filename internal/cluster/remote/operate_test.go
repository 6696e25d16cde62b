package remote

import (
	"context"
	"reflect"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/transport"
)

// loop carries calls to handlers in the same process.
type loop struct {
	transport.Messenger
	transport.Registrar
	calls map[transport.Kind]transport.CallHandler
}

func (l *loop) HandleCall(k transport.Kind, h transport.CallHandler) { l.calls[k] = h }

func (l *loop) Call(ctx context.Context, _ base.NodeID, k transport.Kind, request []byte) ([]byte, error) {
	return l.calls[k](ctx, 9, request)
}

func newLoop() (*loop, *Client) {
	l := &loop{calls: map[transport.Kind]transport.CallHandler{}}
	return l, &Client{to: l}
}

// TestOperate: an operator arrives whole, and so does what became of it.
func TestOperate(t *testing.T) {
	l, c := newLoop()
	d := base.RangeDescriptor{ID: 7, Epoch: 3, Span: base.Span{Start: []byte{1}, End: []byte{5}}, NextReplica: 4,
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 2}}}
	var got placement.Operator
	var done Done
	var failure error
	ServeOperators(l, func(_ context.Context, op placement.Operator) (Done, error) { got = op; return done, failure })
	empty := base.RangeDescriptor{Span: base.Span{Start: []byte{}, End: []byte{}}}
	for _, op := range []placement.Operator{
		{Kind: placement.AddLearner, Range: 1, Epoch: 2, Replica: 3, Node: 4, Replaces: 5},
		{Kind: placement.Split, Range: 1, Key: []byte("k"), Right: 9},
		{Kind: placement.Merge, Range: 1, Epoch: 2, Right: 3},
	} {
		done = Done{Left: d, Right: empty}
		if answer, err := c.Operate(t.Context(), 1, op); err != nil || !reflect.DeepEqual(got, op) || !reflect.DeepEqual(answer, done) {
			t.Errorf("%v: %v arrived, %+v %v came back", op, got, answer, err)
		}
	}
	op := placement.Operator{Kind: placement.LeaveJoint, Range: 1}
	failure = errors.Wrap(&NotLeader{Leader: 6}, "somewhere")
	other := (*NotLeader)(nil)
	if _, err := c.Operate(t.Context(), 1, op); !errors.As(err, &other) || other.Leader != 6 {
		t.Errorf("%v", err)
	}
	failure = errors.Wrap(ErrRefused, "the epoch is another one")
	if _, err := c.Operate(t.Context(), 1, op); !errors.Is(err, ErrRefused) || err.Error() != failure.Error() {
		t.Errorf("%v", err)
	}
	failure = base.ErrUnavailable
	if _, err := c.Operate(t.Context(), 1, op); !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := c.Operate(t.Context(), 1, placement.Operator{Kind: 99}); !errors.Is(err, errMalformed) {
		t.Errorf("an unknown operator: %v", err)
	}
}

// TestStates: a report arrives for the version that was asked for.
func TestStates(t *testing.T) {
	l, c := newLoop()
	want := census.Report{Version: 8, Gone: []base.RangeID{3}}
	var asked uint64
	ServeStates(l, func(version uint64) census.Report { asked = version; return want })
	if r, err := c.States(t.Context(), 1, 1<<63); err != nil || !reflect.DeepEqual(r, want) || asked != 1<<63 {
		t.Errorf("%+v, %v for %d", r, err, asked)
	}
}

// TestAsk: words go there and back.
func TestAsk(t *testing.T) {
	l, c := newLoop()
	var failure error
	ServeQuestions(l, func(_ context.Context, words []string) (string, error) { return words[1] + words[0], failure })
	if text, err := c.Ask(t.Context(), 1, []string{"a", "b"}); text != "ba" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	failure = errors.Wrap(ErrRefused, "no")
	if _, err := c.Ask(t.Context(), 1, []string{"a", "b"}); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
}

// FuzzOperate: no bytes of another node make a decoder panic, and what is understood is
// understood again in the same way.
func FuzzOperate(f *testing.F) {
	f.Add(appendOperator(nil, &placement.Operator{Kind: placement.Split, Range: 1, Key: []byte("k"), Right: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if op, err := decodeOperator(b); err == nil {
			if again, err := decodeOperator(appendOperator(nil, &op)); err != nil || !reflect.DeepEqual(again, op) {
				t.Fatalf("%+v, then %+v %v", op, again, err)
			}
		}
		_, _ = decodeDone(b)
	})
}
