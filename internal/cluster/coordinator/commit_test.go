package coordinator

import (
	"slices"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// unrecorded are ranges of which the anchor does not write the record.
type unrecorded struct {
	grid
	why error
}

func (unrecorded) Stamp() (base.Stamp, error)                                 { return 9, nil }
func (unrecorded) Prepare([]byte, *prepared.Prepare, []Guard) error           { return nil }
func (u unrecorded) Record(*prepared.Record) (base.Stamp, error)              { return 0, u.why }
func (unrecorded) Settled([]byte, *prepared.Settled) error                    { return nil }
func (u unrecorded) Resolve(k []byte, _ *prepared.Resolve) (base.Span, error) { return u.Span(k) }

// TestRecordRefused: whoever may have committed is told that nobody knows; a transaction that
// has no record, and never gets one, may be run again.
func TestRecordRefused(t *testing.T) {
	for _, c := range []struct {
		why   error
		again bool
	}{
		{prepared.ErrNotHeld, true},
		{prepared.ErrForgotten, true},
		{base.ErrConflict, false},
		{base.ErrDiskFull, false},
		{errors.AssertionFailedf("something"), false},
	} {
		_, err := New(Options{Ranges: unrecorded{why: c.why}, Inline: true, Random: func(b []byte) { b[0] = 1 }}).Commit(
			&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: gridKey(3)}, {Op: base.OpSet, Key: gridKey(33)}}})
		if base.Retryable(err) != c.again || errors.Is(err, base.ErrUnknownOutcome) == c.again {
			t.Errorf("%v: %v", c.why, err)
		}
	}
}

// remembering are ranges that remember where they were asked to resolve and to settle.
type remembering struct {
	unrecorded
	resolved, settled *[]string
}

func (remembering) Record(r *prepared.Record) (base.Stamp, error) { return r.Commit, nil }

func (r remembering) Resolve(k []byte, _ *prepared.Resolve) (base.Span, error) {
	*r.resolved = append(*r.resolved, string(k))
	return r.Span(k)
}

func (r remembering) Settled(k []byte, _ *prepared.Settled) error {
	*r.settled = append(*r.settled, string(k))
	return nil
}

// TestMemoryBehindTheAnswer: what is done behind the answer does not look at what the caller has
// written into its memory since.
func TestMemoryBehindTheAnswer(t *testing.T) {
	var later func()
	r := remembering{resolved: new([]string), settled: new([]string)}
	c := New(Options{Ranges: r, Behind: func(f func()) { later = f }, Inline: true, Random: func(b []byte) { b[0] = 1 }})
	a, b := gridKey(3), gridKey(33)
	first, second := string(a), string(b)
	if _, err := c.Commit(&Request{Mutations: []base.Mutation{{Op: base.OpSet, Key: a}, {Op: base.OpSet, Key: b}}}); err != nil {
		t.Fatal(err)
	}
	clear(a)
	clear(b)
	later()
	slices.Sort(*r.resolved)
	if !slices.Equal(*r.resolved, []string{first, second}) || !slices.Equal(*r.settled, []string{first}) {
		t.Errorf("resolved at %q, settled at %q", *r.resolved, *r.settled)
	}
}
