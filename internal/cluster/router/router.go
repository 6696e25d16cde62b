// Package router remembers where ranges are: the keys of each range that somebody has
// asked for, the nodes that hold it, and who led it last. What it says may be outdated,
// which costs time and nothing else: whoever is asked refuses keys that it does not
// hold, and what it says then is learnt in place of what was known.
package router

import (
	"bytes"
	"slices"
	"sort"
	"sync"

	"github.com/stratadb/strata/internal/base"
)

// Route is what is known of a range.
type Route struct {
	Range  base.RangeID
	Epoch  base.Epoch
	Span   base.Span
	Nodes  []base.NodeID // that hold it
	Leader base.NodeID   // zero: not known
}

// Router keeps routes. It is safe for concurrent use.
type Router struct {
	mu     sync.RWMutex
	routes []*Route // in the order of their keys, without overlaps; each is never changed
}

// Find is the route of the range that holds key.
func (r *Router) Find(key []byte) (Route, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if i, ok := r.find(key); ok {
		return *r.routes[i], true
	}
	return Route{}, false
}

func (r *Router) find(key []byte) (int, bool) {
	i := sort.Search(len(r.routes), func(i int) bool { return bytes.Compare(r.routes[i].Span.Start, key) > 0 }) - 1
	return i, i >= 0 && r.routes[i].Span.Contains(key)
}

// Learn puts a route in the place of all that contradict it, unless a later one of the
// same range is known.
func (r *Router) Learn(n Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := sort.Search(len(r.routes), func(i int) bool { return bytes.Compare(r.routes[i].Span.End, n.Span.Start) > 0 })
	to := from
	for ; to < len(r.routes) && r.routes[to].Span.Overlaps(n.Span); to++ {
		if old := r.routes[to]; old.Range == n.Range && old.Epoch > n.Epoch {
			return
		}
	}
	r.routes = slices.Replace(r.routes, from, to, &n)
}

// Lead notes who leads the range of key, if that is known.
func (r *Router) Lead(key []byte, leader base.NodeID) {
	if n, ok := r.Find(key); !ok || n.Leader == leader {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.find(key)
	if !ok {
		return
	}
	n := *r.routes[i]
	n.Leader = leader
	r.routes[i] = &n
}

// Doubt forgets that a node leads the range of key.
func (r *Router) Doubt(key []byte, leader base.NodeID) {
	if n, ok := r.Find(key); ok && n.Leader == leader {
		r.Lead(key, 0)
	}
}

// Forget forgets the range that holds key.
func (r *Router) Forget(key []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.find(key); ok {
		r.routes = slices.Delete(r.routes, i, i+1)
	}
}
