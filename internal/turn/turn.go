// Package turn keeps those who wait for the same thing in order.
//
// Each key has a line, whoever has waited for longest in front. The front has the turn until
// it leaves; the next one has it then. Who comes with an earlier time than the front's gets
// a turn, too. The front is told that it has been overtaken, and keeps its own until it
// moves: that happens when a line moves to another node, and seldom else.
//
// A line may stand for something elsewhere, which the front holds in the name of all. Who
// leaves hands it on to whoever has the turn then, so that there is no moment without.
package turn

import (
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/base"
)

// Lines are lines by key. The zero value has none. They are safe for concurrent use.
type Lines struct {
	mu    sync.Mutex
	byKey map[string]*line
}

type line struct {
	places []*Place
	known  chan struct{}
	is     bool // known
}

// Place is somebody's place in a line.
type Place struct {
	lines *Lines
	key   string
	line  *line
	since base.Stamp
	turn  chan struct{}
	has   bool          // the turn
	after chan struct{} // closed once somebody else has it, too
	held  any           // handed on, and not taken yet
}

// Enter takes a place in the line of key, behind all that have waited since an earlier
// time, or the same.
func (l *Lines) Enter(key []byte, since base.Stamp) *Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &Place{lines: l, key: string(key)}
	if l.byKey == nil {
		l.byKey = map[string]*line{}
	}
	if p.line = l.byKey[p.key]; p.line == nil {
		p.line = &line{known: make(chan struct{})}
		l.byKey[p.key] = p.line
	}
	p.standLocked(since)
	return p
}

func (p *Place) standLocked(since base.Stamp) {
	p.since, p.turn, p.has, p.after = since, make(chan struct{}), false, make(chan struct{})
	all := p.line.places
	at := len(all)
	for at > 0 && all[at-1].since > since {
		at--
	}
	if at == 0 && len(all) > 0 && all[0].has {
		all[0].overtakeLocked()
	}
	p.line.places = slices.Insert(all, at, p)
	p.line.callLocked()
}

func (p *Place) overtakeLocked() {
	select {
	case <-p.after:
	default:
		close(p.after)
	}
}

// callLocked gives the turn to the front.
func (l *line) callLocked() (front *Place, fresh bool) {
	front = l.places[0]
	if fresh = !front.has; fresh {
		front.has = true
		close(front.turn)
	}
	return front, fresh
}

// Turn is closed once the place is the front.
func (p *Place) Turn() <-chan struct{} {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	return p.turn
}

// Overtaken is closed once somebody who has waited for longer has the turn, too.
func (p *Place) Overtaken() <-chan struct{} {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	return p.after
}

// Move makes the place that of somebody who has waited since another time, or gives up the
// turn that it has: it comes again if it is still the front's.
func (p *Place) Move(since base.Stamp) {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	if at := slices.Index(p.line.places, p); at >= 0 {
		p.line.places = slices.Delete(p.line.places, at, at+1)
		p.standLocked(since)
	}
}

// Leave gives the place up. It may be called again.
func (p *Place) Leave() { p.Hand(nil) }

// Hand gives the place up, and what is held to whoever gets the turn by that; nil is what
// the place was handed itself and has not taken. It returns what nobody has got.
func (p *Place) Hand(held any) (rest any) {
	l := p.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	if held == nil {
		held, p.held = p.held, nil
	}
	at := slices.Index(p.line.places, p)
	if at < 0 {
		return held
	}
	if p.line.places = slices.Delete(p.line.places, at, at+1); len(p.line.places) == 0 {
		delete(l.byKey, p.key)
		return held
	}
	if front, fresh := p.line.callLocked(); fresh {
		front.held = held
		return nil
	}
	return held
}

// Take is what the place was handed with its turn; nil if that is nothing, or was taken.
func (p *Place) Take() (held any) {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	held, p.held = p.held, nil
	return held
}

// Known is closed once somebody has said that the line is known elsewhere.
func (p *Place) Known() <-chan struct{} { return p.line.known }

// SetKnown says that the line is known elsewhere.
func (p *Place) SetKnown() {
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	if !p.line.is {
		p.line.is = true
		close(p.line.known)
	}
}

// Len is how many lines there are.
func (l *Lines) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byKey)
}

// Standing is how many stand in the line of key.
func (l *Lines) Standing(key []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.byKey[string(key)]; at != nil {
		return len(at.places)
	}
	return 0
}
