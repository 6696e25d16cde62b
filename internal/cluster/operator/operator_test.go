package operator

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/placement/load"
	"github.com/stratadb/strata/internal/cluster/remote"
)

// TestSpreads: one node has everything; others join and get their shares, and one that is
// drained gives all away.
func TestSpreads(t *testing.T) {
	w := newWorld(t, 3, Options{})
	for range 24 {
		w.add(1)
	}
	w.rest()
	replicas, leaders := w.held()
	for _, n := range w.nodes {
		if replicas[n] != 24 || leaders[n] < 7 || leaders[n] > 9 {
			t.Fatalf("replicas %v, leaders %v", replicas, leaders)
		}
	}
	w.nodes = append(w.nodes, 4)
	w.rest()
	replicas, leaders = w.held()
	if replicas[4] < 16 || leaders[4] < 5 {
		t.Errorf("the fourth node has %d replicas and leads %d", replicas[4], leaders[4])
	}
	w.standing[2] = placement.Decommissioning
	w.rest()
	if replicas, leaders = w.held(); replicas[2] != 0 || leaders[2] != 0 {
		t.Errorf("the drained node has %d replicas and leads %d", replicas[2], leaders[2])
	}
}

// TestDead: what a dead node held is made again elsewhere, also where it led.
func TestDead(t *testing.T) {
	w := newWorld(t, 4, Options{})
	for range 6 {
		w.add(1, 2, 3)
		w.add(2, 3, 1)
	}
	w.rest()
	w.silent[2] = true
	w.rounds(int(8 * time.Second / Every))
	if replicas, _ := w.held(); replicas[2] == 0 {
		t.Error("a suspected node was given up")
	}
	for _, r := range w.ranges {
		if r.node != 2 {
			continue
		}
		for _, m := range r.Descriptor.Replicas {
			if m.Node != 2 && r.node == 2 {
				w.elect(r, m.Replica)
			}
		}
	}
	w.rest()
	if replicas, _ := w.held(); replicas[2] != 0 || replicas[1]+replicas[3]+replicas[4] != 36 {
		t.Errorf("replicas %v", replicas)
	}
}

// TestAsksForNews: a node is asked for what has changed since its last answer, and says
// nothing where nothing has.
func TestAsksForNews(t *testing.T) {
	w := newWorld(t, 3, Options{})
	for range 100 {
		w.add(1, 2, 3)
	}
	w.rest()
	w.told, w.asked = 0, nil
	w.rounds(10)
	if w.told != 0 || len(w.asked) != 30 || slices.Min(w.asked) != w.version {
		t.Errorf("%d ranges in answers to %v", w.told, w.asked)
	}
	w.changed(w.ranges[7])
	w.rounds(10)
	if w.told != 1 {
		t.Errorf("%d ranges in answers after a change of one", w.told)
	}
}

// TestNewLeader: who begins to lead knows nothing, and does not undo what was begun.
func TestNewLeader(t *testing.T) {
	w := newWorld(t, 4, Options{})
	for range 8 {
		w.add(1, 2, 3)
	}
	for range 40 {
		w.rounds(3)
		w.leads = false
		w.rounds(1)
		w.leads = true
		w.rounds(int(deadAfter/Every) + 30)
	}
	w.rest()
	if replicas, _ := w.held(); replicas[4] < 5 {
		t.Errorf("replicas %v", replicas)
	}
	w.leads, w.done, w.asked = false, nil, nil
	w.standing[4] = placement.Decommissioning
	w.rounds(50)
	if len(w.done) > 0 {
		t.Errorf("a node that does not lead does %v", w.done)
	}
	w.leads = true
	if w.rounds(1); len(w.asked) != 4 || slices.Max(w.asked) != 0 {
		t.Errorf("it remembers what it was told: asked since %v", w.asked)
	}
}

// TestPending: what was begun is not begun again before it shows, or counts as lost.
func TestPending(t *testing.T) {
	w := newWorld(t, 3, Options{})
	r := w.add(1)
	w.rounds(int(deadAfter/Every) + 4)
	w.rest()
	w.ranges[1] = &wranged{Range: r.Range, node: 1, was: r.was} // as it is, whatever is done
	frozen := *w.ranges[1]
	w.standing[1] = placement.Decommissioning
	w.done = nil
	for range int(pendingTime/Every) - 1 {
		w.rounds(1)
		*w.ranges[1] = frozen
	}
	if len(w.done) != 1 || w.done[0].Kind != placement.TransferLeader {
		t.Fatalf("%v", w.done)
	}
	w.rounds(int(pendingTime/Every) + 4)
	if len(w.done) < 2 {
		t.Error("an operator that was lost is not done again")
	}
	w.done, w.refuse = nil, errors.Wrap(remote.ErrRefused, "no")
	*w.ranges[1] = frozen
	w.changed(w.ranges[1])
	w.rounds(4)
	if len(w.done) < 2 {
		t.Errorf("one that was refused is not tried again: %v", w.done)
	}
}

