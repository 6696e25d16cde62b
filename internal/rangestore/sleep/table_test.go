package sleep

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// world is a few stores with replicas of a few ranges, of which every store leads some. All
// clocks show the same, so that what a leader believes can be compared with what is so.
type world struct {
	rnd    *rand.Rand
	now    time.Duration
	stores []*station
	net    []func()
	calm   bool // nothing is lost, late or out of order, and nobody does anything
	made   uint64
	faults Faults
	slept  int // ranges that fell asleep
}

// station is a store; its replicas are those of ranges 1 to len(stores), of which it leads the
// one of its own number.
type station struct {
	id       base.NodeID
	table    *Table
	ticks    int64
	replicas map[base.RangeID]*dummy
}

// dummy is a replica.
type dummy struct {
	sleep *Sleep
	all   bool // as leader: all have confirmed
	// As follower: when it has last heard its leader, in truth, and by its store's ticks.
	heard   time.Duration
	heardAt int64
}

const stations, everyTicks, silenceTicks = 3, 3, 12

func newWorld(seed uint64, f Faults) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), faults: f}
	for i := range stations {
		w.stores = append(w.stores, &station{id: base.NodeID(i + 1)})
		w.start(w.stores[i])
	}
	return w
}

// start starts a store, again: its replicas remember nothing, but have promised what they have.
func (w *world) start(s *station) {
	w.made++
	s.table = New(Options{Self: Incarnation(w.made), Every: everyTicks, Silence: silenceTicks, Faults: w.faults})
	before := s.replicas
	s.replicas = map[base.RangeID]*dummy{}
	for i := range stations {
		id := base.RangeID(i + 1)
		s.replicas[id] = &dummy{}
		if old := before[id]; old != nil {
			s.replicas[id].heard, s.replicas[id].heardAt = old.heard, old.heardAt
		}
	}
}

func (s *station) leads(id base.RangeID) bool { return base.RangeID(s.id) == id }

// send lets something happen later, or never, or twice.
func (w *world) send(do func()) {
	switch n := w.rnd.IntN(20); {
	case w.calm || n > 2:
		w.net = append(w.net, do)
	case n == 0:
		w.net = append(w.net, do, do)
	}
}

func (w *world) deliver() {
	if len(w.net) == 0 {
		return
	}
	i := 0
	if !w.calm && w.rnd.IntN(4) == 0 {
		i = w.rnd.IntN(len(w.net))
	}
	do := w.net[i]
	w.net = append(w.net[:i], w.net[i+1:]...)
	do()
}

func (w *world) beat(from *station, to base.NodeID, b Beat) {
	bytes := b.Append(nil)
	w.send(func() {
		got, err := DecodeBeat(bytes)
		if err != nil {
			panic(err)
		}
		s := w.stores[to-1]
		p := s.table.pairLocked(from.id)
		newer := got.From == p.them && got.Sent > p.heard
		answer := s.table.Take(from.id, &got, w.now)
		w.notice(s)
		if newer { // all that sleep here have heard of their leader
			w.hear(s, base.RangeID(from.id))
		}
		if answer != nil {
			w.beat(s, from.id, *answer)
		}
	})
}

func (w *world) hear(s *station, id base.RangeID) {
	if r := s.replicas[id]; r.sleep != nil {
		r.heard, r.heardAt = w.now, s.ticks
	}
}

// notice wakes the replicas whose sleep has ended.
func (w *world) notice(s *station) {
	for id := base.RangeID(1); id <= stations; id++ {
		r := s.replicas[id]
		if r.sleep == nil || !r.sleep.Ended() {
			continue
		}
		if !s.leads(id) && w.faults == (Faults{}) && int64(r.sleep.Ticks()) > s.ticks-r.heardAt {
			panic(fmt.Sprintf("range %d at store %d wakes as if %d ticks had passed, of %d", id, s.id, r.sleep.Ticks(), s.ticks-r.heardAt))
		}
		r.sleep, r.all = nil, false
	}
}

