package sleep

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// Incarnation is a process that has opened a store. No two have the same, and none has zero.
type Incarnation uint64

// Number counts the ends of sleeps that a store has seen on its own side of a pair.
type Number uint64

// Word is what a store says of itself to another one at some moment.
type Word struct {
	// From says, To takes the receiver for; zero: not known.
	From, To Incarnation
	// Ended is the number of the last sleep that has ended at the sender.
	Ended Number
}

// Beat is the heartbeat of a store.
type Beat struct {
	Word
	// Sent is when it was sent, by the sender's clock. Echo is the Sent of the newest beat
	// that the sender has taken from the receiver.
	Sent, Echo time.Duration
	// Seen is the number of the receiver's last end that the sender knows of.
	Seen Number
	// Listed are the ranges of the last ends, up to Ended.
	Listed []base.RangeID
	// Answer: it is not answered.
	Answer bool
}

// Faults are the bugs that a test can plant, to prove that its checker sees them.
type Faults struct {
	// KeepAcknowledging does not say that a follower has woken up by itself.
	KeepAcknowledging bool
	// AckWhenTaken counts an echo from when it comes in.
	AckWhenTaken bool
	// IgnoreEnds does not look at what a beat says of sleeps that have ended.
	IgnoreEnds bool
	// IgnoreIncarnation takes another process for the one before.
	IgnoreIncarnation bool
}

// Options configures a table. All of it is required, Faults are for tests only.
type Options struct {
	Self Incarnation
	// Every is after how many ticks a beat is sent, Silence after how many without one the
	// other store counts as silent: as many as a follower waits for its leader.
	Every, Silence int
	Faults         Faults
}

// listMax is how many ends are listed at most. Who has seen less ends everything.
const listMax = 4096

// Sleep is one of a range's sleeps, or the offer of one. It has ended once Ended says so.
type Sleep struct {
	id    base.RangeID
	wake  func()
	nodes []base.NodeID
	acks  []*atomic.Int64 // of the other voters, at a leader
	needs int             // how many of them make a quorum
	ended atomic.Bool
	// The rest is not changed any more when it has ended.
	waits int // for so many words
	ticks int
	since time.Duration
}

// pair is what a store knows of another one.
type pair struct {
	them    Incarnation
	heard   time.Duration // Sent of the newest beat
	heardAt int64         // by this store's ticks
	acked   atomic.Int64  // the newest echo
	ended   Number
	list    []base.RangeID // of the ends up to ended that they may not know of
	seen    Number         // theirs
	sleeps  map[base.RangeID]*half
	wanted  int64 // beats are sent until that tick, with or without sleeps
}

// half is a sleep's side of a pair.
type half struct {
	sleep *Sleep
	sure  bool   // they have said that it sleeps
	as    Number // of their ends, when they did
	since int64  // by this store's ticks
}

// Table is a store's.
type Table struct {
	o  Options
	mu struct {
		sync.Mutex
		now      int64 // ticks
		pairs    map[base.NodeID]*pair
		sleeping int
	}
	sent, taken atomic.Uint64
}

// New makes a table in which nobody sleeps.
func New(o Options) *Table {
	t := &Table{o: o}
	t.mu.pairs = map[base.NodeID]*pair{}
	return t
}

func (t *Table) pairLocked(node base.NodeID) *pair {
	p := t.mu.pairs[node]
	if p == nil {
		p = &pair{sleeps: map[base.RangeID]*half{}}
		t.mu.pairs[node] = p
	}
	return p
}

// near reports whether they were heard lately.
func (t *Table) nearLocked(p *pair) bool {
	return p.them != 0 && t.mu.now-p.heardAt < int64(t.o.Silence)
}

