package remote

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
)

// cutNetwork is a network of nodes in which ways are cut, and noticed to be.
type cutNetwork struct {
	nodes   map[base.NodeID]*cutNode
	cut     map[[2]base.NodeID]bool      // both ways
	noticed map[[2]base.NodeID]time.Time // from when on the first suspects its way to the second
}

type cutNode struct {
	m     *cutNetwork
	id    base.NodeID
	calls map[transport.Kind]transport.CallHandler
	asked int
}

func newCutNetwork(ids ...base.NodeID) *cutNetwork {
	m := &cutNetwork{nodes: map[base.NodeID]*cutNode{}, cut: map[[2]base.NodeID]bool{}, noticed: map[[2]base.NodeID]time.Time{}}
	for _, id := range ids {
		n := &cutNode{m: m, id: id, calls: map[transport.Kind]transport.CallHandler{}}
		m.nodes[id] = n
		HandleDetours(n)
	}
	return m
}

// part cuts two nodes apart; both suspect it some time later.
func (m *cutNetwork) part(a, b base.NodeID, later time.Duration) {
	for _, x := range [][2]base.NodeID{{a, b}, {b, a}} {
		m.cut[x], m.noticed[x] = true, time.Now().Add(later)
	}
}

func (n *cutNode) HandleMessage(transport.Kind, transport.MessageHandler) {}
func (n *cutNode) HandleStream(transport.Kind, transport.StreamHandler)   {}
func (n *cutNode) HandleCall(k transport.Kind, h transport.CallHandler)   { n.calls[k] = h }
func (n *cutNode) Send(base.NodeID, transport.Kind, []byte) bool          { return true }
func (n *cutNode) Suspect(to base.NodeID) bool {
	at, ok := n.m.noticed[[2]base.NodeID{n.id, to}]
	return ok && !time.Now().Before(at)
}

func (n *cutNode) OpenStream(context.Context, base.NodeID, transport.Kind, []byte) (transport.ClientStream, error) {
	return nil, base.ErrUnavailable
}

func (n *cutNode) Call(ctx context.Context, to base.NodeID, kind transport.Kind, request []byte) ([]byte, error) {
	if n.m.cut[[2]base.NodeID{n.id, to}] {
		<-ctx.Done()
		return nil, &transport.CallError{Node: to, Kind: kind, Class: base.ErrUnknownOutcome, Cause: ctx.Err()}
	}
	at := n.m.nodes[to]
	at.asked++
	return at.calls[kind](ctx, n.id, request)
}

// TestDetour: a call to a node that this one is cut off from goes by way of another, as soon
// as that is noticed, and is made once.
func TestDetour(t *testing.T) {
	const later = 700 * time.Millisecond
	for _, c := range []struct {
		name   string
		parted func(m *cutNetwork)
		within time.Duration
		err    error
	}{
		{"straight", func(*cutNetwork) {}, 0, nil},
		{"it was noticed before", func(m *cutNetwork) { m.part(4, 2, 0) }, 0, nil},
		{"it is noticed meanwhile", func(m *cutNetwork) { m.part(4, 2, later) }, later + overtakenEvery + pauseMax, nil},
		{"the first way round is cut, too", func(m *cutNetwork) { m.part(4, 2, 0); m.part(4, 1, 0) }, 0, nil},
		{"the first way round turns out to be cut", func(m *cutNetwork) { m.part(4, 2, 0); m.part(4, 1, later) }, later + overtakenEvery + pauseMax, nil},
		{"the way behind it turns out to be cut", func(m *cutNetwork) { m.part(4, 2, 0); m.part(1, 2, later) }, later + 2*overtakenEvery, nil},
		{"one of those behind it is known to be", func(m *cutNetwork) { m.part(4, 2, 0); m.part(1, 2, 0) }, pauseMax, nil},
		{"nobody reaches it", func(m *cutNetwork) { m.part(4, 2, 0); m.part(1, 2, 0); m.part(3, 2, 0) }, time.Minute, base.ErrUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newCutNetwork(1, 2, 3, 4)
			made := 0
			for id, n := range m.nodes {
				n.calls[kindStamp] = func(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
					if id != 2 {
						return follows(2)()
					}
					if made++; string(request) != "question" {
						t.Errorf("%s: it hears %q", c.name, request)
					}
					return leads()
				}
			}
			c.parted(m)
			client := NewClient(4, m.nodes[4], without{}, func() []base.NodeID { return []base.NodeID{1, 2, 3, 4} }, slog.New(slog.DiscardHandler))
			client.think(2)
			began := time.Now()
			b, err := client.ask(nil, kindStamp, []byte("question"), harmless)
			took := time.Since(began)
			switch {
			case !errors.Is(err, c.err) || err == nil && (len(b) != 1 || b[0] != 7):
				t.Errorf("%s: %v, %v after %v", c.name, b, err, took)
			case took > c.within, err == nil && made != 1:
				t.Errorf("%s: after %v, made %d times", c.name, took, made)
			}
		})
	}
}

// TestDetourTellsTheTruth: what has become of a call is told as if it had gone straight.
func TestDetourTellsTheTruth(t *testing.T) {
	for _, want := range []error{base.ErrConflict, base.ErrWrongRange, base.ErrUnknownOutcome, base.ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			m := newCutNetwork(1, 2, 4)
			m.part(4, 2, 0)
			m.nodes[2].calls[kindCommit] = func(context.Context, base.NodeID, []byte) ([]byte, error) { return nil, want }
			client := NewClient(4, m.nodes[4], without{}, func() []base.NodeID { return []base.NodeID{1, 2} }, slog.New(slog.DiscardHandler))
			if _, err := client.call(t.Context(), 2, kindCommit, nil); !errors.Is(err, want) || m.nodes[2].asked != 1 {
				t.Errorf("%v, want %v; asked %d times", err, want, m.nodes[2].asked)
			}
			m.part(1, 2, time.Second) // it was sent, perhaps
			if _, err := client.call(t.Context(), 2, kindCommit, nil); !errors.Is(err, base.ErrUnknownOutcome) {
				t.Errorf("cut behind the way round: %v", err)
			}
			if _, err := client.call(t.Context(), 2, kindCommit, nil); !errors.Is(err, base.ErrUnavailable) {
				t.Errorf("the way round knows of the cut: %v", err)
			}
		})
	}
}
