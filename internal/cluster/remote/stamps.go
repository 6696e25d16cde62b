package remote

import (
	"sync"

	"github.com/stratadb/strata/internal/base"
)

// stampsMax is how many stamps one question asks for.
const stampsMax = 1024

// stamps is who waits for one: there is one question at a time for all of a node, and who
// comes while it is open is served by the next, since its answer may be as old as the
// question (C1). No two get the same stamp: versionstamps are made of them.
type stamps struct {
	mu      sync.Mutex
	waiting []func(base.Stamp, error)
	asking  bool
}

// AskStamp asks the first range's leader for a stamp; done is called later.
func (c *Client) AskStamp(done func(base.Stamp, error)) {
	c.stamps.mu.Lock()
	defer c.stamps.mu.Unlock()
	c.stamps.waiting = append(c.stamps.waiting, done)
	if !c.stamps.asking {
		c.stamps.asking = true
		go c.askStamps()
	}
}

// askStamps asks until nobody waits.
func (c *Client) askStamps() {
	for {
		c.stamps.mu.Lock()
		served := c.stamps.waiting
		if len(served) > stampsMax {
			served = served[:stampsMax:stampsMax]
		}
		c.stamps.waiting = c.stamps.waiting[len(served):]
		if len(served) == 0 {
			c.stamps.waiting, c.stamps.asking = nil, false
			c.stamps.mu.Unlock()
			return
		}
		c.stamps.mu.Unlock()
		b, err := c.ask(nil, kindStamp, appendNumbers(nil, uint64(len(served))), harmless)
		if err != nil { // nobody answers: those who came meanwhile need not wait as long again
			c.stamps.mu.Lock()
			served, c.stamps.waiting = append(served, c.stamps.waiting...), nil
			c.stamps.mu.Unlock()
		}
		d := base.NewDecoder(b)
		for _, done := range served {
			s := base.Stamp(d.Uvarint())
			if err == nil && !d.OK() {
				err = errMalformed
			}
			done(s, err)
		}
	}
}

// Stamp asks the first range's leader for a stamp, and waits for it.
func (c *Client) Stamp() (base.Stamp, error) {
	type answer struct {
		stamp base.Stamp
		err   error
	}
	answered := make(chan answer, 1)
	c.AskStamp(func(s base.Stamp, err error) { answered <- answer{s, err} })
	a := <-answered
	return a.stamp, a.err
}
