// Package clock is where time comes from, so that tests and simulations can
// bring their own.
package clock

import "time"

// Clock tells the time.
type Clock interface {
	// Now is the wall clock with a monotonic reading.
	Now() time.Time
	// UnixMicros is the wall clock in microseconds of the Unix epoch.
	UnixMicros() int64
	// Elapsed is the time since some moment before the process began. It never
	// goes back, and counts the time that the machine was suspended: leases are
	// measured by it.
	Elapsed() time.Duration
}

// System is the machine's clock.
type System struct{}

var _ Clock = System{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now() }

// UnixMicros implements Clock.
func (System) UnixMicros() int64 { return time.Now().UnixMicro() }
