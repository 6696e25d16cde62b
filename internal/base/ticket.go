package base

// Log is the sequence of one range as those see it who wait for it to commit.
// Its methods may be called from any goroutine.
type Log interface {
	// Committed is the highest position that is known to be committed.
	Committed() Position
	// Notify arranges for w.Committed to be called once, as soon as position
	// pos is committed or known never to be. It returns false, and will not
	// call, when pos is committed already.
	Notify(pos Position, w Waiter) bool
	// Kick makes the range commit what was sequenced quietly.
	Kick()
}

// Waiter is told about the fate of a position.
type Waiter interface {
	// Committed is called from the range's apply loop; it must not block and
	// must not call into the range. err is nil when the position is committed
	// and ErrUnknownOutcome when the range lost track of it.
	Committed(err error)
}

// Ticket says what must be committed before a result may be revealed (rule R1):
// the highest position of Log that the computation wrote or looked at. The zero
// ticket asks for nothing.
type Ticket struct {
	Log Log
	Pos Position
}

// Done reports whether the result may be revealed at once.
func (t Ticket) Done() bool { return t.Pos == 0 || t.Log.Committed() >= t.Pos }

// Wait blocks until the result may be revealed, or answers ErrUnknownOutcome.
func (t Ticket) Wait() error { return t.wait(true) }

// WaitQuietly is Wait for those who leave it to others to kick the range.
func (t Ticket) WaitQuietly() error { return t.wait(false) }

func (t Ticket) wait(kick bool) error {
	if t.Done() {
		return nil
	}
	w := make(chanWaiter, 1)
	if !t.Log.Notify(t.Pos, w) {
		return nil
	}
	if kick {
		t.Log.Kick()
	}
	return <-w
}

type chanWaiter chan error

func (w chanWaiter) Committed(err error) { w <- err }
