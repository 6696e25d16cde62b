package proxy

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/effect"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/migrate/transfer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// executed is a write that the deciding side has answered, outside of MULTI, with the bytes
// of command and reply.
type executed struct {
	t     *trait
	args  [][]byte
	raw   []byte
	reply []byte
	lost  bool // the reply was too long to be kept
}

// outcome collects what a batch of writes is on the side that follows. Its owner holds
// the locks of all their keys.
type outcome struct {
	p     *Proxy
	db    int
	proto int
	now   time.Time
	loose bool
	items []item
	arena []byte
	// copies are keys that are copied behind the items, and trims streams whose first entry
	// says what was trimmed.
	copies map[string]bool
	trims  map[string]bool
}

func (o *outcome) begin(p *Proxy, db, proto int) {
	complete, _ := p.completeness()
	*o = outcome{p: p, db: db, proto: proto, now: time.Now(), loose: !complete && p.touched.Load() == nil, items: o.items[:0]}
}

// append keeps bytes for an item.
func (o *outcome) keep(b []byte) []byte {
	from := len(o.arena)
	o.arena = append(o.arena, b...)
	return o.arena[from:len(o.arena):len(o.arena)]
}

func (o *outcome) encode(args [][]byte) []byte {
	from := len(o.arena)
	o.arena = resp.AppendCommand(o.arena, args...)
	return o.arena[from:len(o.arena):len(o.arena)]
}

func (o *outcome) copy(keys ...[]byte) {
	if o.copies == nil {
		o.copies = map[string]bool{}
	}
	for _, k := range keys {
		o.copies[string(k)] = true
	}
}

// keysOf are the keys among arguments.
func keysOf(t *trait, args [][]byte) (keys [][]byte) {
	for _, i := range t.keys.Positions(args, nil) {
		keys = append(keys, args[i])
	}
	return keys
}

// absorbed reports whether a write need not be sent because its keys are copied: those that
// differ, and while all is being copied those that are not yet. One key that is makes all of
// them so.
func (o *outcome) absorbed(keys [][]byte) bool {
	differs, fresh := false, false
	if o.p.ledger.count.Load() > 0 {
		for _, k := range keys {
			differs = differs || o.p.ledger.absorbs(place{o.db, string(k)})
		}
	}
	bits := o.p.touched.Load()
	for _, k := range keys {
		fresh = fresh || o.copies[string(k)] || bits != nil && !bits.has(o.db, k)
	}
	switch {
	case fresh:
		o.copy(keys...)
		if bits != nil {
			for _, k := range keys {
				bits.set(o.db, k)
			}
		}
	case differs && len(keys) > 1:
		for _, k := range keys {
			o.p.markAll([]place{{o.db, string(k)}}, 0, "written together with a key that differs")
		}
	}
	return fresh || differs
}

// add takes a write outside of MULTI.
func (o *outcome) add(e *executed) {
	if !e.lost && (len(e.reply) == 0 || e.reply[0] == '-' || e.reply[0] == '!') {
		return
	}
	keys := keysOf(e.t, e.args)
	how := e.t.treatment(e.args)
	if how == effect.Script && o.p.touched.Load() != nil {
		o.p.syncing.set(func(s *progress) { s.again = true })
	}
	if e.t.name == "swapdb" {
		o.p.swapped()
	}
	if how == effect.Local || len(keys) > 0 && o.absorbed(keys) {
		o.follow(e.t, e.args)
		return
	}
	if e.lost {
		if how == effect.Same {
			o.items = append(o.items, item{raw: o.keep(e.raw), replies: 1, db: o.db, t: e.t, loose: o.loose})
			return
		}
		o.copy(keys...)
		return
	}
	var reply resp.Value
	if how != effect.Same && how != effect.Everywhere {
		var err error
		if reply, err = peer.Decode(e.reply); err != nil {
			o.copy(keys...)
			return
		}
	}
	effects, same := o.effects(how, e.t, e.args, keys, reply)
	if same {
		it := item{raw: o.keep(e.raw), replies: 1, db: o.db, t: e.t, loose: o.loose}
		trimmed := len(keys) > 0 && o.trims[string(keys[0])] // only behind the others
		if len(e.reply) <= limits.ProxyComparedBytes && how != effect.Everywhere && !o.loose && !trimmed {
			it.want, it.proto = o.keep(e.reply), o.proto
		}
		if e.t.name == "evalsha" {
			it.script = string(e.args[1])
		}
		o.items = append(o.items, it)
		return
	}
	for _, args := range effects {
		o.items = append(o.items, item{raw: o.encode(args), replies: 1, db: o.db, t: o.p.commands.of(args), loose: o.loose})
	}
}

