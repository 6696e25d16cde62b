package kv

import (
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// lostLog is a log that has lost what was sequenced.
type lostLog struct{}

func (lostLog) Committed() base.Position { return 0 }
func (lostLog) Kick()                    {}
func (lostLog) Notify(_ base.Position, w base.Waiter) bool {
	w.Committed(base.ErrUnknownOutcome)
	return true
}

// TestTold: an error of a closure whose ground was lost is not told: it never was true.
func TestTold(t *testing.T) {
	wrong, lost := errors.New("wrong type"), base.Ticket{Log: lostLog{}, Pos: 1}
	if err := told(lost, wrong); errors.Is(err, wrong) || !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("an error that was based on what is lost: %v", err)
	}
	if err := told(lost, nil); !errors.Is(err, base.ErrUnknownOutcome) {
		t.Errorf("writes that are lost: %v", err)
	}
	if err := told(base.Ticket{}, wrong); !errors.Is(err, wrong) {
		t.Errorf("an error that holds: %v", err)
	}
}
