package blocking

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/turn"
)

// The errors of blocking commands.
const (
	errTimeoutFloat    command.Error = "ERR timeout is not a float or out of range"
	errTimeoutNegative command.Error = "ERR timeout is negative"
	errTimeoutTooLong  command.Error = "ERR timeout is out of range"
	errUnblocked       command.Error = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
	errBlockedKeys     command.Error = "ERR too many keys to wait for"
)

// retryAfter is when somebody tries again whose key was not available.
const retryAfter = 100 * time.Millisecond

// wait is what a blocking command waits for.
type wait struct {
	keys [][]byte
	// serve replies and answers true if one of keys has what is waited for.
	serve func(t kv.Txn, keys [][]byte) (bool, error)
	kind  model.Type // that a key has to be of
	// line tells lines at a key apart, beside kind; alone says that there is none.
	line  []byte
	alone bool
	// check is what fails where serve would at once, in place of it.
	check func(t kv.Txn) error
	// strict lets serve see keys of other types and absent ones, too.
	strict bool
	// waiting: serve is asked again.
	waiting bool
	// nothing replies when the time is over, at once replies in place of waiting.
	nothing, atOnce func()
}

// block serves a command, or waits until it can, or until timeout is over. In a transaction
// nobody waits.
func (c *Call) block(w *wait, timeout time.Duration) error {
	within := c.Client.Within()
	if within || w.alone || !c.waited(w) {
		served, err := c.attempt(w, w.keys, false)
		if err != nil || served {
			return err
		}
	} else if w.check != nil {
		if err := c.Client.Transact(w.check); err != nil {
			return err
		}
	}
	if within {
		w.atOnce()
		return nil
	}
	if len(w.keys) > limits.BlockedKeys {
		return errBlockedKeys
	}
	since, err := c.Lines.DB.ReadVersion(context.Background())
	if err != nil {
		return err
	}
	b := &blocked{c: c, wait: w, since: since, unblock: make(chan bool, 1)}
	gone, resume := c.Client.Suspend(b.unblock)
	defer resume()
	b.gone = gone
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		b.timeout = timer.C
	}
	return b.run()
}

// lineAt names the line at a key's row.
func (w *wait) lineAt(row []byte) []byte {
	return append(append(slices.Clip(row), byte(w.kind)), w.line...)
}

// waited reports whether somebody is known to wait for the same.
func (c *Call) waited(w *wait) bool {
	db := c.Client.Database()
	for _, key := range w.keys {
		line := w.lineAt(db.AppendHeaderKey(nil, key))
		if c.Lines.Standing(line) > 0 || c.Lines.DB.Waited(line) {
			return true
		}
	}
	return false
}

// attempt serves the command if it can. Who waits does not mind keys of other types.
func (c *Call) attempt(w *wait, keys [][]byte, waiting bool) (served bool, err error) {
	mark := len(c.W.Buf)
	err = c.Client.Transact(func(t kv.Txn) (err error) {
		c.W.Buf, served = c.W.Buf[:mark], false
		fit := keys
		w.waiting = waiting
		if waiting && !w.strict {
			if fit, err = c.fitting(t, w, keys); err != nil || len(fit) == 0 {
				return err
			}
		}
		served, err = w.serve(t, fit)
		return err
	})
	return served, err
}

func (c *Call) fitting(t kv.Txn, w *wait, keys [][]byte) (fit [][]byte, err error) {
	for _, key := range keys {
		kind, err := model.TypeOf(t, c.DB, key)
		if err != nil {
			return nil, err
		}
		if kind == w.kind {
			fit = append(fit, key)
		}
	}
	return fit, nil
}

// blocked is a client that waits.
type blocked struct {
	*wait
	c       *Call
	since   base.Stamp
	db      *model.DB // in which the places are
	places  []*place
	unblock chan bool // whether it is an error
	gone    <-chan struct{}
	timeout <-chan time.Time
	retry   <-chan time.Time
	seen    bool // as one that waits
}

// place is where it stands for a key.
type place struct {
	key, row []byte
	line     []byte
	near     *turn.Place // nil for who stands in no line
	mine     bool        // it is first on this node
	far      kv.Turn     // then: the node's place in the line of the nodes
	doubt    bool        // whether the line is kept: the key was not available
	watch    kv.Watch    // while it has the turn
	woken    bool        // the key was written, or another node leads it
}

func (b *blocked) run() error {
	defer b.leave()
	for {
		if b.db != b.c.Client.Database() { // it has been swapped
			b.leave()
			b.enter()
		}
		if b.advance() {
			if err := b.c.Client.Allowed(); err != nil { // any more
				return err
			}
			served, err := b.c.attempt(b.wait, b.ready(), true)
			if err == nil && !served {
				err = b.c.Client.Settle()
			}
			switch {
			case errors.Is(err, base.ErrUnavailable):
				b.retry = time.After(retryAfter)
			case err != nil || served:
				return err
			}
			if b.db != b.c.Client.Database() || b.askAgain() {
				continue
			}
		}
		if done, err := b.await(); done || err != nil {
			return err
		}
	}
}

