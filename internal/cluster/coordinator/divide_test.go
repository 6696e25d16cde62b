package coordinator

import (
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// grid is a keyspace of ranges of ten keys each: 0000 to 0009, and so on.
type grid struct{ Ranges }

func gridKey(n int) []byte { return fmt.Appendf(nil, "%04d", n) }

func (grid) Span(key []byte) (base.Span, error) {
	n := 0
	if _, err := fmt.Sscanf(string(key[:3]), "%d", &n); err != nil {
		return base.Span{}, err
	}
	return base.Span{Start: gridKey(10 * n), End: gridKey(10*n + 10)}, nil
}

// TestParticipants: a transaction over many ranges names neighbours together, and
// whoever goes through the spans comes to every range that it locks, and to no others.
func TestParticipants(t *testing.T) {
	c := New(Options{Ranges: grid{}})
	touch := func(from, to int) base.Mutation {
		return base.Mutation{Op: base.OpTouch, Key: gridKey(from), Value: gridKey(to)}
	}
	for _, tc := range []struct {
		muts   []base.Mutation
		ranges int
		named  int // at most
	}{
		{[]base.Mutation{touch(42, 55), {Op: base.OpSet, Key: gridKey(3)}, {Op: base.OpSet, Key: gridKey(9)}}, 3, 3},
		{[]base.Mutation{touch(5, 635)}, 64, 64},
		{[]base.Mutation{touch(5, 645)}, 65, 33},
		{[]base.Mutation{{Op: base.OpSet, Key: gridKey(9100)}, touch(1000, 4993), touch(17, 18), touch(5000, 7000)}, 602, participantsMax + 3},
	} {
		parts, err := c.divide(&Request{Mutations: tc.muts}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) != tc.ranges {
			t.Errorf("%d parts, want %d", len(parts), tc.ranges)
		}
		told := map[string]bool{}
		list := participants(parts)
		if len(list) > tc.named {
			t.Errorf("%d ranges are named by %d spans, want %d", len(parts), len(list), tc.named)
		}
		for _, s := range list {
			for !s.Empty() {
				held, err := grid{}.Span(s.Start)
				if err != nil {
					t.Fatal(err)
				}
				told[string(held.Start)] = true
				s.Start = held.End
			}
		}
		if len(told) != len(parts) {
			t.Errorf("%d ranges are told, %d take part", len(told), len(parts))
		}
		for _, p := range parts {
			if !told[string(p.span.Start)] {
				t.Errorf("range %s is not told", p.span.Start)
			}
		}
	}
}
