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
