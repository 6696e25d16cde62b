package latency

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuckets: every duration is in a bucket whose longest is at most a sixteenth longer.
func TestBuckets(t *testing.T) {
	before := -1
	for d := time.Duration(0); d < 2*time.Second; d += d/50 + 1 {
		b := bucketOf(d)
		if b < before || b >= buckets {
			t.Fatalf("%v is in bucket %d, behind %d", d, b, before)
		}
		before = b
		if longest := top(b); b < buckets-1 && (longest < d || longest > d+d/partsOf) {
			t.Fatalf("%v is in a bucket up to %v", d, longest)
		}
	}
	if bucketOf(-1) != 0 || bucketOf(time.Hour) != buckets-1 {
		t.Error("not all have a bucket")
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Count() != 0 || h.Percentile(50) != 0 || h.Steps() != nil {
		t.Error("an empty histogram is not empty")
	}
	h.Add(500*time.Nanosecond, 2)
	h.Add(3*time.Microsecond, 1)
	h.Add(100*time.Microsecond, 16)
	if got, want := h.Steps(), []Step{{1, 2}, {4, 3}, {132, 19}}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
	for part, want := range map[float64]time.Duration{5: 500, 16: 3 * time.Microsecond, 50: 100 * time.Microsecond, 99.9: 100 * time.Microsecond} {
		if got := h.Percentile(part); got < want || got > want+want/8 {
			t.Errorf("p%v is %v, want %v", part, got, want)
		}
	}
	if h.Count() != 19 {
		t.Error(h.Count())
	}
	h.Reset()
	if h.Count() != 0 {
		t.Error("a reset histogram is not empty")
	}
}

// TestEvents: one peak for each second, and so many of them.
func TestEvents(t *testing.T) {
	var e Events
	at := time.Unix(1000, 0)
	e.Add("a", 5*time.Millisecond, at)
	e.Add("a", 7*time.Millisecond, at)
	e.Add("a", 6*time.Millisecond, at)
	e.Add("b", time.Second, at)
	if got, highest := e.History("a"); !slices.Equal(got, []Sample{{1000, 7}}) || highest != 7 {
		t.Error(got, highest)
	}
	for i := range samplesMax {
		e.Add("a", time.Millisecond, at.Add(time.Duration(i+1)*time.Second))
	}
	got, highest := e.History("a")
	if len(got) != samplesMax || got[0].Second != 1001 || highest != 7 {
		t.Error(len(got), got[0], highest)
	}
	if n := e.Reset("b", "c"); n != 1 || !slices.Equal(e.Names(), []string{"a"}) {
		t.Error(n, e.Names())
	}
	if n := e.Reset(); n != 1 || len(e.Names()) != 0 {
		t.Error(n, e.Names())
	}
}

func TestGraph(t *testing.T) {
	var e Events
	for i, ms := range []int{10, 20, 40, 80} {
		e.Add("x", time.Duration(ms)*time.Millisecond, time.Unix(int64(1000+100*i), 0))
	}
	got := e.graph("x", time.Unix(1310, 0))
	want := "x - high 80 ms, low 10 ms (all time high 80 ms)\n" + strings.Repeat("-", 80) + "\n" +
		"   #\n   |\n  o|\n_o||\n\n5311\nmmm0\n   s\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if e.graph("y", time.Unix(0, 0)) != "" {
		t.Error("a graph of nothing")
	}
}
