package redis

import "sync"

// flusher writes the replies whose commits have come in. The range's apply loop
// puts connections on its list and wakes it once for all that one batch commits.
type flusher struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		list []*output
	}
}

func newFlusher() *flusher { return &flusher{wake: make(chan struct{}, 1)} }

// add never blocks.
func (f *flusher) add(o *output) {
	f.mu.Lock()
	f.mu.list = append(f.mu.list, o)
	first := len(f.mu.list) == 1
	f.mu.Unlock()
	if first {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// run works until stop is closed.
func (f *flusher) run(stop <-chan struct{}) {
	var work []*output
	for {
		select {
		case <-stop:
			return
		case <-f.wake:
		}
		for {
			f.mu.Lock()
			work, f.mu.list = f.mu.list, work[:0]
			f.mu.Unlock()
			if len(work) == 0 {
				break
			}
			for i, o := range work {
				o.flushReady()
				work[i] = nil
			}
		}
	}
}
