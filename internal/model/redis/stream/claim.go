package stream

import (
	"math"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// ClaimOptions are those of XCLAIM and XAUTOCLAIM.
type ClaimOptions struct {
	Group, Consumer []byte
	// MinIdle is for how many ms an entry has been idle at least.
	MinIdle int64
	// JustID leaves the fields out and the number of deliveries as it is.
	JustID bool

	// What follows is XCLAIM's: Delivered is when it counts as delivered in ms of the Unix
	// epoch, Idle says that it is as many ms ago, and Given that there is one of them.
	Delivered   int64
	Idle, Given bool
	// Times is how often it counts as delivered; -1: as often as it is.
	Times int64
	// Force makes entries pending that are not.
	Force bool
	// Last moves the group's last ID, if that is smaller.
	Last ID

	// Start and Count are XAUTOCLAIM's.
	Start ID
	Count int64
}

// ClaimGroup is the error that Claim would have without a group.
func ClaimGroup(t kv.Txn, db *redis.DB, key, name []byte) error {
	var s stream
	_, err := s.readGroup(t, db, key, name, missingAtPending)
	return err
}

// claimant is who claims something of a group: it is made if it is not there, and was seen.
func (s *stream) claimant(t kv.Txn, db *redis.DB, key, name, who []byte) (g *group, c *consumer, err error) {
	if g, err = s.readGroup(t, db, key, name, missingAtPending); err != nil {
		return nil, nil, err
	}
	if c, _, err = g.makeConsumer(who); err != nil {
		return nil, nil, err
	}
	c.see()
	return g, c, nil
}

// Claim is XCLAIM: the entries that are the consumer's now are appended to dst.
func Claim(t kv.Txn, db *redis.DB, key []byte, ids []ID, o ClaimOptions, dst []Item) ([]Item, error) {
	var s stream
	g, c, err := s.claimant(t, db, key, o.Group, o.Consumer)
	if err != nil {
		return nil, err
	}
	if g.last.less(o.Last) {
		g.last, g.dirty = o.Last, true
	}
	for _, id := range ids {
		p, found, err := g.pendingAt(id)
		if err != nil {
			return nil, err
		}
		x, there, err := g.claim(c, id, p, found, &o)
		if err != nil {
			return nil, err
		}
		if there {
			dst = append(dst, x)
		}
	}
	g.finish()
	return dst, nil
}

// claim makes an entry pending at c, if that may be; p is how it is pending.
func (g *group) claim(c *consumer, id ID, p pending, found bool, o *ClaimOptions) (x Item, claimed bool, err error) {
	x, there, err := g.s.item(id)
	switch {
	case err != nil:
		return x, false, err
	case !there && found:
		return x, false, g.drop(&p)
	case !there || !found && !o.Force:
		return x, false, nil
	}
	now := g.s.t.NowMillis()
	if found && o.MinIdle > 0 && now-p.delivered < o.MinIdle {
		return x, false, nil
	}
	var old *pending
	if found {
		was := p
		old = &was
	} else {
		p = pending{id: id, times: 1}
	}
	p.delivered = o.deliveredAt(now)
	switch {
	case o.Times >= 0:
		p.times = o.Times
	case !o.JustID:
		p.times++
	}
	c.active, c.dirty, g.dirty = now, true, true
	return x, true, g.put(&p, c, old)
}

func (o *ClaimOptions) deliveredAt(now int64) int64 {
	at := o.Delivered
	if o.Idle {
		at = now - at
	}
	if !o.Given || at < 0 || at > now {
		return now
	}
	return at
}

// autoClaimLooks is how many entries that are pending XAUTOCLAIM looks at for each that it
// may return.
const autoClaimLooks = 10

// AutoClaimed is what XAUTOCLAIM did.
type AutoClaimed struct {
	// Next is the ID to go on with, zero at the end.
	Next  ID
	Items []Item
	// Gone are the entries that were pending and are not in the stream any more.
	Gone []ID
}

// AutoClaim is XAUTOCLAIM.
func AutoClaim(t kv.Txn, db *redis.DB, key []byte, o ClaimOptions) (r AutoClaimed, err error) {
	var s stream
	g, c, err := s.claimant(t, db, key, o.Group, o.Consumer)
	if err != nil {
		return r, err
	}
	looks := min(o.Count, math.MaxInt64/autoClaimLooks-1) * autoClaimLooks
	var seen []pending
	if err := g.eachPending(o.Start, MaxID, func(p pending) error {
		seen = append(seen, p)
		if int64(len(seen)) > looks {
			return errEnough
		}
		return nil
	}); err != nil {
		return r, err
	}
	left := o.Count
	o.Times = -1
	for i, p := range seen {
		if left == 0 || int64(i) == looks {
			r.Next = p.id
			break
		}
		x, claimed, err := g.claim(c, p.id, p, true, &o)
		switch {
		case err != nil:
			return r, err
		case claimed:
			r.Items = append(r.Items, x)
			left--
		case x.Fields == nil:
			r.Gone = append(r.Gone, p.id)
			left--
		}
	}
	g.finish()
	return r, nil
}
