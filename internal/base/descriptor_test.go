package base

import (
	"reflect"
	"testing"
)

func described(id RangeID, epoch Epoch, start, end string) RangeDescriptor {
	return RangeDescriptor{ID: id, Epoch: epoch, Span: Span{Start: []byte(start), End: []byte(end)}, NextReplica: 2,
		Replicas: []ReplicaDescriptor{{Node: 1, Replica: 1}}}
}

// TestDescriptorCodec: every descriptor comes back as it was, those that were written
// before there were merges included.
func TestDescriptorCodec(t *testing.T) {
	plain := described(7, 3, "a", "m")
	child, cut, frozen := plain, plain, plain
	child.Parent = 2
	cut.EndEpoch = 3
	frozen.Parent, frozen.EndEpoch, frozen.Frozen = 2, 9, Freeze{Left: 4, Epoch: 300}
	old := plain.Append(nil)
	for _, want := range []RangeDescriptor{plain, child, cut, frozen} {
		b := want.Append(nil)
		got, err := DecodeRangeDescriptor(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			// Without its last fields it is one of an older form.
			if got, err := DecodeRangeDescriptor(b[:n]); err == nil && string(b[:n]) != string(old) && got.Parent != want.Parent {
				t.Errorf("%+v in a part of %+v", got, want)
			}
		}
	}
}

// TestEnds: what a range that waits to be merged may conclude from what others say.
func TestEnds(t *testing.T) {
	frozen := described(5, 21, "m", "z")
	frozen.Frozen = Freeze{Left: 2, Epoch: 10}
	with := func(d RangeDescriptor, end Epoch) *RangeDescriptor { d.EndEpoch = end; return &d }
	for name, c := range map[string]struct {
		x    *RangeDescriptor
		want Ending
	}{
		"the left range as it was":                 {with(described(2, 10, "a", "m"), 4), Open},
		"an older one":                             {with(described(2, 9, "a", "m"), 4), Open},
		"it has changed":                           {with(described(2, 11, "a", "m"), 4), Refused},
		"it was cut elsewhere":                     {with(described(8, 11, "c", "m"), 4), Refused},
		"it is the left side of that cut":          {with(described(2, 11, "a", "c"), 11), Open},
		"it was merged itself, into a lower range": {with(described(1, 12, "0", "m"), 4), Refused},
		"the merge":                                {with(described(2, 22, "a", "z"), 0), Merged},
		"the merge, cut behind":                    {with(described(2, 23, "a", "p"), 23), Merged},
		"cut off again at the same key":            {with(described(2, 23, "a", "m"), 23), Merged},
		"the right side of that":                   {with(described(9, 23, "m", "z"), 0), Merged},
		"that, merged into a lower range":          {with(described(1, 30, "0", "m"), 23), Merged},
		"the range from which both were cut":       {with(described(2, 3, "a", "z"), 0), Open},
		"the range itself":                         {with(described(5, 22, "m", "z"), 0), Open},
		"another one":                              {with(described(6, 50, "z", "zz"), 0), Open},
		"nothing":                                  {&RangeDescriptor{}, Open},
	} {
		if got := frozen.Ends(c.x); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		thawed := frozen
		thawed.Frozen = Freeze{}
		if got := thawed.Ends(c.x); (got == Merged) != (c.want == Merged) || got == Refused {
			t.Errorf("%s, not frozen: %d", name, got)
		}
	}
}
