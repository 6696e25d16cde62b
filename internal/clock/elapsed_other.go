//go:build !linux

package clock

import "time"

var began = time.Now()

// Elapsed implements Clock. It does not count suspensions where the system's
// monotonic clock does not.
func (System) Elapsed() time.Duration { return time.Since(began) }
