package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

const kindNumber Kind = 10

// numbers collects what messages say.
type numbers struct {
	mu struct {
		sync.Mutex
		got []uint64
	}
	count atomic.Int64
}

func (n *numbers) register(r Registrar) {
	add := func(_ base.NodeID, payload []byte, _ bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.mu.got = append(n.mu.got, binary.LittleEndian.Uint64(payload))
		n.count.Add(1)
	}
	r.HandleMessage(kindNumber, add)
	r.HandleMessage(kindNumber|Bulk, add)
}

func number(i int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(i)) }

// increasing checks that what came is in order and nothing twice.
func (n *numbers) increasing(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := 1; i < len(n.mu.got); i++ {
		if n.mu.got[i] <= n.mu.got[i-1] {
			t.Fatalf("message %d came after message %d", n.mu.got[i], n.mu.got[i-1])
		}
	}
}

func TestMessagesInOrder(t *testing.T) {
	for _, kind := range []Kind{kindNumber, kindNumber | Bulk} {
		t.Run(fmt.Sprint(kind.Class()), func(t *testing.T) { messagesInOrder(t, kind) })
	}
}

func messagesInOrder(t *testing.T, kind Kind) {
	const messages = 20_000
	c := newCluster(t)
	var n numbers
	a := c.start(1, nil)
	c.start(2, n.register)
	for i := range messages {
		if !a.Send(2, kind, number(i)) {
			t.Fatalf("message %d was dropped", i)
		}
	}
	eventually(t, "all have come", func() bool { return n.count.Load() == messages })
	n.increasing(t)
	// Not one write for each: what waits is written together.
	conn := a.mustConn(t, 2, kind.Class())
	if writes := conn.meter.written.Load(); writes > messages/4 {
		t.Errorf("%d writes for %d messages", writes, messages)
	}
	eventually(t, "what was sent is counted", func() bool { // behind its arrival, and so are pings
		m := a.Metrics().Peers[0]
		return m.FramesSent >= messages && m.BytesSent == m.FramesSent*headerBytes+messages*8
	})
}

func (t *Transport) mustConn(tb testing.TB, node base.NodeID, class Class) *conn {
	tb.Helper()
	p, err := t.peer(node)
	if err != nil {
		tb.Fatal(err)
	}
	c := p.links[class].current.Load()
	if c == nil {
		tb.Fatal("there is no connection")
	}
	return c
}

// TestQueueIsBounded: a peer that does not read costs a bounded queue; Send does
// not wait, and the bulk connection is not affected by the small one.
func TestQueueIsBounded(t *testing.T) {
	c := newCluster(t)
	release := make(chan struct{})
	once := sync.OnceFunc(func() { close(release) })
	defer once()
	a := c.start(1, nil, func(o *Options) { o.QueueBytes = 1 << 20 })
	c.start(2, func(r Registrar) {
		withEcho(r)
		r.HandleMessage(kindNumber, func(base.NodeID, []byte, bool) { <-release })
	})
	payload := make([]byte, 64<<10)
	sent := 0
	for a.Send(2, kindNumber, payload) {
		if sent++; sent*len(payload) > 256<<20 {
			t.Fatal("the queue has no bound")
		}
	}
	if m := a.Metrics().Peers[0]; m.Drops != 1 {
		t.Errorf("%d drops", m.Drops)
	}
	conn := a.mustConn(t, 2, ClassSmall)
	conn.outbox.Lock()
	queued := conn.outbox.bytes
	conn.outbox.Unlock()
	if queued > 1<<20 {
		t.Errorf("%d bytes queued", queued)
	}
	if _, err := a.Call(contextFor(t, patience), 2, bulkEcho, nil); err != nil {
		t.Errorf("the other connection: %v", err)
	}
	once()
	eventually(t, "the queue is drained", func() bool { return a.Send(2, kindNumber, payload) })
}

func TestMessageTooLargeIsDropped(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	c.start(2, withEcho)
	if a.Send(2, kindNumber, make([]byte, limits.TransportFrameBytes+1)) || a.Metrics().Peers[0].Drops != 1 {
		t.Error("it was not dropped")
	}
}

// TestMessagesToDeadPeerAreDropped: false, or lost with the attempt to connect.
func TestMessagesToDeadPeerAreDropped(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	if a.Send(2, kindNumber, nil) {
		t.Error("sent to a node without address")
	}
	c.addresses.set(2, "127.0.0.1:1")
	for range 100 {
		a.Send(2, kindNumber, nil)
	}
	eventually(t, "all are counted", func() bool { return a.Metrics().Peers[0].Drops == 101 })
}

// TestOrderSurvivesReconnects: connections are cut again and again; what comes is
// in order, nothing comes twice, and the last word comes.
func TestOrderSurvivesReconnects(t *testing.T) {
	c := newCluster(t)
	var n numbers
	seed := 0
	d := &faults{prepare: func(f *fault) {
		seed++
		f.mu.cutAfter = helloBytes + 1000*(seed%7) + 17
	}}
	a := c.start(1, nil, d.use)
	c.start(2, n.register)
	i := 0
	eventually(t, "twenty connections were used", func() bool {
		for range 100 {
			i++
			a.Send(2, kindNumber, number(i))
		}
		return d.count() >= 20 && n.count.Load() > 0
	})
	n.increasing(t)
	if m := a.Metrics().Peers[0]; m.Dials < 20 || m.Drops == 0 {
		t.Errorf("metrics: %+v", m)
	}
}

func TestLargeAndSmallFramesMixed(t *testing.T) {
	c := newCluster(t)
	type message struct{ payload []byte }
	got := make(chan message, 1000)
	a := c.start(1, nil, func(o *Options) { o.QueueBytes = 64 << 20 })
	c.start(2, func(r Registrar) {
		r.HandleMessage(kindNumber, func(_ base.NodeID, payload []byte, _ bool) { got <- message{payload} })
	})
	sizes := []int{0, 1, copyBytesMax, copyBytesMax + 1, pieceBytes - 1, pieceBytes, 3*pieceBytes + 5, 7}
	for i := range 40 {
		payload := bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])
		if !a.Send(2, kindNumber, payload) {
			t.Fatal("dropped")
		}
	}
	for i := range 40 {
		m := <-got
		if want := bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)]); !bytes.Equal(m.payload, want) {
			t.Fatalf("message %d has %d bytes, want %d", i, len(m.payload), len(want))
		}
	}
}
