package coordinator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// flapping is a range that this node leads whenever others are asked, and only then.
type flapping struct {
	Ranges
	asked, leads int // leads: the call that is answered by another node; zero: none
}

func (*flapping) Range([]byte) *replica.Replica  { return nil }
func (*flapping) NextStamp() (base.Stamp, error) { return 0, base.ErrUnavailable }

func (f *flapping) Settled([]byte, *prepared.Settled) error {
	if f.asked++; f.asked == f.leads {
		return nil
	}
	return ErrHere
}

// TestLeadershipComesAndGoes: who meets a range that nobody leads for long enough gives up
// in the end, and goes on when somebody does.
func TestLeadershipComesAndGoes(t *testing.T) {
	for _, leads := range []int{0, 1, 2, 50} {
		synctest.Test(t, func(t *testing.T) {
			f := &flapping{leads: leads}
			began := time.Now()
			err := (&Here{Store: f, Away: f}).Settled(nil, nil)
			took := time.Since(began)
			switch {
			case leads > 0 && (err != nil || f.asked != leads):
				t.Errorf("led at call %d: %v after %d calls", leads, err, f.asked)
			case leads == 0 && (!errors.Is(err, base.ErrUnavailable) || took > limits.LeaderWait+time.Second):
				t.Errorf("never led: %v after %v", err, took)
			case leads <= 2 && leads > 0 && took != 0:
				t.Errorf("led at call %d: waited %v", leads, took)
			}
		})
	}
}