// offer makes a leader offer sleep.
func (w *world) offer(s *station) {
	id := base.RangeID(s.id)
	r := s.replicas[id]
	if r.sleep != nil {
		return
	}
	var others []base.NodeID
	for _, o := range w.stores {
		if o != s {
			others = append(others, o.id)
		}
	}
	offered, words := s.table.Offer(id, others, others, func() {})
	if offered == nil {
		return
	}
	r.sleep = offered
	for i, n := range others {
		word := words[i]
		w.send(func() { w.accept(s, w.stores[n-1], offered, word) })
	}
}

// accept is a heartbeat of Raft that offers sleep.
func (w *world) accept(leader, s *station, offered *Sleep, word Word) {
	id := base.RangeID(leader.id)
	r := s.replicas[id]
	if r.sleep != nil { // it wakes for any message of Raft
		s.table.End(r.sleep)
		w.notice(s)
	}
	r.heard, r.heardAt = w.now, s.ticks
	held, answer := s.table.Hold(id, leader.id, word, func() {})
	if held == nil {
		return
	}
	r.sleep = held
	w.send(func() {
		if l := leader.replicas[id]; l.sleep == offered && leader.table.Confirm(offered, s.id, answer) {
			l.all = true
			w.slept++
		}
	})
}

func (w *world) step() {
	w.now += time.Duration(w.rnd.IntN(5)) + 1
	s := w.stores[w.rnd.IntN(stations)]
	switch n := w.rnd.IntN(100); {
	case n < 60:
		w.deliver()
	case n < 85:
		w.tick(s)
	case w.calm:
	case n < 92:
		w.offer(s)
	case n < 98: // somebody wakes by itself
		id := base.RangeID(w.rnd.IntN(stations) + 1)
		if r := s.replicas[id]; r.sleep != nil {
			s.table.End(r.sleep)
			w.notice(s)
		}
	case w.rnd.IntN(20) == 0:
		w.start(s)
	}
}

func (w *world) tick(s *station) {
	s.ticks++
	beats := s.table.Tick(w.now)
	w.notice(s)
	for _, b := range beats {
		w.beat(s, b.To, b.Beat)
	}
}

// check compares what leaders that sleep rely on with what is so.
func (w *world) check() error {
	for _, s := range w.stores {
		r := s.replicas[base.RangeID(s.id)]
		if r.sleep == nil || !r.all {
			continue
		}
		i := 0
		for _, o := range w.stores {
			if o == s {
				continue
			}
			heard := o.replicas[base.RangeID(s.id)].heard
			if said := time.Duration(r.sleep.acks[i].Load()); said > heard {
				return fmt.Errorf("the leader of range %d believes that store %d has heard it since %d, but that was at %d", s.id, o.id, said, heard)
			}
			i++
		}
	}
	return nil
}

// run lets a world go on, and then come to rest: whoever sleeps must be known to do.
func run(seed uint64, f Faults) (slept int, err error) {
	w := newWorld(seed, f)
	for range 4000 {
		w.step()
		if err := w.check(); err != nil {
			return w.slept, err
		}
	}
	w.calm = true
	for range 4000 {
		w.step()
		if err := w.check(); err != nil {
			return w.slept, err
		}
	}
	for _, s := range w.stores {
		l := s.replicas[base.RangeID(s.id)]
		for _, o := range w.stores {
			if r := o.replicas[base.RangeID(s.id)]; o != s && (r.sleep != nil) != (l.sleep != nil) && l.all {
				return w.slept, fmt.Errorf("range %d: its leader sleeps, store %d does not", s.id, o.id)
			} else if o != s && r.sleep != nil && l.sleep == nil {
				return w.slept, fmt.Errorf("range %d: store %d sleeps for ever", s.id, o.id)
			}
		}
	}
	return w.slept, nil
}

// TestLeaders: whatever is lost, late, repeated and out of order, and whoever starts again, no
// leader believes that a follower has heard it since a moment at which that was not so.
func TestLeaders(t *testing.T) {
	slept := 0
	for seed := range uint64(400) {
		n, err := run(seed+1, Faults{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed+1, err)
		}
		slept += n
	}
	if slept < 1000 {
		t.Errorf("ranges fell asleep %d times only", slept)
	}
}

