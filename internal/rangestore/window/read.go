package window

import (
	"github.com/stratadb/strata/internal/base"
)

// State says what the window knows about a key.
type State uint8

const (
	// Unknown: no visible version in the window; the disk decides.
	Unknown State = iota
	// Present: Value is the key's value.
	Present
	// Absent: the key does not exist.
	Absent
	// Unstamped: the answer depends on a stamp that is not known yet; wait for
	// Pos to commit and read again.
	Unstamped
)

// Version is what a read finds.
type Version struct {
	State State
	Value []byte        // of a Present key; never nil then
	Pos   base.Position // of the write that decided; 0 when the disk decides
	id    uint64        // of the entry
}

// Latest finds the newest version of key, the speculative tail included.
func (w *Window) Latest(key []byte) Version { return w.read(key, 0) }

// At finds the version of key that the snapshot at stamp s sees.
func (w *Window) At(key []byte, s base.Stamp) Version { return w.read(key, s) }

func (w *Window) read(key []byte, s base.Stamp) Version {
	if s == 0 && len(w.unstamped) > 0 {
		for i := len(w.unstamped) - 1; i >= 0; i-- {
			if w.unstamped[i].span.Contains(key) {
				return Version{State: Unstamped, Pos: w.unstamped[i].pos}
			}
		}
	}
	v := w.fromEntries(w.head(key), s)
	if m := w.tombstone(w.frags.cover(key), s); m != nil && m.at > v.id {
		return Version{State: Absent, Pos: m.pos}
	}
	return v
}

// visible reports whether the snapshot s sees batch n.
func (w *Window) visible(n uint64, s base.Stamp) bool {
	return s == 0 || n <= w.committed && w.batch(n).stamp <= s
}

func (w *Window) fromEntries(id uint64, s base.Stamp) Version {
	for w.ring.has(id) {
		e := w.ring.at(id)
		if w.visible(e.batch, s) {
			return w.version(id, e)
		}
		if !w.ring.has(e.prev) {
			if c := w.carry.at(e); c != nil && c.stamp <= s {
				return makeVersion(c)
			}
		}
		id = e.prev
	}
	return Version{}
}

func makeVersion(c *carried) Version {
	if c.value == nil {
		return Version{State: Absent, Pos: c.pos, id: c.id}
	}
	return Version{State: Present, Value: c.value, Pos: c.pos, id: c.id}
}

func (w *Window) version(id uint64, e *entry) Version {
	b := w.batch(e.batch)
	if e.op == base.OpClear {
		return Version{State: Absent, Pos: e.pos, id: id}
	}
	if e.flags&stampedValue != 0 && b.stamp == 0 {
		return Version{State: Unstamped, Pos: e.pos, id: id}
	}
	return Version{State: Present, Value: b.buf[e.vOff : e.vOff+e.vLen : e.vOff+e.vLen], Pos: e.pos, id: id}
}

// tombstone is the newest range tombstone of the fragment that s sees.
func (w *Window) tombstone(fr *frag, s base.Stamp) *mark {
	if fr == nil {
		return nil
	}
	for i := len(fr.marks) - 1; i >= 0; i-- {
		if m := fr.marks[i]; !m.touch && w.visible(m.batch, s) {
			return m
		}
	}
	return nil
}

// Item is a key of the window inside a scanned span.
type Item struct {
	Key []byte
	Version
}

// Page is a piece of a scan: all that the window knows about Span.
type Page struct {
	Span  base.Span
	Items []Item      // in scan order; Unknown ones are left to the disk
	Gone  []base.Span // disk rows in here are deleted, in key order
	Pos   base.Position
	// Unstamped: wait for Pos to commit and scan again.
	Unstamped bool
}

// deadKeys is how many deleted keys a page passes over at most.
const deadKeys = 1024

// Scan describes the beginning (in reverse: the end) of span as the snapshot s
// sees it, or the newest state for s = 0, with at most limit keys of the window.
// It reuses the memory of p.
func (w *Window) Scan(p *Page, span base.Span, s base.Stamp, reverse bool, limit int) {
	p.Items, p.Gone, p.Pos, p.Unstamped = p.Items[:0], p.Gone[:0], 0, false
	p.Span = span
	dead, hidden := 0, shroud{w: w, s: s}
	w.visitKeys(span, reverse, hidden.buries, func(k orderKey) bool {
		if len(p.Items) == limit || dead == deadKeys {
			if reverse {
				p.Span.Start = base.Next(k.key)
			} else {
				p.Span.End = k.key
			}
			return false
		}
		v := w.fromEntries(w.head(k.key), s)
		if m := hidden.over(k.key); m != nil && m.at > v.id {
			dead++ // the page's Gone says so
			return true
		}
		p.Items = append(p.Items, Item{Key: k.key, Version: v})
		return true
	})
	w.finishPage(p, s)
}

// finishPage says what the tombstones hide on disk, and finds the page's highest position.
func (w *Window) finishPage(p *Page, s base.Stamp) {
	if s == 0 {
		for _, u := range w.unstamped {
			if u.span.Overlaps(p.Span) {
				p.Unstamped, p.Pos = true, max(p.Pos, u.pos)
			}
		}
	}
	w.frags.visit(p.Span, func(fr *frag) bool {
		if m := w.tombstone(fr, s); m != nil {
			p.Gone = append(p.Gone, fr.span.Clip(p.Span))
			p.Pos = max(p.Pos, m.pos)
		}
		return true
	})
	for i := range p.Items {
		it := &p.Items[i]
		p.Unstamped = p.Unstamped || it.State == Unstamped
		p.Pos = max(p.Pos, it.Pos)
	}
}

// Cut shortens the page to span, which shares its beginning, or in reverse its end.
func (p *Page) Cut(span base.Span) {
	p.Span = span
	kept := p.Items[:0]
	for _, it := range p.Items {
		if span.Contains(it.Key) {
			kept = append(kept, it)
		}
	}
	p.Items = kept
	gone := p.Gone[:0]
	for _, g := range p.Gone {
		if g = g.Clip(span); !g.Empty() {
			gone = append(gone, g)
		}
	}
	p.Gone = gone
}