// TestSplits: a large range is cut in its middle, a hot one where its load says, and one
// with a single hot key is reported.
func TestSplits(t *testing.T) {
	w := newWorld(t, 3, Options{SplitBytes: 1000, SplitOps: 1000})
	large, hot, single := w.add(1, 2, 3), w.add(1, 2, 3), w.add(1, 2, 3)
	large.Bytes, large.Middle = 1001, []byte("0001middle")
	hot.Reads, hot.Writes, hot.Hot = 600, 600, load.Verdict{Outcome: load.Splittable, Key: []byte("0002hot")}
	single.Writes, single.Hot = 5000, load.Verdict{Outcome: load.SingleHotKey, Key: []byte("0003key")}
	w.rounds(40)
	if len(w.ranges) != 5 || string(large.Descriptor.Span.End) != "0001middle" || string(hot.Descriptor.Span.End) != "0002hot" {
		t.Errorf("%v", w.done)
	}
	if len(w.o.worried) != 1 || !w.o.worried["r3 unsplittable: single hot key"] {
		t.Errorf("worried by %v", w.o.worried)
	}
}

// TestStale: of what several nodes say about the same keys the latest counts.
func TestStale(t *testing.T) {
	w := newWorld(t, 3, Options{})
	first, second := w.add(1, 2, 3), w.add(2, 3, 1)
	w.rounds(2)
	// The second range is what the first was before a split of which its leader has not
	// spoken yet.
	stale := first.Range
	stale.Descriptor.Span.End = second.Descriptor.Span.End
	stale.Descriptor.Epoch, second.Descriptor.Epoch = 3, 4
	first.Range = stale
	w.changed(first)
	w.changed(second)
	w.rounds(1)
	if n := len(w.o.snap.Ranges); n != 1 || w.o.snap.Ranges[0].ID != 2 {
		t.Fatalf("%d ranges: %+v", n, w.o.snap.Ranges)
	}
	first.Descriptor.Span.End, first.Descriptor.Epoch = second.Descriptor.Span.Start, 4
	w.changed(first)
	w.rounds(1)
	if len(w.o.snap.Ranges) != 2 {
		t.Errorf("%+v", w.o.snap.Ranges)
	}
	// The first node says that it leads; so does the third, in a later term.
	other := *first
	other.node, other.Leader, other.Term = 3, 3, 9
	w.ranges[77] = &other
	w.changed(&other)
	w.rounds(1)
	if w.o.snap.Ranges[0].Leader != 3 {
		t.Errorf("%+v", w.o.snap.Ranges[0])
	}
	// Nobody leads it any more: it stays, without a leader.
	delete(w.ranges, 77)
	w.o.told[3].ranges = nil
	first.node = 99
	w.changed(first)
	w.rounds(1)
	if len(w.o.snap.Ranges) != 2 || w.o.snap.Ranges[0].Leader != 0 {
		t.Errorf("%+v", w.o.snap.Ranges[0])
	}
}

