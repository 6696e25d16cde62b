package replica

import "runtime"

// The lock of a range is held for a microsecond at a time, many times in a row, by
// whoever executes commands. A mutex that another goroutine waits for is
// taken again before that one has woken up; after a millisecond it is handed over,
// and the goroutine that executes commands has to wait for a processor then.

// soonSpins is how often lockSoon looks, some 20 µs in all.
const soonSpins = 1000

// lockSoon takes the range's lock in one of the short moments when it is free.
func (r *Replica) lockSoon() {
	for range soonSpins {
		if r.mu.TryLock() {
			return
		}
	}
	r.mu.Lock()
}

// letOthers gives the lock to those who wait for it, and takes it again.
func (r *Replica) letOthers() {
	r.mu.Unlock()
	runtime.Gosched()
	r.pause(PointPart)
	r.lockSoon()
}
