package replica

import (
	"github.com/stratadb/strata/internal/base"
)

// Watch is an interest in one key. It becomes dirty when a write to the key, or a touch
// of it, is sequenced, and fires when that write is applied (R6).
type Watch struct {
	r       *Replica
	key     string
	changed chan struct{}
	// Guarded by r.mu:
	dirty  bool
	fired  bool
	ticket base.Ticket
}

// watches holds the watches of a replica, by key, and its feeds.
type watches struct {
	byKey map[string][]*Watch
	dirty []*Watch // not fired yet
	feeds []*Feed
}

// Watch registers an interest in key. It is dirty from the start where nobody would
// mark it: this replica does not lead.
func (r *Replica) Watch(key []byte) *Watch {
	w := &Watch{r: r, key: string(key), changed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Whoever does not lead, or does not hold the key any more, hears of nothing.
	if r.mu.tenure == nil || !r.mu.seq.Holds(key) {
		w.dirty, w.fired = true, true
		close(w.changed)
		return w
	}
	if r.mu.watches.byKey == nil {
		r.mu.watches.byKey = map[string][]*Watch{}
	}
	r.mu.watches.byKey[w.key] = append(r.mu.watches.byKey[w.key], w)
	return w
}

// Key is the key that is watched.
func (w *Watch) Key() []byte { return []byte(w.key) }

// Of reports whether the watch hears of what r sequences.
func (w *Watch) Of(r *Replica) bool { return w.r == r }

// Dirty reports whether a write to the key was sequenced since the watch was
// made, and that write's ticket.
func (w *Watch) Dirty() (bool, base.Ticket) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return w.dirty, w.ticket
}

// Changed is closed once a write to the key is committed and applied, or may
// have been: whoever is woken reads the key again.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Close ends the interest. Nobody would mark the watch any more, so nothing commits
// under it, and who waits for it is woken.
func (w *Watch) Close() {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.dirty = true
	if !w.fired {
		w.fired = true
		close(w.changed)
	}
	byKey := w.r.mu.watches.byKey
	list := byKey[w.key]
	for i, o := range list {
		if o == w {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(byKey, w.key)
	} else {
		byKey[w.key] = list
	}
}

// sequencedLocked marks the watches of the written keys, and notes for the feeds what origin
// has written.
func (ws *watches) sequencedLocked(muts []base.Mutation, t base.Ticket, origin uint64) {
	for _, f := range ws.feeds {
		f.sequencedLocked(muts, t.Pos, origin)
	}
	if len(ws.byKey) == 0 {
		return
	}
	for i := range muts {
		m := &muts[i]
		switch m.Op {
		case base.OpSetVersionstampedKey:
		case base.OpClearRange, base.OpTouch:
			s := base.Span{Start: m.Key, End: m.Value}
			for key, list := range ws.byKey {
				if s.Contains([]byte(key)) {
					ws.markLocked(list, t)
				}
			}
		default:
			ws.markLocked(ws.byKey[string(m.Key)], t)
		}
	}
}

// keyLocked marks the watches of one key.
func (ws *watches) keyLocked(key []byte, t base.Ticket) {
	if len(ws.byKey) > 0 {
		ws.markLocked(ws.byKey[string(key)], t)
	}
}

func (ws *watches) markLocked(list []*Watch, t base.Ticket) {
	for _, w := range list {
		if !w.dirty { // the first write decides: later ones must not put it off
			w.dirty, w.ticket = true, t
			ws.dirty = append(ws.dirty, w)
		}
	}
}

// appliedLocked fires the dirty watches whose write is committed.
func (ws *watches) appliedLocked(pos base.Position) {
	kept := ws.dirty[:0]
	for _, w := range ws.dirty {
		switch {
		case w.fired:
		case w.ticket.Pos <= pos:
			w.fired = true
			close(w.changed)
		default:
			kept = append(kept, w)
		}
	}
	clear(ws.dirty[len(kept):])
	ws.dirty = kept
}

// movedLocked fires the watches of keys that holds does not hold, and ends the feeds: what they
// are about lies in other ranges, in part.
func (ws *watches) movedLocked(holds func(key []byte) bool) {
	ws.endFeedsLocked()
	for key, list := range ws.byKey {
		if !holds([]byte(key)) {
			ws.markLocked(list, base.Ticket{})
		}
	}
	ws.appliedLocked(0)
}

// tenureEndedLocked fires every watch: this replica no longer hears of writes first.
func (ws *watches) tenureEndedLocked(t base.Ticket) {
	ws.endFeedsLocked()
	for _, list := range ws.byKey {
		ws.markLocked(list, t)
	}
	for _, w := range ws.dirty {
		if !w.fired {
			w.fired = true
			close(w.changed)
		}
	}
	ws.dirty = nil
}
