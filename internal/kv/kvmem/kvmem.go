// Package kvmem is the reference engine: every version of every key in memory,
// one mutex, no cleverness. Other engines are compared with it.
package kvmem

import (
	"bytes"
	"context"
	"sort"
	"sync"

	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// Engine keeps everything in memory.
type Engine struct {
	mu struct {
		sync.Mutex
		keys    *btree.BTreeG[*versions]
		last    base.Stamp
		touches []touch
		watches map[string][]*watch
		done    map[uint64]result
		feeds   map[*following]struct{}
	}
	now  func() base.Stamp
	cuts [][]byte
}

var _ kv.Engine = (*Engine)(nil)

type versions struct {
	key  []byte
	list []version // oldest first
}

type version struct {
	stamp base.Stamp
	value []byte // nil: absent
}

type touch struct {
	span  base.Span
	stamp base.Stamp
}

type result struct {
	number  uint64
	version base.Versionstamp
}

// New makes an empty engine whose stamps follow now where it runs ahead of them.
func New(now func() base.Stamp) *Engine {
	e := &Engine{now: now}
	e.mu.keys = btree.NewG(32, func(a, b *versions) bool { return bytes.Compare(a.key, b.key) < 0 })
	e.mu.watches = map[string][]*watch{}
	e.mu.done = map[uint64]result{}
	return e
}

// NewDivided is New, with fences as where there are several ranges, which begin at cuts.
func NewDivided(now func() base.Stamp, cuts ...[]byte) *Engine {
	e := New(now)
	e.cuts = cuts
	return e
}

// ScanStored implements kv.Engine: everything is stored at once.
func (e *Engine) ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	a := e.NewAttempt()
	a.Begin(kv.AttemptOptions{})
	defer a.Abort()
	return a.Scan(span, reverse, visit)
}

// Local implements kv.Engine.
func (e *Engine) Local() bool { return true }

// Kick implements kv.Engine; nothing is ever pending.
func (e *Engine) Kick() {}

// Expect implements kv.Engine.
func (e *Engine) Expect([][]byte) bool { return false }

func (e *Engine) nextLocked() base.Stamp {
	e.mu.last = max(e.mu.last+1, e.now())
	return e.mu.last
}

// ReadVersion implements kv.Engine.
func (e *Engine) ReadVersion(context.Context) (base.Stamp, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nextLocked(), nil
}

// EstimateSize implements kv.Engine.
func (e *Engine) EstimateSize(span base.Span) (n int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.keys.AscendRange(&versions{key: span.Start}, &versions{key: span.End}, func(v *versions) bool {
		if value := v.at(e.mu.last); value != nil {
			n += int64(len(v.key) + len(value))
		}
		return true
	})
	return n, nil
}

func (v *versions) at(stamp base.Stamp) []byte {
	i := sort.Search(len(v.list), func(i int) bool { return v.list[i].stamp > stamp })
	if i == 0 {
		return nil
	}
	return v.list[i-1].value
}

func (v *versions) newest() base.Stamp { return v.list[len(v.list)-1].stamp }

// NewAttempt implements kv.Engine.
func (e *Engine) NewAttempt() kv.Attempt { return &attempt{e: e} }

type attempt struct {
	e    *Engine
	at   base.Stamp
	held bool
	open bool
}

func (a *attempt) Begin(o kv.AttemptOptions) {
	a.Abort()
	a.open = true
	a.e.mu.Lock()
	a.at = o.At
	if o.At == 0 {
		a.at = a.e.nextLocked()
		a.held = o.Hold != kv.HoldNever
	}
	if !a.held {
		a.e.mu.Unlock()
	}
}

func (a *attempt) lock() func() {
	if a.held {
		return func() {}
	}
	a.e.mu.Lock()
	return a.e.mu.Unlock
}

func (a *attempt) tooOldLocked() bool {
	return a.at.Millis()+limits.WindowAge.Milliseconds() < a.e.mu.last.Millis()
}

func (a *attempt) Get(key []byte) ([]byte, error) {
	defer a.lock()()
	if a.tooOldLocked() {
		return nil, base.ErrTooOld
	}
	v, ok := a.e.mu.keys.Get(&versions{key: key})
	if !ok {
		return nil, nil
	}
	return v.at(a.at), nil
}

// pairsAtOnce is how many pairs a scan looks up before it shows them: most scans end early.
const pairsAtOnce = 64

