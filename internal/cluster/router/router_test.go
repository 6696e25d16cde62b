package router

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

func span(start, end string) base.Span { return base.Span{Start: []byte(start), End: []byte(end)} }

// show is what the router knows: the leader and the range of every letter.
func show(r *Router) (out string) {
	for c := 'a'; c <= 'h'; c++ {
		n, ok := r.Find([]byte(string(c)))
		switch {
		case !ok:
			out += " -"
		default:
			out += fmt.Sprintf(" %d/%d", n.Range, n.Leader)
		}
	}
	return out[1:]
}

func TestRoutes(t *testing.T) {
	r := &Router{}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "- - - - - - - -"},
		{func() { r.Lead([]byte("c"), 9) }, "- - - - - - - -"},
		{func() { r.Learn(Route{Range: 1, Epoch: 1, Span: span("a", "i"), Leader: 1}) }, "1/1 1/1 1/1 1/1 1/1 1/1 1/1 1/1"},
		{func() { r.Learn(Route{Range: 2, Epoch: 2, Span: span("c", "e"), Leader: 2}) }, "- - 2/2 2/2 - - - -"},
		{func() { r.Learn(Route{Range: 1, Epoch: 3, Span: span("a", "c"), Leader: 1}) }, "1/1 1/1 2/2 2/2 - - - -"},
		{func() { r.Learn(Route{Range: 1, Epoch: 1, Span: span("a", "i"), Leader: 4}) }, "1/1 1/1 2/2 2/2 - - - -"},
		{func() { r.Learn(Route{Range: 3, Epoch: 1, Span: span("e", "i")}) }, "1/1 1/1 2/2 2/2 3/0 3/0 3/0 3/0"},
		{func() { r.Lead([]byte("h"), 7) }, "1/1 1/1 2/2 2/2 3/7 3/7 3/7 3/7"},
		{func() { r.Doubt([]byte("e"), 6) }, "1/1 1/1 2/2 2/2 3/7 3/7 3/7 3/7"},
		{func() { r.Doubt([]byte("e"), 7) }, "1/1 1/1 2/2 2/2 3/0 3/0 3/0 3/0"},
		{func() { r.Forget([]byte("d")) }, "1/1 1/1 - - 3/0 3/0 3/0 3/0"},
		{func() { r.Learn(Route{Range: 4, Epoch: 9, Span: span("b", "f"), Leader: 5}) }, "- 4/5 4/5 4/5 4/5 - - -"},
	} {
		step.do()
		if got := show(r); got != step.want {
			t.Fatalf("%s, want %s", got, step.want)
		}
	}
}

// TestRoutesDoNotOverlap: whatever is learnt, a key has one route, and what was learnt
// last is found.
func TestRoutesDoNotOverlap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := &Router{}
	for range 5000 {
		a, b := rnd.IntN(200), rnd.IntN(200)
		key := fmt.Appendf(nil, "%03d", a)
		switch rnd.IntN(5) {
		case 0:
			r.Forget(key)
		case 1:
			r.Lead(key, base.NodeID(rnd.IntN(3)))
		default:
			n := Route{Range: base.RangeID(1 + rnd.IntN(1000)), Epoch: 1, Span: span(fmt.Sprintf("%03d", min(a, b)), fmt.Sprintf("%03d", max(a, b)+1))}
			r.Learn(n)
			if got, ok := r.Find(key); !ok || got.Range != n.Range {
				t.Fatalf("learnt %v, found %v", n, got)
			}
		}
		for i := 1; i < len(r.routes); i++ {
			if bytes.Compare(r.routes[i-1].Span.End, r.routes[i].Span.Start) > 0 {
				t.Fatalf("%v and %v overlap", *r.routes[i-1], *r.routes[i])
			}
		}
	}
}
