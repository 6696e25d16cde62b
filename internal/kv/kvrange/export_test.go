package kvrange

import "time"

// Hot is how many stand in the line of a key.
func (e *Engine) Hot(key []byte) int { return e.hot.Standing(key) }

// SetPatience changes how long somebody waits in such a line.
func (e *Engine) SetPatience(d time.Duration) { e.hot.patience = d }

// SetStaleTries changes how often a stale read begins anew.
func (e *Engine) SetStaleTries(n int) { e.stale.tries = n }