// follow marks what a command that is not sent has written to another database.
func (o *outcome) follow(t *trait, args [][]byte) {
	if at, ok := elsewhere(t, args); ok {
		o.p.markAll([]place{at}, 0, "it came from another database")
	}
}

// swapped is what SWAPDB does to what is known by the number of its database.
func (p *Proxy) swapped() {
	if p.touched.Load() != nil {
		p.syncing.set(func(s *progress) { s.swapped = true })
	} else if p.ledger.count.Load() > 0 {
		p.incomplete("databases were swapped while keys differed")
	}
}

// effects are what a command was; same says that it was what it says.
func (o *outcome) effects(how effect.Treatment, t *trait, args, keys [][]byte, reply resp.Value) (all []effect.Args, same bool) {
	switch how {
	case effect.Same, effect.Everywhere:
		return nil, true
	case effect.Script:
		if t.name == "evalsha" {
			if _, known := o.p.scripts.text(string(args[1])); !known {
				// Nobody can tell what it does: what it was told to write to is copied.
				o.copy(keys...)
				o.p.report.unknownScripts.Add(1)
				return nil, false
			}
		}
		return nil, true
	case effect.Copied:
		o.copy(keys...)
		return nil, false
	case effect.Trimmed:
		if o.trims == nil {
			o.trims = map[string]bool{}
		}
		o.trims[string(args[1])] = true
	}
	return effect.Of(t.name, args, reply, o.now), false
}

// block takes what was between MULTI and EXEC, which the deciding side answered with reply.
func (o *outcome) block(commands []queued, reply []byte) {
	answer, err := peer.Decode(reply)
	if err != nil || answer.Kind != resp.KindArray || len(answer.Array) != len(commands) {
		return // it was not executed
	}
	var all [][]byte
	for i := range commands {
		if args := commands[i].args(); commands[i].t.treatment(args) != effect.Local { // the others' keys are not locked
			all = append(all, keysOf(commands[i].t, args)...)
		}
		if commands[i].t.name == "swapdb" {
			o.p.swapped()
		}
		if effect.Treat(commands[i].t.name, nil) == effect.Script && o.p.touched.Load() != nil {
			o.p.syncing.set(func(s *progress) { s.again = true })
		}
	}
	if len(all) > 0 && o.absorbed(all) {
		for i := range commands {
			o.follow(commands[i].t, commands[i].args())
		}
		return
	}
	if slices.ContainsFunc(commands, func(q queued) bool { return o.opaque(&q) }) {
		o.copy(all...) // what comes behind may depend on it
		return
	}
	it := item{db: o.db, t: commands[0].t, replies: 2, loose: o.loose, want: reply, proto: o.proto}
	raw := resp.AppendCommand(nil, "MULTI")
	trimmed := false
	for i := range commands {
		q := &commands[i]
		args, v := q.args(), answer.Array[i]
		how := q.t.treatment(args)
		if how == effect.Local || v.Kind == resp.KindError {
			continue
		}
		trimmed = trimmed || how == effect.Trimmed
		effects, same := o.effects(how, q.t, args, keysOf(q.t, args), v)
		if same {
			want := i
			if how == effect.Everywhere {
				want = -1
			}
			it.block = append(it.block, part{q.t, want})
			raw = append(raw, q.raw...)
			if q.t.name == "evalsha" {
				it.script = string(args[1])
			}
		}
		for _, e := range effects {
			it.block = append(it.block, part{q.t, -1})
			raw = resp.AppendCommand(raw, e...)
		}
	}
	if len(it.block) == 0 {
		return
	}
	for i := range it.block {
		if trimmed { // answers may depend on what is trimmed only afterwards
			it.block[i].want = -1
		}
	}
	it.replies += len(it.block)
	it.raw = resp.AppendCommand(raw, "EXEC")
	if len(reply) > limits.ProxyComparedBytes || o.loose {
		it.want, it.proto = nil, 0
	} else {
		it.want = append([]byte(nil), reply...)
	}
	o.items = append(o.items, it)
}

