package redis

import (
	"context"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/turn"
)

// A client that blocks stands in a line for each of its keys, with all that wait for the same
// of it: an element of a list, what is new in a group of a stream. Those of a node stand in the
// order in which they came; the first of them stands for the node in the line at whoever
// leads the key (kv.Turn), with the time since which it waits. Who is first in both has
// the turn: it watches the key, tries, and tries again whenever the key was written, until
// it is served. Everybody else costs nothing but a place.
//
// It is a matter of order only: what is taken is taken by a transaction like any other. Who
// takes nothing (XREAD) stands in no line.

// The errors of blocking commands.
const (
	errTimeoutFloat    command.Error = "ERR timeout is not a float or out of range"
	errTimeoutNegative command.Error = "ERR timeout is negative"
	errTimeoutTooLong  command.Error = "ERR timeout is out of range"
	errUnblocked       command.Error = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
	errBlockedKeys     command.Error = "ERR too many keys to wait for"
)

// blockRetry is when somebody tries again whose key was not available.
const blockRetry = 100 * time.Millisecond

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

// blockTimeout reads a timeout in seconds; zero means for ever.
func blockTimeout(arg []byte) (time.Duration, error) {
	f, ok := redisnum.ParseLongDouble(arg)
	if !ok {
		return 0, errTimeoutFloat
	}
	ms := math.Ceil(f.Float64() * 1000)
	switch {
	case math.IsNaN(ms):
		return 0, errTimeoutFloat
	case ms > float64(math.MaxInt64-time.Now().UnixMilli()):
		return 0, errTimeoutTooLong
	case ms < 0:
		return 0, errTimeoutNegative
	case ms > float64(math.MaxInt64/time.Millisecond):
		return math.MaxInt64, nil
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// block serves a command, or waits until it can, or until timeout is over. In a transaction
// nobody waits.
func (c *Call) block(w *wait, timeout time.Duration) error {
	s := c.s
	within := c.Txn != nil || s.tx != nil
	if within || w.alone || !s.waited(w) {
		served, err := c.attempt(w, w.keys, false)
		if err != nil || served {
			return err
		}
	} else if w.check != nil {
		if err := c.Transact(w.check); err != nil {
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
	since, err := s.srv.db.ReadVersion(context.Background())
	if err != nil {
		return err
	}
	b := &blocked{c: c, wait: w, since: since, unblock: make(chan bool, 1)}
	s.setBlocked(b.unblock)
	defer s.setBlocked(nil)
	b.gone = s.watchDisconnect()
	defer b.gone.stop()
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		b.timeout = timer.C
	}
	s.flush(c.x)
	c.x.mark = 0
	return b.run()
}

// lineAt names the line at a key's row.
func (w *wait) lineAt(row []byte) []byte {
	return append(append(slices.Clip(row), byte(w.kind)), w.line...)
}

// waited reports whether somebody is known to wait for the same.
func (s *session) waited(w *wait) bool {
	for _, key := range w.keys {
		line := w.lineAt(s.handle.AppendHeaderKey(nil, key))
		if s.srv.lines.Standing(line) > 0 || s.srv.db.Waited(line) {
			return true
		}
	}
	return false
}

// attempt serves the command if it can. Who waits does not mind keys of other types.
func (c *Call) attempt(w *wait, keys [][]byte, waiting bool) (served bool, err error) {
	mark := len(c.W.Buf)
	err = c.Transact(func(t kv.Txn) (err error) {
		c.W.Buf, served = c.W.Buf[:mark], false
		c.DB = c.x.database(c.s)
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
	gone    *disconnect
	timeout <-chan time.Time
	retry   <-chan time.Time
}

// place is where it stands for a key.
type place struct {
	key, row []byte
	line     []byte
	near     *turn.Place // nil for who stands in no line
	mine     bool        // it is first on this node
	far      kv.Turn     // then
	first    bool        // it has the turn
	watch    kv.Watch
	woken    bool // the key was written, or another node leads it
}

func (b *blocked) run() error {
	defer b.leave()
	for {
		if b.db != b.c.s.handle { // it has been swapped
			b.leave()
			b.enter()
		}
		if b.advance() {
			served, err := b.c.attempt(b.wait, b.ready(), true)
			if err == nil && !served {
				err = b.c.x.settle()
			}
			switch {
			case errors.Is(err, base.ErrUnavailable):
				b.retry = time.After(blockRetry)
			case err != nil || served:
				return err
			}
			if b.db != b.c.s.handle || b.stepBack() {
				continue
			}
		}
		if done, err := b.await(); done || err != nil {
			return err
		}
	}
}

// settle waits for what was seen so far, of which nothing is told: that there was nothing. If
// the ground of that is lost, nobody knows.
func (x *executor) settle() (err error) {
	for _, t := range x.tickets {
		if t.Wait() != nil {
			err = errors.Wrap(base.ErrUnavailable, "the leader has changed")
		}
	}
	clear(x.tickets)
	x.tickets = x.tickets[:0]
	return err
}

// enter takes a place for each key.
func (b *blocked) enter() {
	b.db = b.c.s.handle
	seen := map[string]bool{}
	for _, key := range b.keys {
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		row := b.db.AppendHeaderKey(nil, key)
		p := &place{key: key, row: row}
		if b.alone {
			p.mine, p.far, p.first = true, kv.First, true
		} else {
			p.line = b.lineAt(row)
			p.near = b.c.s.srv.lines.Enter(p.line, b.since)
		}
		b.places = append(b.places, p)
	}
}

func (b *blocked) leave() {
	for _, p := range b.places {
		p.step()
		if p.near != nil {
			p.near.Leave()
		}
	}
	b.places = nil
}

// step gives up what a place has beyond this node.
func (p *place) step() {
	if p.watch != nil {
		p.watch.Close()
	}
	if p.far != nil {
		p.far.Leave()
	}
	p.watch, p.far, p.first = nil, nil, false
	if p.near == nil {
		p.far, p.first = kv.First, true
	}
}

// stepBack gives up the turns that were of no use, where the line may be another node's by
// now: it is taken again with the same time. It reports whether there were any.
func (b *blocked) stepBack() (some bool) {
	distant := b.c.s.srv.db.Distant()
	for _, p := range b.places {
		if p.woken && distant {
			p.step()
			some = true
		}
		p.woken = false
	}
	return some
}

// advance makes a watch for every key whose turn it is, and reports whether there is a new one.
func (b *blocked) advance() (fresh bool) {
	db := b.c.s.srv.db
	for _, p := range b.places {
		if p.mine && p.far == nil {
			p.far = db.Turn(p.line, b.since)
		}
		if p.far != nil && !p.first {
			select {
			case <-p.far.Granted():
				p.first = true
			default:
			}
		}
		if p.first && p.watch == nil {
			p.watch, fresh = db.Watch(p.row), true
		}
	}
	return fresh
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
	s := b.c.s
	receive := func(ch any) reflect.SelectCase {
		return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)}
	}
	cases := append(make([]reflect.SelectCase, 0, fixed+2*len(b.places)),
		receive(b.timeout), receive(b.unblock), receive(b.gone.ended), receive(s.srv.stopping), receive(b.retry))
	var then []func()
	for _, p := range b.places {
		add := func(ch <-chan struct{}, do func()) {
			cases, then = append(cases, receive(ch)), append(then, do)
		}
		switch {
		case !p.mine:
			add(p.near.Turn(), func() { p.mine = true })
		case p.watch != nil:
			add(p.watch.Changed(), p.again)
			add(p.far.Lost(), p.step)
		default:
			add(p.far.Granted(), func() {})
			add(p.far.Lost(), p.step)
		}
	}
	chosen, value, _ := reflect.Select(cases)
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
		s.closing = true
		return true, base.ErrClosed
	case 3:
		return true, base.ErrShuttingDown
	case 4:
		b.retry = nil
		for _, p := range b.places {
			p.step()
		}
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

// setBlocked makes known how the session is unblocked; nil: it is not blocked.
func (s *session) setBlocked(unblock chan bool) {
	s.info.Lock()
	before := s.info.unblock
	s.info.unblock = unblock
	s.info.Unlock()
	switch {
	case before == nil && unblock != nil:
		s.srv.waiting.Add(1)
	case before != nil && unblock == nil:
		s.srv.waiting.Add(-1)
	}
}

// unblocks ends the wait of a session, if it waits and nobody has ended that yet.
func (s *session) unblocks(mistake bool) bool {
	s.info.Lock()
	defer s.info.Unlock()
	select {
	case s.info.unblock <- mistake: // nobody receives from nil
		return true
	default:
		return false
	}
}
