// Package outbox holds the replies of connections until what they depend on is committed.
//
// A connection submits runs of replies with the tickets that they depend on, in order. If
// nothing is in flight they go to the socket at once, else when the last of them is
// committed, by a flusher that one commit wakes once for all connections. A client that does
// not read keeps nobody waiting but a goroutine of its own.
package outbox

import "sync"

// Flusher writes the replies whose commits have come in. The range's apply loop
// puts connections on its list and wakes it once for all that one batch commits.
type Flusher struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		list   []*Queue
		during bool
	}
}

// NewFlusher makes a flusher, which works once Run runs.
func NewFlusher() *Flusher { return &Flusher{wake: make(chan struct{}, 1)} }

// add never blocks.
func (f *Flusher) add(o *Queue) {
	f.mu.Lock()
	f.mu.list = append(f.mu.list, o)
	wake := len(f.mu.list) == 1 && !f.mu.during
	f.mu.Unlock()
	if wake {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Run works until stop is closed.
func (f *Flusher) Run(stop <-chan struct{}) {
	var work []*Queue
	for {
		select {
		case <-stop:
			return
		case <-f.wake:
		}
		for {
			work = f.take(work, false)
			if len(work) == 0 {
				break
			}
			flushAll(work)
		}
	}
}

// During calls commit and writes, in the caller's goroutine, what it releases.
// One goroutine uses it; work is its scratch memory, which it gets back.
func (f *Flusher) During(commit func(), work []*Queue) []*Queue {
	f.mu.Lock()
	f.mu.during = true
	f.mu.Unlock()
	commit()
	work = f.take(work, true)
	flushAll(work)
	return work
}

// take exchanges the list for the empty slice work.
func (f *Flusher) take(work []*Queue, end bool) []*Queue {
	f.mu.Lock()
	defer f.mu.Unlock()
	if end {
		f.mu.during = false
	}
	work, f.mu.list = f.mu.list, work[:0]
	return work
}

func flushAll(work []*Queue) {
	for i, o := range work {
		o.flushReady()
		work[i] = nil
	}
}