// opaque reports whether only a command's keys show what it did.
func (o *outcome) opaque(q *queued) bool {
	if args := q.args(); q.t.name == "evalsha" {
		_, known := o.p.scripts.text(string(args[1]))
		return !known
	}
	return effect.Treat(q.t.name, nil) == effect.Copied
}

// finish reads what is to be copied and queues everything.
func (o *outcome) finish(f *follower) {
	if len(o.trims) > 0 {
		o.p.readTrims(o)
	}
	if len(o.items) > 0 && !f.q.put(o.items, o.p.cfg.Wait, nil) {
		for i := range o.items {
			o.p.overflow(&o.items[i])
		}
	}
	if len(o.copies) > 0 {
		keys := make([]string, 0, len(o.copies))
		for k := range o.copies {
			keys = append(keys, k)
		}
		if err := o.p.copyKeys(f, o.db, keys); err != nil {
			for _, k := range keys {
				o.p.markAll([]place{{o.db, k}}, 0, "it could not be read: "+err.Error())
			}
		}
	}
	clear(o.items)
}

// overflow is what becomes of an item for which there is no room.
func (p *Proxy) overflow(it *item) {
	p.report.overflowed.Add(1)
	it.seq = 0
	p.lost(it, errors.New("the queue is full"))
}

// readTrims asks the deciding side with which entries streams begin.
func (p *Proxy) readTrims(o *outcome) {
	pool := p.pools[p.mode.decider()]
	c, err := pool.get(p.ctx, o.db, 2)
	if err != nil {
		for k := range o.trims {
			o.copy([]byte(k))
		}
		return
	}
	for k := range o.trims {
		ask := effect.FirstEntry([]byte(k))
		if err = c.Send(resp.AppendCommand(nil, ask...)); err != nil {
			o.copy([]byte(k))
			continue
		}
		first, failed := c.Read()
		if err = failed; err != nil {
			o.copy([]byte(k))
			continue
		}
		for _, args := range effect.Trim([]byte(k), first) {
			// How many are trimmed is not what was answered, and no error either.
			o.items = append(o.items, item{raw: o.encode(args), replies: 1, db: o.db, t: p.commands.of(args), loose: o.loose})
		}
	}
	if err != nil {
		pool.drop(c)
		return
	}
	pool.put(c)
}