// enter takes a place for each key.
func (b *blocked) enter() {
	b.db = b.c.Client.Database()
	seen := map[string]bool{}
	for _, key := range b.keys {
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		row := b.db.AppendHeaderKey(nil, key)
		p := &place{key: key, row: row}
		if b.alone {
			p.mine, p.far = true, kv.First
		} else {
			p.line = b.lineAt(row)
			p.near = b.c.Lines.Enter(p.line, b.since)
		}
		b.places = append(b.places, p)
	}
}

// leave gives the places up. What one of them has beyond this node, in the name of all, is
// handed on: in the line of the nodes nobody else comes between this client and the next.
func (b *blocked) leave() {
	for _, p := range b.places {
		p.unwatch()
		if p.near == nil {
			continue
		}
		if rest := p.near.Hand(p.far); rest != nil {
			rest.(kv.Turn).Leave()
		}
	}
	b.places = nil
}

func (p *place) unwatch() {
	if p.watch != nil {
		p.watch.Close()
	}
	p.watch = nil
}

// step gives up what a place has beyond this node.
func (p *place) step() {
	p.unwatch()
	if p.near != nil {
		p.far.Leave()
		p.far, p.doubt = nil, false
	}
}

// lose is step where the place is lost.
func (p *place) lose() {
	p.step()
	p.near.SetKnown() // it was, or nobody is to be found who could know
}

// ask gives up the turn that a place has, and asks for it.
func (p *place) ask(since base.Stamp) {
	p.unwatch()
	if p.near != nil {
		p.far.Move(since)
	}
}

// askAgain asks for the turns that were of no use, where the line may be another node's by
// now. It reports whether there were any.
func (b *blocked) askAgain() (some bool) {
	distant := b.c.Lines.DB.Distant()
	for _, p := range b.places {
		if p.woken && distant {
			p.ask(b.since)
			some = true
		}
		p.woken = false
	}
	return some
}

// unavailable asks for all turns: some key was not available. Who has been asked before, and
// has not answered, is left.
func (b *blocked) unavailable() {
	b.retry = nil
	for _, p := range b.places {
		switch {
		case p.doubt:
			p.step()
		case p.watch != nil:
			if p.ask(b.since); p.near != nil {
				p.doubt, b.retry = true, time.After(retryAfter)
			}
		}
	}
}

// advance makes a watch for every key whose turn it is, and reports whether there is a new one.
func (b *blocked) advance() (fresh bool) {
	db := b.c.Lines.DB
	unknown := false
	for _, p := range b.places {
		if p.mine && p.far == nil {
			if held := p.near.Take(); held != nil {
				p.far = held.(kv.Turn)
				p.far.Move(b.since)
			} else {
				p.far = db.Turn(p.line, b.since)
			}
		}
		if p.near != nil && !b.seen {
			if p.far != nil && over(p.far.Known()) {
				p.near.SetKnown()
			}
			unknown = unknown || !over(p.near.Known())
		}
		switch first := p.far != nil && over(p.far.Granted()); {
		case !first: // or not any more
			p.unwatch()
		case p.watch == nil:
			p.watch, p.doubt, fresh = db.Watch(p.row), false, true
		}
	}
	if !b.seen && !unknown {
		b.seen = true
		b.c.Client.Waits()
	}
	return fresh
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ready are the keys whose turn it is.
func (b *blocked) ready() (keys [][]byte) {
	for _, p := range b.places {
		if p.watch != nil {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// await waits until something has happened; done says that it is over.
func (b *blocked) await() (done bool, err error) {
	const fixed = 5
	receive := func(ch any) reflect.SelectCase {
		return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)}
	}
	cases := append(make([]reflect.SelectCase, 0, fixed+3*len(b.places)),
		receive(b.timeout), receive(b.unblock), receive(b.gone), receive(b.c.Lines.Stopping), receive(b.retry))
	var then []func()
	for _, p := range b.places {
		add := func(ch <-chan struct{}, do func()) {
			cases, then = append(cases, receive(ch)), append(then, do)
		}
		if p.near != nil && !b.seen {
			if known := p.near.Known(); !over(known) {
				if p.far != nil {
					known = p.far.Known()
				}
				add(known, func() {})
			}
		}
		switch {
		case !p.mine:
			add(p.near.Turn(), func() { p.mine = true })
		case p.watch != nil:
			add(p.watch.Changed(), p.again)
			add(p.far.Lost(), p.lose)
		default:
			add(p.far.Granted(), func() {})
			add(p.far.Lost(), p.lose)
		}
	}
	var chosen int
	var value reflect.Value
	b.c.Client.Idle(func() { chosen, value, _ = reflect.Select(cases) })
	switch chosen {
	case 0:
		b.nothing()
		return true, nil
	case 1:
		if value.Bool() {
			return true, errUnblocked
		}
		b.nothing()
		return true, nil
	case 2:
		b.c.Client.End()
		return true, base.ErrClosed
	case 3:
		return true, base.ErrShuttingDown
	case 4:
		b.unavailable()
	default:
		then[chosen-fixed]()
	}
	return false, nil
}

// again makes a place look at its key once more.
func (p *place) again() {
	p.watch.Close()
	p.watch, p.woken = nil, true
}
