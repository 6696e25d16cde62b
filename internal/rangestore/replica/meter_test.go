package replica

import (
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// TestReach: a transaction's writes are a span from its first key to behind its last.
func TestReach(t *testing.T) {
	set := func(k string) base.Mutation { return base.Mutation{Op: base.OpSet, Key: []byte(k)} }
	clear := func(from, to string) base.Mutation {
		return base.Mutation{Op: base.OpClearRange, Key: []byte(from), Value: []byte(to)}
	}
	for _, c := range []struct {
		want string
		muts []base.Mutation
	}{
		{`"b" ""`, []base.Mutation{set("b")}},
		{`"b" ""`, []base.Mutation{set("b"), set("b")}},
		{`"b" "d\x00"`, []base.Mutation{set("b"), set("d")}},
		{`"a" "d\x00"`, []base.Mutation{set("d"), set("a"), set("b")}},
		{`"b" "e"`, []base.Mutation{clear("b", "e")}},
		{`"b" "e"`, []base.Mutation{clear("c", "e"), set("b")}},
		{`"b" "e"`, []base.Mutation{set("b"), clear("c", "e"), set("d")}},
		{`"a" "c"`, []base.Mutation{set("b"), clear("a", "c")}},
	} {
		start, end := reach(c.muts)
		if got := fmt.Sprintf("%q %q", start, end); got != c.want {
			t.Errorf("%v: %s, want %s", c.muts, got, c.want)
		}
	}
}

// TestMeterPicks: one of so many, and no more than are asked for.
func TestMeterPicks(t *testing.T) {
	m, picked := meter{every: 4, left: 4}, 0
	for range 40 {
		if m.countLocked() {
			picked++
		}
	}
	if picked != 10 || m.transactions != 40 {
		t.Errorf("%d of %d", picked, m.transactions)
	}
	m.trail = make([]Access, trailMax)
	for range 40 {
		if m.countLocked() {
			t.Fatal("picked while the trail is full")
		}
	}
}
