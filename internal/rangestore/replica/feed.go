package replica

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
)

// Feed tells what is written in a part of a range, as long as this replica leads: a Watch on all
// that stands there, which does not end with the first write. What it tells of is Redis keys, by
// the rows of their headers, since every change of a key writes that row.
type Feed struct {
	r    *Replica
	span base.Span
	to   func(list []base.Change)
	over func()
	// pending is guarded by r.mu.
	pending []pendingChange // sequenced and not committed, in their order
}

type pendingChange struct {
	base.Change
	pos base.Position
}

// Follow makes a feed of what the range holds of span; nil where nothing could be told: this
// replica does not lead, or a change of the range is on its way. What is sequenced from now on is
// given to to once it is committed, before who has written it is told; to must not wait, nor use
// the replica. over is called, with the range's lock held, when the feed ends by itself; then
// some of it may be missing.
func (r *Replica) Follow(span base.Span, to func(list []base.Change), over func()) *Feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	span = span.Clip(r.mu.desc.Span)
	if r.mu.tenure == nil || span.Empty() || !r.mu.seq.HoldsSpan(span) {
		return nil
	}
	f := &Feed{r: r, span: span, to: to, over: over}
	r.mu.watches.feeds = append(r.mu.watches.feeds, f)
	return f
}

// Span is what the feed is about.
func (f *Feed) Span() base.Span { return f.span }

// Close ends the feed. What is being told at that moment is told still.
func (f *Feed) Close() {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	kept := f.r.mu.watches.feeds[:0:0]
	for _, o := range f.r.mu.watches.feeds {
		if o != f {
			kept = append(kept, o)
		}
	}
	f.r.mu.watches.feeds = kept
}

// sequencedLocked notes what a transaction writes.
func (f *Feed) sequencedLocked(muts []base.Mutation, pos base.Position, origin uint64) {
	for i := range muts {
		if key, some := keyspace.RedisChange(f.span, &muts[i]); some {
			f.pending = append(f.pending, pendingChange{base.Change{Key: bytes.Clone(key), Origin: origin}, pos})
		}
	}
}

// news is what a feed has to tell.
type news struct {
	feed *Feed
	list []base.Change
}

// committedLocked is what the feeds have to tell now that everything up to pos is committed.
func (ws *watches) committedLocked(pos base.Position) (told []news) {
	for _, f := range ws.feeds {
		n := 0
		for n < len(f.pending) && f.pending[n].pos <= pos {
			n++
		}
		if n == 0 {
			continue
		}
		list := make([]base.Change, n)
		for i := range list {
			list[i] = f.pending[i].Change
		}
		f.pending = append(f.pending[:0], f.pending[n:]...)
		told = append(told, news{f, list})
	}
	return told
}

// endFeedsLocked ends all feeds.
func (ws *watches) endFeedsLocked() {
	for _, f := range ws.feeds {
		f.pending = nil
		f.over()
	}
	ws.feeds = nil
}