func (a *attempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	found := make([]base.KeyValue, 0, pairsAtOnce)
	for {
		var err error
		if found, err = a.page(span, reverse, found[:0]); err != nil {
			return err
		}
		for _, p := range found {
			if !visit(p.Key, p.Value) {
				return nil
			}
		}
		if len(found) < pairsAtOnce {
			return nil
		}
		if last := found[len(found)-1].Key; reverse {
			span.End = last
		} else {
			span.Start = append(bytes.Clone(last), 0)
		}
	}
}

// page appends the first pairs of the span, up to the capacity of found.
func (a *attempt) page(span base.Span, reverse bool, found []base.KeyValue) ([]base.KeyValue, error) {
	defer a.lock()()
	if a.tooOldLocked() {
		return nil, base.ErrTooOld
	}
	add := func(v *versions) bool {
		if value := v.at(a.at); value != nil && span.Contains(v.key) {
			found = append(found, base.KeyValue{Key: v.key, Value: value})
		}
		return len(found) < cap(found) && (!reverse || bytes.Compare(v.key, span.Start) > 0)
	}
	if reverse {
		a.e.mu.keys.DescendLessOrEqual(&versions{key: span.End}, add)
	} else {
		a.e.mu.keys.AscendRange(&versions{key: span.Start}, &versions{key: span.End}, add)
	}
	return found, nil
}

// Expect implements kv.Attempt: here everything is near.
func (a *attempt) Expect([][]byte) {}

// NowMillis implements kv.Attempt.
func (a *attempt) NowMillis() int64 { return a.at.Millis() }

func (a *attempt) Abort() kv.Receipt {
	if a.open && a.held {
		a.e.mu.Unlock()
	}
	a.open, a.held = false, false
	return kv.Receipt{}
}

func (a *attempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	defer a.Abort()
	defer a.lock()()
	e := a.e
	if prev, ok := e.mu.done[req.ID.Session]; ok && req.ID.Session != 0 && prev.number == req.ID.Number {
		return kv.Receipt{Version: &prev.version}, nil
	}
	if e.guarded(req) {
		return kv.Receipt{}, base.ErrConflict
	}
	if len(req.Mutations) == 0 {
		return kv.Receipt{}, nil // it read a consistent snapshot
	}
	if err := a.validateLocked(req); err != nil {
		return kv.Receipt{}, err
	}
	v := base.MakeVersionstamp(e.nextLocked(), 0)
	for _, m := range req.Mutations {
		e.applyLocked(m, v)
	}
	if req.ID.Session != 0 {
		e.mu.done[req.ID.Session] = result{req.ID.Number, v}
	}
	e.tellLocked(req)
	return kv.Receipt{Version: &v}, nil
}

// guarded reports whether a guard forbids the commit.
func (e *Engine) guarded(req *kv.CommitRequest) bool {
	guards := req.Guards
	if req.Fence != nil {
		more := req.Fence.Home()
		if at, within := e.fenceKey(req); within {
			w := req.Fence.At(at)
			if w == nil {
				return true
			}
			more = []kv.Watch{w}
		}
		guards = append(guards[:len(guards):len(guards)], more...)
	}
	for _, g := range guards {
		if dirty, _ := g.Dirty(); dirty {
			return true
		}
	}
	return false
}

// fenceKey is the first key of the area, or of the range in it, with which a transaction
// has to do; within is false where only the fence's home will do.
func (e *Engine) fenceKey(req *kv.CommitRequest) (at []byte, within bool) {
	area := req.Fence.Area()
	at = area.Start
	all := append([]base.Span(nil), req.ReadSpans...)
	for _, k := range req.ReadKeys {
		all = append(all, base.KeySpan(k))
	}
	for i := range req.Mutations {
		m := &req.Mutations[i]
		switch m.Op {
		case base.OpClearRange, base.OpTouch:
			all = append(all, base.Span{Start: m.Key, End: m.Value})
		default:
			all = append(all, base.KeySpan(m.Key))
		}
	}
	for _, s := range all {
		if bytes.Compare(s.Start, area.Start) < 0 || bytes.Compare(s.End, area.End) > 0 {
			return nil, false
		}
	}
	if len(all) == 0 || len(e.cuts) == 0 || bytes.Compare(all[0].Start, e.cuts[0]) < 0 {
		return nil, false
	}
	for _, cut := range e.cuts {
		if area.Contains(cut) && bytes.Compare(cut, all[0].Start) <= 0 {
			at = cut
		}
	}
	return at, true
}

