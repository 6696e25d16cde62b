package replica

import (
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// TestLeaves: a slice stays for its age, and longer while the range is written to.
func TestLeaves(t *testing.T) {
	const age, keep = 5 * time.Second, 20 * time.Second
	at := func(d time.Duration) base.Stamp { return base.Stamp((time.Hour + d).Microseconds()) }
	for _, tc := range []struct {
		now, end, logged time.Duration
		want             bool
	}{
		{4 * time.Second, 0, 0, false},
		{6 * time.Second, 0, 0, true},
		{6 * time.Second, 0, 6 * time.Second, false},
		{6 * time.Second, 0, 5500 * time.Millisecond, false},
		{6 * time.Second, 0, 4 * time.Second, true},
		{19 * time.Second, 0, 19 * time.Second, false},
		{21 * time.Second, 0, 21 * time.Second, true},
		{0, time.Second, 2 * time.Second, false}, // the clock was set back
	} {
		if got := leaves(at(tc.now), at(tc.end), at(tc.logged), age, keep); got != tc.want {
			t.Errorf("at %v a slice that ended at %v leaves: %t; last written at %v", tc.now, tc.end, got, tc.logged)
		}
	}
}
