package proxy

import (
	"sync"
	"time"
)

// natives are the sessions whose commands wait at the deciding side. When the mode changes
// their waits are ended, and begin again where they belong then.
type natives struct {
	mu  sync.Mutex
	all map[*native]struct{}
}

func (n *natives) add(x *native) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[*native]struct{}{}
	}
	n.all[x] = struct{}{}
}

// remove reports whether the wait was ended because of the mode.
func (n *natives) remove(x *native) (moved bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, x)
	return x.moved
}

func (n *natives) each(visit func(x *native)) (left int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for x := range n.all {
		visit(x)
	}
	return len(n.all)
}

const (
	// releaseWithin is how long a server is asked to end waits, before the connections are cut.
	releaseWithin = time.Second
	releaseEvery  = 5 * time.Millisecond
)

// releaseNatives ends all waits at the deciding side. Who calls it holds the gate alone.
func (p *Proxy) releaseNatives() {
	var ids []string
	p.natives.each(func(x *native) {
		x.moved = true
		ids = append(ids, x.id)
	})
	if len(ids) == 0 {
		return
	}
	pool := p.pools[p.mode.decider()]
	c, err := pool.get(p.ctx, 0, 2)
	deadline := time.Now().Add(releaseWithin)
	for err == nil && time.Now().Before(deadline) {
		for _, id := range ids {
			if _, err = c.Do("CLIENT", "UNBLOCK", id, "TIMEOUT"); err != nil {
				break
			}
		}
		if p.natives.each(func(*native) {}) == 0 {
			pool.put(c)
			return
		}
		<-time.After(releaseEvery)
	}
	if c != nil {
		pool.drop(c)
	}
	p.natives.each(func(x *native) { x.closed() })
}
