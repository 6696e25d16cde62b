package replica

import "github.com/stratadb/strata/internal/base"

// Point is a place in the work of a replica where no lock is held, so that other
// goroutines may do anything before it goes on.
type Point uint8

// The loop's points, in the order of a batch's life; then the evictor's, then
// those of attempts. At the last four somebody waits: Pause returns there only
// when something has happened.
const (
	PointClosed   Point = iota // no more transactions; the stamp is not asked for
	PointIssued                // the stamp is issued; readers do not know it
	PointStamped               // they do; Raft does not know the batch
	PointAppended              // in the log, not durable
	PointFlushed               // durable; Raft does not know
	PointApplied               // the boundary has moved; the waiters sleep
	PointEvicting              // a slice is about to be written to disk
	PointEvicted               // it is written, and still in the window
	PointPart                  // a part of a slice is planned, or forgotten
	PointReading               // an attempt has left the window for the disk
	PointRead                  // and has come back
	PointWaiting               // for a commit
	PointNoRoom                // for the window or the speculation to shrink
	PointDiskFull              // for room in the log
	PointLocked                // for the locks of transactions over several ranges
	points
)

// Points is how many there are.
const Points = int(points)

var pointNames = [...]string{"closed", "issued", "stamped", "appended", "flushed", "applied",
	"evicting", "evicted", "part", "reading", "read", "waiting", "no-room", "disk-full", "locked"}

func (p Point) String() string { return pointNames[p] }

func (r *Replica) pause(p Point) {
	if r.o.Pause != nil {
		r.o.Pause(p)
	}
}

// pauseServing pauses until the replica may answer, if somebody else can make it.
func (r *Replica) pauseServing() {
	waits := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.mu.tenure == nil && !r.mu.stopped && len(r.mu.desc.Replicas) == 1
	}
	for r.o.Pause != nil && waits() {
		r.pause(PointWaiting)
	}
}

// pauseChange pauses until no change of the range is on its way.
func (r *Replica) pauseChange() {
	waits := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.mu.tenure != nil && r.changingLocked()
	}
	for r.o.Pause != nil && waits() {
		r.pause(PointNoRoom)
	}
}

// pauseUntil pauses until t is done or lost.
func (r *Replica) pauseUntil(t base.Ticket, kick bool) error {
	var w flagWaiter
	if t.Done() || !t.Log.Notify(t.Pos, &w) {
		return nil
	}
	if kick {
		t.Log.Kick()
	}
	for !w.called {
		r.pause(PointWaiting)
	}
	return w.err
}

type flagWaiter struct {
	called bool
	err    error
}

func (w *flagWaiter) Committed(err error) { w.called, w.err = true, err }
