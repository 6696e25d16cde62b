package pubsub

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// ear keeps what it hears.
type ear struct {
	mu    sync.Mutex
	heard []string
	some  chan struct{}
}

func newEar() *ear { return &ear{some: make(chan struct{}, 1000)} }

func (e *ear) Deliver(d *Delivery) {
	e.mu.Lock()
	e.heard = append(e.heard, fmt.Sprintf("%s%s%s", d.Pattern, d.Channel, d.Payload))
	e.mu.Unlock()
	e.some <- struct{}{}
}

func (e *ear) hears(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.heard, want) {
		t.Errorf("heard %q, want %q", e.heard, want)
	}
	e.heard = nil
}

func subscribe(b *Broker, e *ear, kind Kind, space Space, names ...string) {
	var list [][]byte
	for _, n := range names {
		list = append(list, []byte(n))
	}
	b.Subscribe(e, kind, space, list, func([]byte, bool) {}, func() {})
}

func message(kind Kind, space Space, channel, payload string) *Message {
	return &Message{Kind: kind, Space: space, Channel: []byte(channel), Payload: []byte(payload)}
}

// TestRelay: what is published on one node is heard on the others, by kind and space.
func TestRelay(t *testing.T) {
	var far *Broker
	near := New(func(m []byte) {
		if err := far.Receive(m); err != nil {
			t.Error(err)
		}
	})
	far = New(func([]byte) { t.Error("relayed twice") })
	here, there := newEar(), newEar()
	subscribe(near, here, Channel, 1, "a", "b")
	subscribe(far, there, Channel, 1, "a")
	subscribe(far, there, Pattern, 1, "?", "b*")
	subscribe(far, there, Shard, 1, "a")
	for _, x := range []struct {
		m *Message
		n int
	}{
		{message(Channel, 1, "a", "1"), 1}, {message(Channel, 1, "b", ""), 1}, {message(Channel, 2, "a", "2"), 0}, {message(Shard, 1, "a", "3"), 0}, {message(Channel, 1, "", "4"), 0},
	} {
		if n := near.Receivers(x.m); n != x.n {
			t.Errorf("%+v would reach %d here", x.m, n)
		}
		if n := near.Publish(x.m); n != x.n {
			t.Errorf("%+v reached %d here", x.m, n)
		}
	}
	here.hears(t, "a1", "b")
	there.hears(t, "a1", "?a1", "?b", "b*b", "a3")
	far.Unsubscribe(there, Pattern, 1, "?")
	far.Unsubscribe(there, Pattern, 1, "?")
	if far.Patterns(1) != 1 || far.Counts() != [3]int{1, 1, 1} || far.Subscribers(Channel, 1, []byte("a")) != 1 {
		t.Errorf("%d patterns, %v names", far.Patterns(1), far.Counts())
	}
	near.Publish(message(Channel, 1, "a", "5"))
	there.hears(t, "a5")
}

// commits is a log of which the test says what is committed.
type commits struct {
	waiters []base.Waiter
	done    base.Position
}

func (l *commits) Committed() base.Position { return l.done }
func (l *commits) Notify(_ base.Position, w base.Waiter) bool {
	l.waiters = append(l.waiters, w)
	return true
}
func (l *commits) Kick() {}

// TestAfter: what transactions publish is heard when they have committed, in their order, and
// what has an unknown fate is not.
func TestAfter(t *testing.T) {
	b, e, log := New(nil), newEar(), &commits{}
	subscribe(b, e, Channel, 1, "a")
	for i := range 4 {
		b.After(base.Ticket{Log: log, Pos: base.Position(i + 1)}, []Message{*message(Channel, 1, "a", fmt.Sprint(i)), *message(Channel, 1, "a", "x")})
	}
	e.hears(t)
	log.done = 3 // and those who wait are not yet told
	b.After(base.Ticket{Log: log, Pos: 3}, []Message{*message(Channel, 1, "a", "last")})
	for _, i := range []int{1, 4, 0, 3, 2} { // from whatever goroutines
		if i == 2 {
			log.waiters[i].Committed(errors.New("lost"))
		} else {
			log.waiters[i].Committed(nil)
		}
	}
	for range 7 {
		<-e.some
	}
	e.hears(t, "a0", "ax", "a1", "ax", "a3", "ax", "alast")
}

// FuzzDecode: whatever another node sends, nothing breaks, and a message says one thing.
func FuzzDecode(f *testing.F) {
	f.Add(encode(message(Shard, 7, "channel", "payload")))
	f.Add([]byte{0, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(&m))
		if err != nil || again.Kind != m.Kind || again.Space != m.Space || !bytes.Equal(again.Channel, m.Channel) || !bytes.Equal(again.Payload, m.Payload) {
			t.Errorf("%q says %+v, and then %+v, %v", b, m, again, err)
		}
	})
}
