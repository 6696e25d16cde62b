package pubsub

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/glob"
)

// Kind says what a name is.
type Kind uint8

// Kinds of names. Those of channels and of shard channels have nothing to do with each other.
const (
	Channel Kind = iota
	Shard
	// Pattern is a glob of channels; nothing is published to one.
	Pattern
)

// Space is where names are: a namespace.
type Space uint64

// Message is published to a channel or a shard channel.
type Message struct {
	Kind    Kind
	Space   Space
	Channel []byte
	Payload []byte
}

// Delivery is a message on its way to subscribers.
type Delivery struct {
	Message
	Pattern []byte // that made it come; nil for none
	// Frames are the subscribers': what one has made of the delivery for the others, for
	// each version of their protocol.
	Frames [2][]byte
}

// Subscriber takes deliveries. It must not wait, nor call the broker.
type Subscriber interface {
	Deliver(d *Delivery)
}

// name is what can be subscribed to.
type name struct {
	kind  Kind
	space Space
	text  string
}

type subscribers map[Subscriber]struct{}

// Broker knows who is subscribed to what. Make one with New.
type Broker struct {
	relay func(message []byte)
	mu    sync.Mutex
	names map[name]subscribers
	globs map[Space][]string // the patterns that have subscribers, in the order in which they came
	late  struct {
		sync.Mutex
		logs    map[base.Log][]*announcement // that wait, in the order in which they came
		list    []Message
		running bool
	}
}

// New makes a broker. relay takes what other nodes are to Receive; it may be nil.
func New(relay func(message []byte)) *Broker {
	return &Broker{relay: relay, names: map[name]subscribers{}, globs: map[Space][]string{}}
}

// Subscribe makes s a subscriber of names of a kind. told is called for each, in their
// order, with whether s had not been one already, and sent in the end; nothing is delivered
// meanwhile.
func (b *Broker) Subscribe(s Subscriber, kind Kind, space Space, names [][]byte, told func(text []byte, added bool), sent func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range names {
		n := name{kind, space, string(text)}
		all := b.names[n]
		if all == nil {
			all = subscribers{}
			b.names[n] = all
			if kind == Pattern {
				b.globs[space] = append(b.globs[space], n.text)
			}
		}
		_, had := all[s]
		all[s] = struct{}{}
		told(text, !had)
	}
	sent()
}

// Unsubscribe takes s from the subscribers of a name.
func (b *Broker) Unsubscribe(s Subscriber, kind Kind, space Space, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := name{kind, space, text}
	all := b.names[n]
	delete(all, s)
	if len(all) > 0 {
		return
	}
	delete(b.names, n)
	if kind != Pattern {
		return
	}
	globs := slices.DeleteFunc(b.globs[space], func(g string) bool { return g == text })
	if b.globs[space] = globs; len(globs) == 0 {
		delete(b.globs, space)
	}
}

// Publish delivers a message here, relays it, and tells how many have got it here.
func (b *Broker) Publish(m *Message) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.relay != nil {
		b.relay(encode(m))
	}
	return b.visitLocked(m, (Subscriber).Deliver)
}

// Receivers is how many would get a message here.
func (b *Broker) Receivers(m *Message) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.visitLocked(m, func(Subscriber, *Delivery) {})
}

// visitLocked visits everybody who gets a message, those with several patterns several times.
func (b *Broker) visitLocked(m *Message, visit func(s Subscriber, d *Delivery)) (n int) {
	d := &Delivery{Message: *m}
	for s := range b.names[name{m.Kind, m.Space, string(m.Channel)}] {
		visit(s, d)
		n++
	}
	if m.Kind != Channel {
		return n
	}
	for _, g := range b.globs[m.Space] {
		if !glob.Match([]byte(g), m.Channel, false) {
			continue
		}
		d := &Delivery{Message: *m, Pattern: []byte(g)}
		for s := range b.names[name{Pattern, m.Space, g}] {
			visit(s, d)
			n++
		}
	}
	return n
}

