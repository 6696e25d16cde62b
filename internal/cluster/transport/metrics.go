package transport

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// counters are those of a peer.
type counters struct {
	framesSent, framesReceived, bytesSent, bytesReceived atomic.Uint64
	drops, dials, dialFailures, rttSum, rttCount         atomic.Uint64
}

// Metrics is what a transport has counted since it was made.
type Metrics struct {
	// Accepted counts the sockets that were accepted, Refused those that were
	// turned away or failed in their handshake.
	Accepted, Refused uint64
	// Panics counts those of handlers.
	Panics uint64
	// Peers is sorted by node.
	Peers []PeerMetrics
}

// PeerMetrics is what was counted for a peer.
type PeerMetrics struct {
	Node base.NodeID
	// Frames and bytes of the connections in both directions, handshakes and TLS
	// not included.
	FramesSent, FramesReceived, BytesSent, BytesReceived uint64
	// Drops counts messages that were certainly not sent.
	Drops uint64
	// Dials counts attempts to connect, DialFailures those that failed before
	// the handshake was done.
	Dials, DialFailures uint64
	// RTTSum over RTTCount is the mean round trip of pings, from one writer's
	// queue to the other reader and back.
	RTTSum   time.Duration
	RTTCount uint64
	// CallsInFlight and StreamsOpen are those begun here.
	CallsInFlight, StreamsOpen int
	// Connected says which classes have a connection that was dialled here.
	Connected [classCount]bool
}

// Metrics is a snapshot.
func (t *Transport) Metrics() Metrics {
	m := Metrics{Accepted: t.accepted.Load(), Refused: t.refused.Load(), Panics: t.panics.Load()}
	t.mu.Lock()
	for _, p := range t.mu.peers {
		m.Peers = append(m.Peers, p.metrics())
	}
	t.mu.Unlock()
	slices.SortFunc(m.Peers, func(a, b PeerMetrics) int { return cmp.Compare(a.Node, b.Node) })
	return m
}

func (p *peer) metrics() PeerMetrics {
	n := &p.counters
	m := PeerMetrics{
		Node: p.node, FramesSent: n.framesSent.Load(), FramesReceived: n.framesReceived.Load(),
		BytesSent: n.bytesSent.Load(), BytesReceived: n.bytesReceived.Load(), Drops: n.drops.Load(),
		Dials: n.dials.Load(), DialFailures: n.dialFailures.Load(),
		RTTSum: time.Duration(n.rttSum.Load()), RTTCount: n.rttCount.Load(),
	}
	for class := range p.links {
		l := &p.links[class]
		m.CallsInFlight += len(l.calls)
		m.StreamsOpen += len(l.streams)
		c := l.current.Load()
		m.Connected[class] = c != nil && c.opened.Load() != nil
	}
	return m
}