// copyKeys reads keys at the deciding side and queues what makes them the same at the other
// one. Who calls it holds their locks, and the gate.
func (p *Proxy) copyKeys(f *follower, db int, keys []string) error {
	pool := p.pools[p.mode.decider()]
	c, err := pool.get(p.ctx, db, 2)
	if err != nil {
		return err
	}
	source := transfer.Source{Conn: c}
	onto := func(it *item) { p.ledger.copying(it.place, it.seq) }
	end := func(v transfer.Value, raw []byte) error {
		it := item{kind: isCopy, raw: raw, replies: 1, db: db, t: p.commands.nobody, place: place{db, v.Key}}
		p.report.copied.Add(1)
		if !f.q.put([]item{it}, p.cfg.Wait, onto) {
			p.overflow(&it)
			p.ledger.mark(it.place, 0, "the queue is full")
		}
		return nil
	}
	err = source.Fetch(keys, func(v transfer.Value) error {
		if !v.Large {
			return end(v, resp.AppendCommand(nil, transfer.Restore(v, true)...))
		}
		err := source.Pieces(v, func(commands []transfer.Command) error {
			it := item{kind: isPiece, replies: len(commands), db: db, t: p.commands.nobody, place: place{db, v.Key}}
			for _, args := range commands {
				it.raw = resp.AppendCommand(it.raw, args...)
			}
			if !f.q.put([]item{it}, p.cfg.Wait, nil) {
				return errors.New("the queue is full")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return end(v, resp.AppendCommand(nil, "EXISTS", v.Key))
	})
	if err != nil {
		pool.drop(c)
		return err
	}
	pool.put(c)
	return nil
}

// repair copies the keys that differ, as long as the other side can be reached.
func (p *Proxy) repair() {
	for p.ctx.Err() == nil {
		wait := p.repairSome()
		if wait <= 0 {
			continue
		}
		select {
		case <-p.ctx.Done():
		case <-p.ledger.wake:
		case <-time.After(wait):
		}
	}
}

// repairBatch is how many keys are copied under one lock.
const repairBatch = 32

func (p *Proxy) repairSome() (wait time.Duration) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	f := p.follower
	if f == nil || !f.up.Load() || !f.q.quiet() {
		return 50 * time.Millisecond
	}
	db, keys, wait := p.ledger.next(repairBatch)
	if len(keys) == 0 {
		return wait
	}
	held := p.locks.lock(stripesOf(keys))
	err := p.copyKeys(f, db, keys)
	p.locks.unlock(held)
	if err != nil {
		p.log.Warn("copying keys that differ", "error", err)
		p.ledger.again(db, keys)
		return copyBackoff
	}
	return 0
}

// bitmap remembers about which keys were copied while all is being copied: it may say so of
// one that was not, which does no harm, since that one is copied all the same in its turn.
type bitmap [1 << 21]atomic.Uint64

func (b *bitmap) at(db int, key []byte) (word *atomic.Uint64, bit uint64) {
	h := xxhash.Sum64(key) + uint64(db)*0x9E3779B97F4A7C15
	return &b[h>>6%uint64(len(b))], 1 << (h & 63)
}

func (b *bitmap) has(db int, key []byte) bool {
	word, bit := b.at(db, key)
	return word.Load()&bit != 0
}

func (b *bitmap) set(db int, key []byte) {
	word, bit := b.at(db, key)
	word.Or(bit)
}

// recheck is a read that was answered differently.
type recheck struct {
	t     *trait
	raw   []byte
	db    int
	proto int
}

func (p *Proxy) recheck(it *item) {
	select {
	case p.rechecks <- recheck{it.t, it.raw, it.db, it.proto}:
	default:
		p.report.shadow(it.t.name, shadowSkipped)
	}
}

// recheckAll reads again, under the locks of the keys, what was answered differently.
func (p *Proxy) recheckAll() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case r := <-p.rechecks:
			if err := p.readAgain(r); err != nil {
				p.report.shadow(r.t.name, shadowSkipped)
			}
		}
	}
}

func (p *Proxy) readAgain(r recheck) error {
	places := p.placesIn(r.raw, r.db)
	var held stripes
	if len(places) == 0 { // KEYS and its like
		p.gate.Lock()
		defer p.gate.Unlock()
	} else {
		p.gate.RLock()
		defer p.gate.RUnlock()
		for _, at := range places {
			held = held.add([]byte(at.key))
		}
		held = p.locks.lock(held)
		defer p.locks.unlock(held)
	}
	f := p.follower
	if f == nil {
		return errors.New("nobody follows")
	}
	pool := p.pools[p.mode.decider()]
	c, err := pool.get(p.ctx, r.db, r.proto)
	if err != nil {
		return err
	}
	got := captured{most: limits.ProxyComparedBytes}
	if err = c.Send(r.raw); err == nil {
		_, err = c.Replies.Next(&got)
	}
	if err != nil {
		pool.drop(c)
		return err
	}
	pool.put(c)
	if got.more {
		return errors.New("a long reply")
	}
	it := item{kind: isSure, raw: r.raw, replies: 1, db: r.db, proto: r.proto, t: r.t, want: got.b}
	for _, at := range places {
		if p.ledger.absorbs(at) {
			return errors.New("the key is known to differ")
		}
	}
	if !f.q.put([]item{it}, p.cfg.Wait, nil) {
		return errors.New("the queue is full")
	}
	return nil
}
