package placement

import (
	"bytes"
	"sort"

	"github.com/stratadb/strata/internal/cluster/placement/load"
)

// split cuts a range at the bound of a pin, in the middle of its bytes if it is
// large, or where its load says if it is hot. A majority is enough for it: no
// data moves.
func (v *view) split(x *subject) finding {
	if bound := v.boundInside(x); bound != nil {
		return acts(x, Operator{Kind: Split, Key: bound}, "a pin begins or ends inside of the range")
	}
	if i := v.boundBehind(x.Span.Start); i < len(v.Bounds) && x.inside(v.Bounds[i]) {
		return acts(x, Operator{Kind: Split, Key: v.Bounds[i]}, "somebody has cut it there")
	}
	s, ops := &v.Settings, x.Reads+x.Writes
	if v.tracing(x) {
		v.notef("%d bytes of %d, %.0f operations per second of %.0f", x.Bytes, s.SplitBytes, ops, s.SplitOps)
	}
	if x.Bytes < s.SplitBytes && ops < s.SplitOps {
		return passes("the range is neither large nor hot")
	}
	if v.age(max(x.LastSplit, x.LastMerge)) < s.SplitCooldown {
		return passes("the range was split or merged just now")
	}
	if x.Bytes >= s.SplitBytes && x.inside(x.MiddleKey) {
		return acts(x, Operator{Kind: Split, Key: x.MiddleKey}, "the range is large")
	}
	if ops < s.SplitOps {
		return passes("the range is large and its middle is not known")
	}
	if v.tracing(x) {
		v.notef("%v", x.Hot)
	}
	switch x.Hot.Outcome {
	case load.Splittable:
		if x.inside(x.Hot.Key) {
			return acts(x, Operator{Kind: Split, Key: x.Hot.Key}, "the range is hot")
		}
	case load.SingleHotKey, load.SpansCross:
		v.report(x, Unsplittable, "split", x.Hot.Outcome.String())
	}
	return passes("no key is known that divides the load")
}

// inside reports whether key may be a split key of the range.
func (x *subject) inside(key []byte) bool {
	return len(key) > 0 && x.Span.Contains(key) && !bytes.Equal(key, x.Span.Start)
}

// boundInside is the first bound of a pin that lies inside of the range, or nil.
func (v *view) boundInside(x *subject) []byte {
	next := policyAt(v.policies, x.Span.Start) + 1
	if next < len(v.policies) && x.inside(v.policies[next].from) {
		return v.policies[next].from
	}
	return nil
}

// boundBehind is the index of the first of Bounds behind key.
func (v *view) boundBehind(key []byte) int {
	return sort.Search(len(v.Bounds), func(i int) bool { return bytes.Compare(v.Bounds[i], key) > 0 })
}