// Offer begins a sleep that a leader offers to the other members of its range, of which
// some vote besides itself. The words are theirs, in their order. Where the stores do not
// know each other well enough it answers nil, and makes them acquainted. wake is called
// when the sleep ends, with locks held: it must not wait.
func (t *Table) Offer(id base.RangeID, others, voters []base.NodeID, wake func()) (*Sleep, []Word) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ready := true
	for _, n := range others {
		p := t.pairLocked(n)
		p.wanted = max(p.wanted, t.mu.now+int64(4*t.o.Silence))
		ready = ready && t.nearLocked(p) && p.sleeps[id] == nil
	}
	if !ready {
		return nil, nil
	}
	s := &Sleep{id: id, wake: wake, nodes: slices.Clone(others), waits: len(others), needs: (len(voters) + 1) / 2}
	words := make([]Word, len(others))
	for i, n := range others {
		p := t.mu.pairs[n]
		p.sleeps[id] = &half{sleep: s, since: t.mu.now}
		words[i] = t.wordLocked(p)
	}
	for _, n := range voters {
		s.acks = append(s.acks, &t.mu.pairs[n].acked)
	}
	return s, words
}

func (t *Table) wordLocked(p *pair) Word { return Word{From: t.o.Self, To: p.them, Ended: p.ended} }

// fitsLocked reports whether a word is of whom this store knows, and not overtaken (Z4).
func (t *Table) fitsLocked(p *pair, w Word) bool {
	return t.nearLocked(p) && w.To == t.o.Self && w.From == p.them && w.Ended >= p.seen
}

// Hold begins a follower's sleep, as its leader has offered. Nil: it must not.
func (t *Table) Hold(id base.RangeID, leader base.NodeID, offer Word, wake func()) (*Sleep, Word) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pairLocked(leader)
	if !t.fitsLocked(p, offer) || p.sleeps[id] != nil {
		return nil, Word{}
	}
	s := &Sleep{id: id, wake: wake, nodes: []base.NodeID{leader}}
	p.sleeps[id] = &half{sleep: s, sure: true, as: offer.Ended, since: t.mu.now}
	t.mu.sleeping++
	return s, t.wordLocked(p)
}

// Confirm takes the word of a member that sleeps, and reports whether all do now.
func (t *Table) Confirm(s *Sleep, node base.NodeID, w Word) (all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pairLocked(node)
	h := p.sleeps[s.id]
	if h == nil || h.sleep != s || h.sure || !t.fitsLocked(p, w) {
		return false
	}
	h.sure, h.as = true, w.Ended
	if s.waits--; s.waits == 0 {
		t.mu.sleeping++
	}
	return s.waits == 0
}

// End ends a sleep or an offer. Whoever wakes calls it first (Z1).
func (t *Table) End(s *Sleep) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(s)
}

// Forget ends whatever a range sleeps: its replica is gone.
func (t *Table) Forget(id base.RangeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, node := range slices.Sorted(maps.Keys(t.mu.pairs)) {
		if h := t.mu.pairs[node].sleeps[id]; h != nil {
			t.endLocked(h.sleep)
		}
	}
}

func (t *Table) endLocked(s *Sleep) {
	if s.ended.Load() {
		return
	}
	for _, n := range s.nodes {
		p := t.mu.pairs[n]
		h := p.sleeps[s.id]
		s.ticks = int(t.mu.now - max(p.heardAt, h.since))
		delete(p.sleeps, s.id)
		if t.o.Faults.KeepAcknowledging && s.acks == nil {
			p.wanted = t.mu.now + int64(100*t.o.Silence)
			continue
		}
		p.ended++
		p.list = append(p.list, s.id)
		if excess := len(p.list) - listMax; excess > 0 {
			p.list = slices.Delete(p.list, 0, excess)
		}
		p.wanted = max(p.wanted, t.mu.now+int64(2*t.o.Silence))
	}
	if s.waits == 0 {
		t.mu.sleeping--
		s.since = s.quorum()
	}
	s.ended.Store(true)
	s.wake()
}

// endAllLocked ends whatever sleeps between this store and p.
func (t *Table) endAllLocked(p *pair) {
	for _, id := range slices.Sorted(maps.Keys(p.sleeps)) {
		t.endLocked(p.sleeps[id].sleep)
	}
}

