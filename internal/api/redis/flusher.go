package redis

import "sync"

// flusher writes the replies whose commits have come in. The range's apply loop
// puts connections on its list and wakes it once for all that one batch commits.
type flusher struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		list   []*output
		during bool
	}
}

func newFlusher() *flusher { return &flusher{wake: make(chan struct{}, 1)} }

// add never blocks.
func (f *flusher) add(o *output) {
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
			work = f.take(work, false)
			if len(work) == 0 {
				break
			}
			flushAll(work)
		}
	}
}

// during calls commit and writes, in the caller's goroutine, what it releases.
// One goroutine uses it; work is its scratch memory, which it gets back.
func (f *flusher) during(commit func(), work []*output) []*output {
	f.mu.Lock()
	f.mu.during = true
	f.mu.Unlock()
	commit()
	work = f.take(work, true)
	flushAll(work)
	return work
}

// take exchanges the list for the empty slice work.
func (f *flusher) take(work []*output, end bool) []*output {
	f.mu.Lock()
	defer f.mu.Unlock()
	if end {
		f.mu.during = false
	}
	work, f.mu.list = f.mu.list, work[:0]
	return work
}

func flushAll(work []*output) {
	for i, o := range work {
		o.flushReady()
		work[i] = nil
	}
}
