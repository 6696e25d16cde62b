package feed

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store is what a node keeps.
type Store interface {
	// Replicas are all of them.
	Replicas() []*replica.Replica
}

// Follower is told of what is written. It must not wait, nor use the database, and it may be told
// by several goroutines at once.
type Follower interface {
	// Covered says that what is sequenced in a piece from now on is told.
	Covered(piece base.Span)
	// Changed tells of what is committed, in the order of each range.
	Changed(list []base.Change)
	// Lost says that anything may have been written in a piece, and that it is not covered any
	// more.
	Lost(piece base.Span)
}

// lookEvery is how often a node is asked whether it leads other ranges than before.
const lookEvery = 50 * time.Millisecond

// Follow tells f what is written of span in the ranges that this node leads, until the result is
// called.
func Follow(s Store, span base.Span, f Follower) (stop func()) {
	l := &local{store: s, span: span, to: f, feeds: map[*replica.Replica]*one{}, ended: make(chan struct{}, 1), quit: make(chan struct{})}
	l.done.Add(1)
	go l.run()
	return func() {
		close(l.quit)
		l.done.Wait()
	}
}

// local follows the ranges that a node leads.
type local struct {
	store Store
	span  base.Span
	to    Follower
	feeds map[*replica.Replica]*one
	ended chan struct{} // some feed has
	quit  chan struct{}
	done  sync.WaitGroup
}

// one is a range that is followed.
type one struct {
	feed *replica.Feed
	over atomic.Bool
}

func (l *local) run() {
	defer l.done.Done()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		l.look()
		select {
		case <-l.quit:
			for _, o := range l.feeds {
				o.feed.Close()
			}
			return
		case <-l.ended:
		case <-tick.C:
		}
	}
}

// look gives up what has ended, and follows what this node leads by now.
func (l *local) look() {
	for r, o := range l.feeds {
		if o.over.Load() {
			l.to.Lost(o.feed.Span())
			delete(l.feeds, r)
		}
	}
	for _, r := range l.store.Replicas() {
		if l.feeds[r] != nil || !r.Serving() {
			continue
		}
		o := &one{}
		if o.feed = r.Follow(l.span, l.to.Changed, func() { l.end(o) }); o.feed != nil {
			l.feeds[r] = o
			l.to.Covered(o.feed.Span())
		}
	}
}

// end is called with the lock of a range held.
func (l *local) end(o *one) {
	o.over.Store(true)
	select {
	case l.ended <- struct{}{}:
	default:
	}
}