func (a *attempt) validateLocked(req *kv.CommitRequest) error {
	if a.tooOldLocked() && len(req.ReadKeys)+len(req.ReadSpans) > 0 {
		return base.ErrTooOld
	}
	spans := req.ReadSpans
	for _, k := range req.ReadKeys {
		spans = append(spans[:len(spans):len(spans)], base.KeySpan(k))
	}
	for _, s := range spans {
		conflict := false
		a.e.mu.keys.AscendRange(&versions{key: s.Start}, &versions{key: s.End}, func(v *versions) bool {
			conflict = v.newest() > a.at
			return !conflict
		})
		for _, t := range a.e.mu.touches {
			conflict = conflict || t.stamp > a.at && t.span.Overlaps(s)
		}
		if conflict {
			return base.ErrConflict
		}
	}
	return nil
}

func (e *Engine) applyLocked(m base.Mutation, v base.Versionstamp) {
	switch m.Op {
	case base.OpClearRange:
		e.touchLocked(base.Span{Start: m.Key, End: m.Value}, v.Stamp())
		e.mu.keys.AscendRange(&versions{key: m.Key}, &versions{key: m.Value}, func(k *versions) bool {
			k.put(v.Stamp(), nil)
			return true
		})
	case base.OpTouch:
		e.touchLocked(base.Span{Start: m.Key, End: m.Value}, v.Stamp())
	case base.OpClear:
		e.putLocked(m.Key, nil, v)
	case base.OpSet:
		e.putLocked(m.Key, m.Value, v)
	case base.OpSetVersionstampedKey:
		tmpl, off, _ := base.VersionstampOffset(m.Key)
		key := bytes.Clone(tmpl)
		copy(key[off:], v[:])
		e.putLocked(key, m.Value, v)
	case base.OpSetVersionstampedValue:
		tmpl, off, _ := base.VersionstampOffset(m.Value)
		value := bytes.Clone(tmpl)
		copy(value[off:], v[:])
		e.putLocked(m.Key, value, v)
	default:
		var old []byte
		if k, ok := e.mu.keys.Get(&versions{key: m.Key}); ok {
			old = k.at(v.Stamp())
		}
		e.putLocked(m.Key, base.ApplyAtomic(m.Op, old, m.Value, limits.PairBytes), v)
	}
}

func (e *Engine) touchLocked(s base.Span, stamp base.Stamp) {
	e.mu.touches = append(e.mu.touches, touch{
		span: base.Span{Start: bytes.Clone(s.Start), End: bytes.Clone(s.End)}, stamp: stamp})
	for key := range e.mu.watches {
		if s.Contains([]byte(key)) {
			e.fireLocked(key)
		}
	}
}

func (e *Engine) putLocked(key, value []byte, v base.Versionstamp) {
	k, ok := e.mu.keys.Get(&versions{key: key})
	if !ok {
		k = &versions{key: bytes.Clone(key)}
		e.mu.keys.ReplaceOrInsert(k)
	}
	if value != nil {
		value = append([]byte{}, value...)
	}
	k.put(v.Stamp(), value)
	e.fireLocked(string(key))
}

func (v *versions) put(stamp base.Stamp, value []byte) {
	if n := len(v.list); n > 0 && v.list[n-1].stamp == stamp {
		v.list[n-1].value = value
		return
	}
	v.list = append(v.list, version{stamp, value})
}

type watch struct {
	e       *Engine
	key     string
	dirty   bool
	changed chan struct{}
}

// Watch implements kv.Engine.
func (e *Engine) Watch(key []byte) kv.Watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &watch{e: e, key: string(key), changed: make(chan struct{})}
	e.mu.watches[w.key] = append(e.mu.watches[w.key], w)
	return w
}

func (e *Engine) fireLocked(key string) {
	for _, w := range e.mu.watches[key] {
		if !w.dirty {
			w.dirty = true
			close(w.changed)
		}
	}
}

// Dirty must not be called while the caller's own attempt holds the engine,
// except from Commit, which has the lock.
func (w *watch) Dirty() (bool, base.Ticket) {
	select {
	case <-w.changed:
		return true, base.Ticket{}
	default:
		return false, base.Ticket{}
	}
}

func (w *watch) Changed() <-chan struct{} { return w.changed }

func (w *watch) Close() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if !w.dirty {
		w.dirty = true
		close(w.changed)
	}
	list := w.e.mu.watches[w.key]
	for i, o := range list {
		if o == w {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(w.e.mu.watches, w.key)
		return
	}
	w.e.mu.watches[w.key] = list
}