// TestMove: a replica goes where somebody wants it, and who asks is told why not.
func TestMove(t *testing.T) {
	w := newWorld(t, 4, Options{})
	for range 4 {
		w.add(1, 2, 3)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.o.Move(ctx, 1, 3, 4); !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("before the first round: %v", err)
	}
	w.rounds(1)
	for _, c := range []struct {
		id       base.RangeID
		from, to base.NodeID
		want     string
	}{{9, 3, 4, "no such range"}, {1, 4, 3, "holds a replica already"}, {1, 5, 4, "holds no replica"}, {1, 3, 9, "cannot take"}} {
		if _, err := w.o.moving(c.id, c.from, c.to); !errors.Is(err, remote.ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for id, from := range map[base.RangeID]base.NodeID{1: 3, 2: 1} { // a follower, and a leader
		w.move(ctx, id, from, 4)
		if _, found := w.ranges[id].Descriptor.On(4); !found {
			t.Errorf("%+v", w.ranges[id].Descriptor)
		}
		if _, found := w.ranges[id].Descriptor.On(from); found {
			t.Errorf("%+v", w.ranges[id].Descriptor)
		}
	}
}

// move moves a replica, and does rounds meanwhile.
func (w *world) move(ctx context.Context, id base.RangeID, from, to base.NodeID) {
	w.t.Helper()
	moved := make(chan error)
	go func() { moved <- w.o.Move(ctx, id, from, to) }()
	for {
		select {
		case err := <-moved:
			if err != nil {
				w.t.Fatal(err)
			}
			return
		default:
			w.clock.Add(1000)
			if err := w.o.Round(ctx); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// TestAsk: what other nodes ask is understood, or refused.
func TestAsk(t *testing.T) {
	w := newWorld(t, 3, Options{})
	w.add(1, 2, 3)
	w.rounds(1)
	if text, err := w.o.Ask(t.Context(), []string{AskExplain, "1"}); err != nil || !strings.Contains(text, "decision: ") {
		t.Errorf("%q, %v", text, err)
	}
	for _, words := range [][]string{nil, {"explain"}, {AskExplain, "2"}, {AskExplain, "x"}, {AskMove, "1", "2"}, {"x", "1"}} {
		if _, err := w.o.Ask(t.Context(), words); !errors.Is(err, remote.ErrRefused) {
			t.Errorf("%q: %v", words, err)
		}
	}
	w.leads = false
	other := (*remote.NotLeader)(nil)
	if _, err := w.o.Ask(t.Context(), []string{AskExplain, "1"}); !errors.As(err, &other) {
		t.Errorf("%v", err)
	}
}

// TestPins: who is preferred leads, also after another node has cared for a while.
func TestPins(t *testing.T) {
	w := newWorld(t, 3, Options{})
	for range 4 {
		w.add(1, 2, 3)
	}
	for n := range base.NodeID(3) {
		w.pins = append(w.pins, placement.Pin{Span: base.Span{Start: []byte("0000"), End: []byte("9999")}, Leader: n + 1})
		w.rest()
		if _, leaders := w.held(); leaders[n+1] != 4 {
			t.Errorf("node %d leads %d", n+1, leaders[n+1])
		}
	}
	w.leads = false
	w.rounds(1)
	w.leads = true
	w.elect(w.ranges[2], 1)
	if w.rest(); w.ranges[2].node != 3 {
		t.Errorf("node %d leads", w.ranges[2].node)
	}
}

// TestLocality: copies are kept apart.
func TestLocality(t *testing.T) {
	w := newWorld(t, 6, Options{})
	w.places = map[base.NodeID]placement.Locality{}
	for _, n := range w.nodes {
		w.places[n] = placement.Locality{{Key: "zone", Value: string('a' + rune(n-1)/2)}}
	}
	for range 6 {
		w.add(1, 2, 3)
	}
	w.rest()
	for id, r := range w.ranges {
		zones := map[string]bool{}
		for _, m := range r.Descriptor.Replicas {
			zones[w.places[m.Node].String()] = true
		}
		if len(zones) != 3 {
			t.Errorf("range %d is on %v", id, r.Descriptor.Replicas)
		}
	}
}

// TestLostRange: a range of which a majority is gone is known from the rows, and reported,
// although nobody speaks of it.
func TestLostRange(t *testing.T) {
	w := newWorld(t, 3, Options{})
	w.add(1, 2, 3)
	w.add(2, 3, 1)
	w.silent[2], w.silent[3], w.unreadable = true, true, base.ErrUnavailable
	w.rounds(2 * int(deadAfter/Every))
	if w.o.snap != nil {
		t.Error("it decides without knowing the ranges")
	}
	w.unreadable = nil
	w.rounds(2 * int(deadAfter/Every))
	if !w.o.worried["r2 needs loss-of-quorum recovery"] {
		t.Errorf("worried by %v", w.o.worried)
	}
	w.silent[2] = false
	w.rounds(int(restTime/Every) + 2)
	if len(w.o.worried) != 0 {
		t.Errorf("worried by %v", w.o.worried)
	}
}

// TestAlone: a node that is alone cuts what is large, and not what is busy.
func TestAlone(t *testing.T) {
	w := newWorld(t, 1, Options{SplitBytes: 1000, SplitOps: 1000})
	large, hot := w.add(1), w.add(1)
	large.Bytes, large.Middle = 1001, []byte("0001middle")
	hot.Reads, hot.Hot = 5000, load.Verdict{Outcome: load.Splittable, Key: []byte("0002hot")}
	w.rounds(40)
	if len(w.done) != 1 || w.done[0].Range != 1 {
		t.Errorf("%v", w.done)
	}
}

// TestMerges: small, idle neighbours become one after a while, but for those that somebody
// has cut by hand. What was united is forgotten.
func TestMerges(t *testing.T) {
	w := newWorld(t, 3, Options{SplitBytes: 1000, SplitOps: 1000, MergeAfter: time.Minute})
	for _, leader := range []base.NodeID{1, 2, 3, 1, 2, 3} {
		w.add(leader, leader%3+1, (leader+1)%3+1)
	}
	w.ranges[6].Reads = 500 // it is busy
	w.changed(w.ranges[6])
	w.bounds = [][]byte{[]byte("0003")}
	if w.rounds(int(50 * time.Second / Every)); slices.ContainsFunc(w.done, func(op placement.Operator) bool { return op.Kind == placement.Merge }) {
		t.Errorf("too early: %v", w.done)
	}
	w.rest()
	var spans []string
	for i := range w.o.snap.Ranges {
		s := w.o.snap.Ranges[i].Span
		spans = append(spans, string(s.Start)+"-"+string(s.End))
	}
	if want := []string{"0001-0003", "0003-0006", "0006-0007"}; !slices.Equal(spans, want) {
		t.Errorf("%v, want %v", spans, want)
	}
	if len(w.o.ranges) != 3 || len(w.o.memory) != 3 {
		t.Errorf("%d ranges, %d remembered", len(w.o.ranges), len(w.o.memory))
	}
}
