// Package turn keeps those who wait for the same thing in order.
//
// Each key has a line, whoever has waited for longest in front. The front has the turn until
// it leaves; the next one has it then. Who comes with an earlier time than the front's gets
// a turn, too, and the front keeps its own: that happens when a line moves to another
// node, and only then.
package turn

import (
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/base"
)

// Lines are lines by key. The zero value has none. They are safe for concurrent use.
type Lines struct {
	mu    sync.Mutex
	byKey map[string][]*Place
}

// Place is somebody's place in a line.
type Place struct {
	lines *Lines
	key   string
	since base.Stamp
	turn  chan struct{}
	has   bool // the turn
}

// Enter takes a place in the line of key, behind all that have waited since an earlier
// time, or the same.
func (l *Lines) Enter(key []byte, since base.Stamp) *Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &Place{lines: l, key: string(key), since: since, turn: make(chan struct{})}
	if l.byKey == nil {
		l.byKey = map[string][]*Place{}
	}
	all := l.byKey[p.key]
	at := len(all)
	for at > 0 && all[at-1].since > since {
		at--
	}
	l.byKey[p.key] = slices.Insert(all, at, p)
	l.callLocked(p.key)
	return p
}

// callLocked gives the turn to the front.
func (l *Lines) callLocked(key string) {
	if p := l.byKey[key][0]; !p.has {
		p.has = true
		close(p.turn)
	}
}

// Turn is closed once the place is the front.
func (p *Place) Turn() <-chan struct{} { return p.turn }

// Leave gives the place up. It may be called again.
func (p *Place) Leave() {
	l := p.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.byKey[p.key]
	at := slices.Index(all, p)
	if at < 0 {
		return
	}
	if all = slices.Delete(all, at, at+1); len(all) == 0 {
		delete(l.byKey, p.key)
		return
	}
	l.byKey[p.key] = all
	l.callLocked(p.key)
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
	return len(l.byKey[string(key)])
}
