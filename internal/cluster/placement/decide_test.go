package placement

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// TestEqualSnapshotsEqualPlans: a decision depends on the snapshot alone, leaves
// it as it was, and the explanation of a range tells the same (P11).
func TestEqualSnapshotsEqualPlans(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		w, twin := randomWorld(seed), randomWorld(seed)
		w.measure()
		twin.measure()
		plan, err := Decide(&w.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decide(&w.Snapshot); err != nil || !reflect.DeepEqual(plan, again) {
			t.Fatalf("seed %d: another plan at the second time, %v", seed, err)
		}
		if !reflect.DeepEqual(w.Snapshot, twin.Snapshot) {
			t.Fatalf("seed %d: the snapshot was changed", seed)
		}
		decided := map[base.RangeID]string{}
		for _, op := range plan.Operators {
			decided[op.Range] = "decision: " + op.String() + " (" + op.Rule + ": " + op.Reason + ")\n"
		}
		for _, r := range w.Ranges[:min(len(w.Ranges), 20)] {
			text, err := Explain(&w.Snapshot, r.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := decided[r.ID]
			if want == "" {
				want = "decision: nothing\n"
			}
			if !strings.Contains(text, want) {
				t.Fatalf("seed %d: the plan has %q, the explanation is\n%s", seed, want, text)
			}
		}
	}
}

// TestCheck: what Decide cannot work with is refused.
func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(s *Snapshot){
		"node twice":             func(s *Snapshot) { s.Nodes[1].ID = s.Nodes[0].ID },
		"node without state":     func(s *Snapshot) { s.Nodes[0].Liveness = 0 },
		"empty span":             func(s *Snapshot) { s.Ranges[0].Span.End = nil },
		"overlapping spans":      func(s *Snapshot) { s.Ranges[0].Span.End = []byte("zz") },
		"replica id used again":  func(s *Snapshot) { s.Ranges[0].NextReplica = 1 },
		"two replicas on a node": func(s *Snapshot) { s.Ranges[0].Replicas[1].Node = s.Ranges[0].Replicas[0].Node },
		"unknown replica type":   func(s *Snapshot) { s.Ranges[0].Replicas[0].Type = 0 },
		"even number":            func(s *Snapshot) { s.Settings.Replicas = 2 },
		"even number in a pin":   func(s *Snapshot) { s.Pins = []Pin{{Span: s.Ranges[0].Span, Replicas: 4}} },
		"merges are split again": func(s *Snapshot) { s.Settings.MergeBytes = s.Settings.SplitBytes },
		"fills what is full":     func(s *Snapshot) { s.Settings.AcceptBelow = 0.95 },
		"no slots":               func(s *Snapshot) { s.Settings.CopiesPerNode = 0 },
	} {
		s := largeCluster(true)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(s)
		if _, err := Decide(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Explain(largeCluster(true), 1<<40); !errors.Is(err, ErrNoRange) {
		t.Errorf("a range that does not exist: %v", err)
	}
}

func TestParseLocality(t *testing.T) {
	for text, good := range map[string]bool{"": true, "region=eu": true, "region=eu,zone=b": true, "a=b=c": true,
		"region": false, "region=": false, "=eu": false, "a=b,": false, "a=b, c=d": false, "a=b,a=c": false,
		"a=1,b=1,c=1,d=1,e=1,f=1,g=1": false} {
		l, err := ParseLocality(text)
		if (err == nil) != good || good && l.String() != text {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}
