package coordinator

import (
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
