package turn

import (
	"slices"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// TestLine: whoever has waited for longest has the turn, those of the same time in the order
// in which they came.
func TestLine(t *testing.T) {
	var l Lines
	key := []byte("k")
	places := map[string]*Place{}
	for _, p := range []struct {
		name  string
		since base.Stamp
	}{{"b", 5}, {"c", 5}, {"a", 3}, {"e", 9}, {"d", 7}} {
		places[p.name] = l.Enter(key, p.since)
	}
	other := l.Enter([]byte("other"), 1)
	turns := func() (names []string) {
		for name, p := range places {
			select {
			case <-p.Turn():
				names = append(names, name)
			default:
			}
		}
		slices.Sort(names)
		return names
	}
	expect := func(want ...string) {
		t.Helper()
		if got := turns(); !slices.Equal(got, want) {
			t.Errorf("turns of %v, want %v", got, want)
		}
	}
	leave := func(name string) {
		places[name].Leave()
		places[name].Leave()
		delete(places, name)
	}
	expect("a", "b") // b had it when a came
	leave("a")
	expect("b")
	leave("d")
	expect("b")
	leave("b")
	expect("c")
	leave("c")
	expect("e")
	if l.Standing(key) != 1 || l.Standing([]byte("nobody")) != 0 {
		t.Error("who waits for what?")
	}
	leave("e")
	other.Leave()
	if l.Standing(key) != 0 || l.Len() != 0 {
		t.Errorf("%d lines are left", l.Len())
	}
}

// TestHandedOn: what the front holds in the name of all goes to whoever has the turn next, also
// if that one leaves without having looked; and is left over when there is nobody.
func TestHandedOn(t *testing.T) {
	var l Lines
	key := []byte("k")
	var places []*Place
	for since := range 4 {
		places = append(places, l.Enter(key, base.Stamp(10+since)))
	}
	known := func(p *Place) bool {
		select {
		case <-p.Known():
			return true
		default:
			return false
		}
	}
	if known(places[3]) {
		t.Error("nobody has said so")
	}
	places[0].SetKnown()
	places[0].SetKnown()
	if !known(places[3]) || !known(l.Enter(key, 20)) || known(l.Enter([]byte("other"), 1)) {
		t.Error("which line is known?")
	}
	if rest := places[1].Hand("mine"); rest != "mine" {
		t.Errorf("%v is left over where the front has not gone", rest)
	}
	if rest := places[0].Hand("ours"); rest != nil {
		t.Errorf("%v is left over", rest)
	}
	if rest := places[2].Hand(nil); rest != nil || places[2].Take() != nil {
		t.Errorf("%v is left over", rest)
	}
	if held := places[3].Take(); held != "ours" || places[3].Take() != nil {
		t.Errorf("%v was handed on", held)
	}
	early := l.Enter(key, 1)
	if rest := places[3].Hand("ours"); rest != "ours" {
		t.Errorf("%v is left over, somebody else has the turn", rest)
	}
	if rest := early.Hand("theirs"); rest != nil {
		t.Errorf("%v is left over", rest)
	}
	if rest := early.Hand("more"); rest != "more" {
		t.Errorf("%v is left over of who has gone", rest)
	}
}

// TestMove: a place moves to where the next one belongs, which may be the front; and who has the
// turn is told of those who come and have waited for longer.
func TestMove(t *testing.T) {
	var l Lines
	key := []byte("k")
	is := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	a, b := l.Enter(key, 10), l.Enter(key, 20)
	a.Move(15)
	if !is(a.Turn()) || is(b.Turn()) {
		t.Error("the front has moved within its place")
	}
	a.Move(30)
	if is(a.Turn()) || !is(b.Turn()) || is(b.Overtaken()) {
		t.Error("the front has moved behind the other one")
	}
	a.Move(5)
	if !is(a.Turn()) || !is(b.Turn()) || !is(b.Overtaken()) || is(a.Overtaken()) {
		t.Error("the front was overtaken")
	}
	l.Enter(key, 1).Leave()
	a.Move(7)
	if b.Move(20); !is(a.Turn()) || is(b.Turn()) || is(b.Overtaken()) {
		t.Error("who was overtaken waits again")
	}
	a.Leave()
	if a.Move(1); !is(b.Turn()) || l.Standing(key) != 1 {
		t.Error("who has left has moved")
	}
}