// After publishes messages once t is done, behind those of earlier calls about the same log.
// They are the broker's.
func (b *Broker) After(t base.Ticket, list []Message) {
	if len(list) == 0 {
		return
	}
	l := &b.late
	l.Lock()
	if t.Log == nil || t.Done() && len(l.logs[t.Log]) == 0 {
		b.laterLocked(list)
		l.Unlock()
		return
	}
	a := &announcement{b: b, log: t.Log, list: list}
	if l.logs == nil {
		l.logs = map[base.Log][]*announcement{}
	}
	l.logs[t.Log] = append(l.logs[t.Log], a)
	l.Unlock()
	if !t.Log.Notify(t.Pos, a) {
		a.Committed(nil)
	}
}

// announcement is what a transaction publishes.
type announcement struct {
	b     *Broker
	log   base.Log
	list  []Message
	known bool // what has become of the transaction
}

// Committed implements base.Waiter.
func (a *announcement) Committed(err error) {
	l := &a.b.late
	l.Lock()
	defer l.Unlock()
	if a.known = true; err != nil {
		a.list = nil
	}
	line := l.logs[a.log]
	for len(line) > 0 && line[0].known {
		a.b.laterLocked(line[0].list)
		line = line[1:]
	}
	if l.logs[a.log] = line; len(line) == 0 {
		delete(l.logs, a.log)
	}
}

// laterLocked publishes from another goroutine.
func (b *Broker) laterLocked(list []Message) {
	l := &b.late
	if l.list = append(l.list, list...); !l.running && len(l.list) > 0 { // a list may be of what was lost
		l.running = true
		go b.drain()
	}
}

func (b *Broker) drain() {
	l := &b.late
	for {
		l.Lock()
		list := l.list
		if l.list = nil; len(list) == 0 {
			l.running = false
			l.Unlock()
			return
		}
		l.Unlock()
		for i := range list {
			b.Publish(&list[i])
		}
	}
}

// Names lists the channels, or shard channels, that have subscribers and that keep accepts.
func (b *Broker) Names(kind Kind, space Space, keep func(text string) bool) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range b.names {
		if n.kind == kind && n.space == space && keep(n.text) {
			list = append(list, n.text)
		}
	}
	return list
}

// Subscribers is how many a name has.
func (b *Broker) Subscribers(kind Kind, space Space, text []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.names[name{kind, space, string(text)}])
}

// Each visits every subscription of this process. visit must not call the broker.
func (b *Broker) Each(visit func(s Subscriber, kind Kind, text string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, all := range b.names {
		for s := range all {
			visit(s, n.kind, n.text)
		}
	}
}

// Patterns is how many patterns have subscribers.
func (b *Broker) Patterns(space Space) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.globs[space])
}

// Counts are how many names of each kind have subscribers, in all spaces.
func (b *Broker) Counts() (counts [Pattern + 1]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range b.names {
		counts[n.kind]++
	}
	return counts
}

// encode makes what is relayed: kind, space and channel, and the payload as the rest.
func encode(m *Message) []byte {
	out := make([]byte, 0, 2+2*binary.MaxVarintLen64+len(m.Channel)+len(m.Payload))
	out = binary.AppendUvarint(append(out, byte(m.Kind)), uint64(m.Space))
	return append(base.AppendBytes(out, m.Channel), m.Payload...)
}

var errMalformed = errors.New("pubsub: malformed message of another node")

// Receive takes what another node has relayed.
func (b *Broker) Receive(message []byte) error {
	m, err := decode(message)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.visitLocked(&m, (Subscriber).Deliver)
	return nil
}

// decode shares the memory of the message.
func decode(message []byte) (m Message, err error) {
	if len(message) == 0 || Kind(message[0]) > Shard {
		return m, errMalformed
	}
	m.Kind = Kind(message[0])
	d := base.NewDecoder(message[1:])
	m.Space, m.Channel, m.Payload = Space(d.Uvarint()), d.Bytes(), d.Rest()
	if !d.OK() {
		return m, errMalformed
	}
	return m, nil
}

// Clone is a message whose bytes are its own.
func (m *Message) Clone() Message {
	c := *m
	c.Channel, c.Payload = bytes.Clone(m.Channel), bytes.Clone(m.Payload)
	return c
}