// TestPlantedBugs: the check sees them.
func TestPlantedBugs(t *testing.T) {
	const within = 200
	for name, f := range map[string]Faults{
		"keeps acknowledging": {KeepAcknowledging: true}, "ack counts from when it comes in": {AckWhenTaken: true},
		"ends are ignored": {IgnoreEnds: true}, "incarnation is ignored": {IgnoreIncarnation: true},
	} {
		seen := false
		for seed := uint64(1); seed <= within && !seen; seed++ {
			_, err := run(seed, f)
			seen = err != nil
		}
		if !seen {
			t.Errorf("%s: not seen within %d seeds", name, within)
		}
	}
}

// two are two stores that have met.
func two() (a, b *Table) {
	a, b = New(Options{Self: 1, Every: everyTicks, Silence: silenceTicks}), New(Options{Self: 2, Every: everyTicks, Silence: silenceTicks})
	_, _ = a.Offer(9, []base.NodeID{2}, nil, func() {})
	meet(a, b, 1)
	meet(a, b, 2)
	return a, b
}

// meet lets a send a beat, and take the answer.
func meet(a, b *Table, now time.Duration) {
	beat := a.beatLocked(a.pairLocked(2), now)
	a.Take(2, b.Take(1, &beat, now), now)
}

// asleep makes a range sleep that a leads.
func asleep(t *testing.T, a, b *Table, id base.RangeID, wake func()) (leader, follower *Sleep) {
	t.Helper()
	leader, words := a.Offer(id, []base.NodeID{2}, []base.NodeID{2}, wake)
	if leader == nil {
		t.Fatal("the stores do not know each other")
	}
	follower, answer := b.Hold(id, 1, words[0], wake)
	if follower == nil || !a.Confirm(leader, 2, answer) {
		t.Fatal("no sleep")
	}
	return leader, follower
}

func TestSilence(t *testing.T) {
	a, b := two()
	woken := 0
	leader, follower := asleep(t, a, b, 1, func() { woken++ })
	for range silenceTicks - 1 {
		b.Tick(3)
	}
	if follower.Ended() {
		t.Fatal("it wakes too early")
	}
	meet(a, b, 4)
	for range silenceTicks {
		b.Tick(5)
	}
	if !follower.Ended() || follower.Ticks() != silenceTicks || leader.Ended() || woken != 1 {
		t.Fatalf("after silence: %v, %d ticks; the leader: %v", follower.Ended(), follower.Ticks(), leader.Ended())
	}
	before := leader.Since()
	meet(a, b, 6)
	if !leader.Ended() || leader.Since() != before || before != 4 {
		t.Errorf("the leader: ended %v, relies on %d, before on %d", leader.Ended(), leader.Since(), before)
	}
}

// TestGap: who has not seen all ends wakes everything.
func TestGap(t *testing.T) {
	a, b := two()
	leader, _ := asleep(t, a, b, 1, func() {})
	for id := base.RangeID(2); id < listMax+10; id++ {
		_, f := asleep(t, a, b, id, func() {})
		b.End(f)
	}
	if n := a.Figures().Sleeping; n != listMax+9 {
		t.Fatalf("%d sleep at the leader", n)
	}
	meet(a, b, 7)
	if n := a.Figures().Sleeping; n != 0 || !leader.Ended() {
		t.Errorf("%d sleep at the leader", n)
	}
}

// TestOvertaken: a word from before an end that is known already says nothing.
func TestOvertaken(t *testing.T) {
	a, b := two()
	leader, words := a.Offer(1, []base.NodeID{2}, []base.NodeID{2}, func() {})
	f, answer := b.Hold(1, 1, words[0], func() {})
	b.End(f)
	meet(a, b, 8)
	if a.Confirm(leader, 2, answer) || leader.Ended() {
		t.Error("a replica that has woken up is taken for one that sleeps")
	}
	a.End(leader)
	meet(a, b, 9)
	if f, _ := b.Hold(1, 1, words[0], func() {}); f != nil {
		t.Error("an offer that was withdrawn is accepted")
	}
}

func FuzzDecodeBeat(f *testing.F) {
	b := Beat{Word: Word{From: 1, To: 2, Ended: 3}, Sent: 4, Echo: 5, Seen: 6, Listed: []base.RangeID{7, 8}, Answer: true}
	f.Add(b.Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := DecodeBeat(in)
		if err != nil {
			return
		}
		again, err := DecodeBeat(got.Append(nil))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%+v, then %+v: %v", got, again, err)
		}
	})
}
