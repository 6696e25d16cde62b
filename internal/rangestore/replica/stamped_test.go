package replica

import (
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// TestHoldsStamped: a range is prepared for a versionstamped key only if it holds what it was
// asked for of where that may land.
func TestHoldsStamped(t *testing.T) {
	param := append([]byte("q"), append(make([]byte, base.VersionstampLen), 1, 0, 0, 0)...)
	low, high, _ := prepared.Landing(param, 1000)
	stamp := base.MakeVersionstamp(5000, 0)
	middle := append([]byte("q"), stamp[:]...)
	end := base.Next(high)
	key := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name         string
		own          base.Span
		participants []base.Span
		want         bool
	}{
		{"all", base.Span{Start: key("a"), End: key("z")}, []base.Span{{Start: low, End: end}}, true},
		{"the left part", base.Span{Start: key("a"), End: middle}, []base.Span{{Start: low, End: middle}, {Start: middle, End: end}}, true},
		{"the right part", base.Span{Start: middle, End: key("z")}, []base.Span{{Start: low, End: middle}, {Start: middle, End: end}}, true},
		{"cut in the middle", base.Span{Start: key("a"), End: middle}, []base.Span{{Start: low, End: end}}, false},
		{"cut off", base.Span{Start: key("a"), End: key("p")}, []base.Span{{Start: low, End: end}}, false},
		{"cut off, and asked for something else", base.Span{Start: key("a"), End: key("p")}, []base.Span{{Start: key("b"), End: end}}, false},
	} {
		if got := holdsStamped(c.own, param, &prepared.Txn{Begin: 1000, Participants: c.participants}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