// Take takes a beat of another store, and answers it unless it is an answer itself. now is
// this store's clock.
func (t *Table) Take(from base.NodeID, b *Beat, now time.Duration) *Beat {
	t.taken.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pairLocked(from)
	switch {
	case b.From != p.them && (p.them == 0 || !t.o.Faults.IgnoreIncarnation):
		t.endAllLocked(p)
		p.them, p.seen, p.heard, p.heardAt = b.From, b.Ended, b.Sent, t.mu.now
	default:
		t.endedLocked(p, b)
		if b.Sent > p.heard {
			p.heard, p.heardAt = b.Sent, t.mu.now
		}
	}
	if b.To == t.o.Self || t.o.Faults.IgnoreIncarnation {
		if unknown := int(p.ended - b.Seen); b.Seen <= p.ended && unknown < len(p.list) {
			p.list = slices.Delete(p.list, 0, len(p.list)-unknown)
		}
		// Only now: what has just ended does not count it (Z3).
		echo := b.Echo
		if t.o.Faults.AckWhenTaken {
			echo = now
		}
		if int64(echo) > p.acked.Load() {
			p.acked.Store(int64(echo))
		}
	}
	if b.Answer {
		return nil
	}
	answer := t.beatLocked(p, now)
	answer.Answer = true
	return &answer
}

// endedLocked ends what has ended on the other side.
func (t *Table) endedLocked(p *pair, b *Beat) {
	if b.Ended <= p.seen || t.o.Faults.IgnoreEnds {
		return
	}
	first := b.Ended - min(Number(len(b.Listed)), b.Ended) // the list begins behind it
	if first > p.seen {
		t.endAllLocked(p)
	} else {
		for i, id := range b.Listed[p.seen-first:] {
			// An offer without an answer is not what has ended there.
			if h := p.sleeps[id]; h != nil && h.sure && h.as < p.seen+Number(i)+1 {
				t.endLocked(h.sleep)
			}
		}
	}
	p.seen = b.Ended
}

func (t *Table) beatLocked(p *pair, now time.Duration) Beat {
	t.sent.Add(1)
	return Beat{Word: t.wordLocked(p), Sent: now, Echo: p.heard, Seen: p.seen, Listed: slices.Clone(p.list)}
}

// Addressed is a beat and whom it is for.
type Addressed struct {
	To   base.NodeID
	Beat Beat
}

// Tick lets a tick of the store pass: it ends the sleeps that are shared with a store that is
// silent, and answers the beats to send, by ascending nodes.
func (t *Table) Tick(now time.Duration) (beats []Addressed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.now++
	for _, node := range slices.Sorted(maps.Keys(t.mu.pairs)) {
		p := t.mu.pairs[node]
		if len(p.sleeps) > 0 && !t.nearLocked(p) {
			t.endAllLocked(p)
		}
		if len(p.sleeps) == 0 && t.mu.now > p.wanted {
			p.list = nil
			continue
		}
		if t.mu.now%int64(t.o.Every) == 0 {
			beats = append(beats, Addressed{node, t.beatLocked(p, now)})
		}
	}
	return beats
}

// Figures are what a table has counted.
type Figures struct {
	Sleeping    int    // ranges that sleep
	Sent, Taken uint64 // beats
}

// Figures takes the figures.
func (t *Table) Figures() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Figures{Sleeping: t.mu.sleeping, Sent: t.sent.Load(), Taken: t.taken.Load()}
}

// Ended reports whether the sleep has ended.
func (s *Sleep) Ended() bool { return s.ended.Load() }

// Ticks is, of a follower's sleep that has ended, how many ticks had passed then since the
// leader was last heard of (Z2).
func (s *Sleep) Ticks() int { return s.ticks }

// Since is a moment since which, if the sleep has not ended, a quorum of the voters has
// heard of the leader, by the leader's clock: the sent time of what they have acknowledged.
// Of a sleep that has ended it is what was known then.
func (s *Sleep) Since() time.Duration {
	since := s.quorum()
	if s.ended.Load() { // looked at behind the echoes: Take stores in the other order
		return s.since
	}
	return since
}

// quorum is the newest moment that enough of the other voters have echoed.
func (s *Sleep) quorum() time.Duration {
	var few [6]int64
	acks := few[:0]
	for _, a := range s.acks {
		acks = append(acks, a.Load())
	}
	if s.needs == 0 || s.needs > len(acks) {
		return 0
	}
	slices.Sort(acks)
	return time.Duration(acks[len(acks)-s.needs])
}
