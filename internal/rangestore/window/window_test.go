package window

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/errors"
	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// The model keeps every version of every key for ever, and a disk.

type modelVersion struct {
	pos   base.Position
	batch int
	value string
	gone  bool
	own   base.Stamp // of an installed version
}

type modelWrite struct {
	key   string
	pos   base.Position
	batch int
	own   base.Stamp
}

// modelClear is a range clear.
type modelClear struct {
	span  base.Span
	pos   base.Position
	batch int
	own   base.Stamp
}

// modelTxn is a transaction over several ranges: what it has locked, from its prepare
// to its resolve.
type modelTxn struct {
	span     base.Span // what it writes: a key if clear is not set
	clear    bool
	prepared int // batches that have to be committed before its stamp is issued
	commit   base.Stamp
	resolved int // its resolve's batch; -1 while it holds the lock
	pos      base.Position
}

type modelBatch struct {
	num       uint64
	stamp     base.Stamp
	committed bool
	lastPos   base.Position
	b         batch.Builder
	closed    bool
	unstamped []unstampedModel
}

type unstampedModel struct {
	prefix string // key is prefix + versionstamp
	place  uint16
	value  string
	pos    base.Position
	clears []modelVersion // range clears that followed before the stamp was known
}

type model struct {
	t         *rapid.T
	w         *Window
	versions  map[string][]modelVersion
	written   []modelWrite // touches and clears of absent keys included
	clears    []modelClear
	batches   []*modelBatch
	disk      map[string]string
	base      base.Stamp
	basePos   base.Position
	pos       base.Position
	stamp     base.Stamp
	index     base.LogIndex
	baseBatch int // batches below are evicted
	txns      []*modelTxn
	pending   *Eviction
	planned   bool // pending is, and on disk
}

// keys: some have a bucket of the order of their own, some share one.
var keys = []string{"a", "b", "c", "together-1", "together-2", "together-3", "x"}

// firstBase is where a model's window begins.
const firstBase = base.Stamp(100)

func newModel(t *rapid.T) *model {
	return &model{t: t, w: New(firstBase, 0), base: firstBase, stamp: firstBase, versions: map[string][]modelVersion{}, disk: map[string]string{}}
}

func (m *model) open() (*modelBatch, bool) {
	if n := len(m.batches); n > 0 && !m.batches[n-1].closed {
		return m.batches[n-1], true
	}
	return nil, false
}

func (m *model) ensureOpen() *modelBatch {
	if b, ok := m.open(); ok {
		return b
	}
	b := &modelBatch{num: m.w.Open(m.pos)}
	b.b.Reset(0)
	m.batches = append(m.batches, b)
	return b
}

func (m *model) add(key, value string, gone bool) {
	m.addOwn(key, value, gone, 0)
}

func (m *model) addOwn(key, value string, gone bool, own base.Stamp) {
	m.versions[key] = append(m.versions[key], modelVersion{m.pos, len(m.batches) - 1, value, gone, own})
	m.written = append(m.written, modelWrite{key, m.pos, len(m.batches) - 1, own})
}

// locked reports whether a transaction over several ranges has locked anything in [from, to).
func (m *model) locked(from, to string) bool {
	s := base.Span{Start: []byte(from), End: []byte(to)}
	return slices.ContainsFunc(m.txns, func(t *modelTxn) bool { return t.resolved < 0 && t.span.Overlaps(s) })
}

// prepare locks a key or a span.
func (m *model) prepare() {
	x := &modelTxn{prepared: len(m.batches), resolved: -1, clear: rapid.IntRange(0, 3).Draw(m.t, "clear") == 0}
	from := rapid.SampledFrom(keys).Draw(m.t, "key")
	to := from + "\x00"
	if x.clear {
		to = rapid.SampledFrom(keys).Draw(m.t, "end")
	}
	if x.span = (base.Span{Start: []byte(from), End: []byte(to)}); x.span.Empty() || m.locked(from, to) {
		return
	}
	m.txns = append(m.txns, x)
}

// resolve issues the stamp of a prepared transaction, or installs one that has it.
func (m *model) resolve() {
	if len(m.txns) == 0 {
		return
	}
	x := rapid.SampledFrom(m.txns).Draw(m.t, "transaction")
	switch {
	case x.resolved >= 0:
	case x.commit == 0:
		if x.prepared == 0 || m.batches[x.prepared-1].committed {
			m.stamp++
			x.commit = m.stamp
		}
	default:
		m.install(x)
	}
}

func (m *model) install(x *modelTxn) {
	b := m.ensureOpen()
	m.pos++
	b.b.Begin()
	b.lastPos = m.pos
	m.w.SetBuffer(b.b.Buf)
	x.resolved, x.pos = len(m.batches)-1, m.pos
	from := string(x.span.Start)
	switch {
	case x.clear:
		m.w.Install([]base.Mutation{{Op: base.OpClearRange, Key: x.span.Start, Value: x.span.End}}, m.pos, x.commit)
		m.clears = append(m.clears, modelClear{x.span, m.pos, len(m.batches) - 1, x.commit})
		for k := range m.all() {
			if x.span.Contains([]byte(k)) {
				m.addOwn(k, "", true, x.commit)
			}
		}
	case x.commit%3 == 0:
		m.w.Install([]base.Mutation{{Op: base.OpClear, Key: x.span.Start}}, m.pos, x.commit)
		m.addOwn(from, "", true, x.commit)
	default:
		value := fmt.Sprintf("C%d", x.commit)
		m.w.Install([]base.Mutation{{Op: base.OpSet, Key: x.span.Start, Value: []byte(value)}}, m.pos, x.commit)
		m.addOwn(from, value, false, x.commit)
	}
	m.w.Reach(m.pos)
}

// transaction appends one transaction with a few mutations.
func (m *model) transaction() {
	b := m.ensureOpen()
	m.pos++
	b.b.Begin()
	b.lastPos = m.pos
	for range rapid.IntRange(1, 3).Draw(m.t, "mutations") {
		key := rapid.SampledFrom(keys).Draw(m.t, "key")
		if m.locked(key, key+"\xff") {
			continue
		}
		switch rapid.SampledFrom([]string{"set", "set", "set", "clear", "range", "touch", "stamped", "stampedkey"}).Draw(m.t, "op") {
		case "set":
			value := fmt.Sprint(m.pos)
			m.record(base.OpSet, key, value)
			m.add(key, value, false)
		case "clear":
			m.record(base.OpClear, key, "")
			m.add(key, "", true)
		case "range":
			end := rapid.SampledFrom(keys).Draw(m.t, "end")
			if key >= end || m.locked(key, end) {
				continue
			}
			m.record(base.OpClearRange, key, end)
			m.clears = append(m.clears, modelClear{base.Span{Start: []byte(key), End: []byte(end)}, m.pos, len(m.batches) - 1, 0})
			for k := range m.all() {
				if key <= k && k < end {
					m.add(k, "", true)
				}
			}
			for _, o := range m.batches {
				for j := range o.unstamped {
					if u := &o.unstamped[j]; key <= u.prefix && u.prefix < end {
						u.clears = append(u.clears, modelVersion{m.pos, len(m.batches) - 1, "", true, 0})
					}
				}
			}
		case "touch":
			m.record(base.OpTouch, key, key+"\x00")
			m.written = append(m.written, modelWrite{key, m.pos, len(m.batches) - 1, 0})
		case "stamped":
			r := b.b.Add(base.OpSet, []byte(key), make([]byte, 10))
			m.w.SetBuffer(b.b.Buf)
			m.w.AddStamped(r, m.pos, 0)
			m.add(key, "?", false)
		case "stampedkey":
			prefix := key + "/"
			r := b.b.Add(base.OpSet, append([]byte(prefix), make([]byte, 10)...), []byte("sk"))
			m.w.SetBuffer(b.b.Buf)
			m.w.AddStampedKey(r, m.pos, uint32(len(prefix)))
			b.unstamped = append(b.unstamped, unstampedModel{prefix, r.Place, "sk", m.pos, nil})
		}
	}
	m.w.Reach(m.pos)
}

// all are the keys ever written or on disk.
func (m *model) all() map[string]bool {
	out := map[string]bool{}
	for k := range m.versions {
		out[k] = true
	}
	for k := range m.disk {
		out[k] = true
	}
	return out
}

func (m *model) record(op base.MutationOp, key, value string) {
	b := m.batches[len(m.batches)-1]
	r := b.b.Add(op, []byte(key), []byte(value))
	m.w.SetBuffer(b.b.Buf)
	m.w.Add(r, m.pos)
}

// step moves the oldest unfinished batch one state onward.
func (m *model) step() {
	for i, b := range m.batches {
		switch {
		case !b.closed:
			b.closed = true
			m.shed(b)
			return
		case b.stamp == 0:
			m.stamp += base.Stamp(rapid.IntRange(1, 5).Draw(m.t, "stamp"))
			b.stamp = m.stamp
			m.w.SetStamp(b.num, b.stamp)
			m.fill(i, b)
			return
		case !b.committed:
			m.index++
			b.committed = true
			m.w.SetIndex(b.num, m.index)
			m.w.Commit(b.num)
			return
		}
	}
}

// shed leaves out of a closed batch what nobody can see, and asserts that it means the same.
func (m *model) shed(b *modelBatch) {
	m.w.shedAll = true
	type effect struct {
		op    base.MutationOp
		place uint16
		value string
	}
	effects := func() (last map[string]effect, list int) {
		b.b.Finish(batch.Header{Kind: batch.KindTransactions})
		last = map[string]effect{}
		if err := batch.Records(b.b.Buf, func(r batch.Record) {
			list++
			last[string(r.Key.In(b.b.Buf))] = effect{r.Op, r.Place, string(r.Value.In(b.b.Buf))}
		}); err != nil {
			m.t.Fatal(err)
		}
		return last, list
	}
	before, many := effects()
	transactions, old, seen := b.b.Transactions(), b.b.Buf, bytes.Clone(b.b.Buf)
	wasted := m.w.batch(m.w.lastBatch()).wasted
	if err := m.w.Shed(&b.b); err != nil {
		m.t.Fatal(err)
	}
	after, left := effects()
	if !maps.Equal(before, after) || b.b.Transactions() != transactions || !bytes.Equal(old[batch.HeaderBytes:], seen[batch.HeaderBytes:]) {
		m.t.Fatalf("%v, was %v; %d transactions, were %d", after, before, b.b.Transactions(), transactions)
	}
	if shed := len(b.b.Buf) < len(seen); shed != (left < many) || shed && wasted == 0 {
		m.t.Fatalf("%d of %d records in %d of %d bytes", left, many, len(b.b.Buf), len(seen))
	}
}

// fill tells the model what the stamp of batch i has completed.
func (m *model) fill(i int, b *modelBatch) {
	for _, list := range m.versions {
		for j := range list {
			if list[j].batch == i && list[j].value == "?" {
				place := uint16(list[j].pos - (b.lastPos - base.Position(b.b.Transactions())) - 1)
				v := base.MakeVersionstamp(b.stamp, place)
				list[j].value = string(v[:])
			}
		}
	}
	for _, u := range b.unstamped {
		v := base.MakeVersionstamp(b.stamp, u.place)
		key := u.prefix + string(v[:])
		m.versions[key] = append(m.versions[key], modelVersion{u.pos, i, u.value, false, 0})
		m.versions[key] = append(m.versions[key], u.clears...)
		m.written = append(m.written, modelWrite{key, u.pos, i, 0})
	}
	b.unstamped = nil
}

func (m *model) dropTail() {
	m.w.DropTail()
	n := 0
	for n < len(m.batches) && m.batches[n].committed {
		n++
	}
	m.batches = m.batches[:n]
	for k, list := range m.versions {
		m.versions[k] = slices.DeleteFunc(list, func(v modelVersion) bool { return v.batch >= n })
	}
	m.written = slices.DeleteFunc(m.written, func(w modelWrite) bool { return w.batch >= n })
	m.clears = slices.DeleteFunc(m.clears, func(c modelClear) bool { return c.batch >= n })
	for _, b := range m.batches {
		for i := range b.unstamped {
			u := &b.unstamped[i]
			u.clears = slices.DeleteFunc(u.clears, func(v modelVersion) bool { return v.batch >= n })
		}
	}
	m.txns = slices.DeleteFunc(m.txns, func(x *modelTxn) bool { return x.prepared > n })
	for _, x := range m.txns {
		if x.resolved >= n {
			x.resolved = -1
		}
	}
	m.pos = 0
	if n > 0 {
		m.pos = m.batches[n-1].lastPos
	}
}

// planEvict begins to evict a slice, or goes on planning; the plan, once it is whole,
// is on disk at once.
func (m *model) planEvict(entries int) {
	m.w.Seal()
	if m.pending == nil {
		m.pending, _ = m.w.BeginEvict()
	}
	if m.pending == nil || m.planned || !m.w.Plan(m.pending, entries) {
		return
	}
	m.planned = true
	for _, s := range m.pending.Clears {
		maps.DeleteFunc(m.disk, func(k, _ string) bool { return s.Contains([]byte(k)) })
	}
	for _, p := range m.pending.Pairs {
		if p.Value == nil {
			delete(m.disk, string(p.Key))
		} else {
			m.disk[string(p.Key)] = string(p.Value)
		}
	}
}

func (m *model) finishEvict(entries int) {
	if !m.planned {
		return
	}
	m.base, m.basePos = m.pending.Stamp, m.pending.Position
	if m.w.FinishEvict(m.pending, entries) {
		m.pending, m.planned = nil, false
	}
}

// want is the model's value of key at snapshot s, or newest.
func (m *model) want(key string, s base.Stamp) (string, bool) {
	list := m.versions[key]
	for i := len(list) - 1; i >= 0; i-- {
		b := m.batches[list[i].batch]
		if s == 0 || b.committed && cmp.Or(list[i].own, b.stamp) <= s {
			if list[i].gone {
				return "", false
			}
			return list[i].value, !list[i].gone
		}
	}
	return "", false
}

func (m *model) got(v Version, key string) (string, bool) {
	switch v.State {
	case Present:
		return string(v.Value), true
	case Unknown:
		value, ok := m.disk[key]
		return value, ok
	}
	return "", false
}

// check looks at everything, with scans or, since those put keys in order, without.
func (m *model) check(scans bool) {
	if err := m.w.Check(); err != nil {
		m.t.Fatal(err)
	}
	from := m.base
	if m.planned {
		from = m.pending.Stamp // what is on disk already
	}
	for s := from; s <= m.stamp+1; s++ {
		for key := range m.all() {
			want, ok := m.want(key, s)
			got, found := m.got(m.w.At([]byte(key), s), key)
			if ok != found || want != got {
				m.t.Fatalf("%q at %d: got %q %v, want %q %v", key, s, got, found, want, ok)
			}
		}
		if scans {
			m.checkScan(s)
		}
	}
	for key := range m.all() {
		v := m.w.Latest([]byte(key))
		if v.State == Unstamped {
			continue
		}
		want, ok := m.want(key, 0)
		if got, found := m.got(v, key); ok != found || want != got {
			m.t.Fatalf("newest %q: got %q %v, want %q %v", key, got, found, want, ok)
		}
	}
	if scans {
		m.checkScan(0)
	}
	m.checkExpect()
}

// checkExpect: what Expect says is not in the window is not, and no key gets lost.
func (m *model) checkExpect() {
	want := slices.Sorted(maps.Keys(m.all()))
	want = want[:min(len(want), ExpectMax)]
	var keys [][]byte
	for _, key := range want {
		keys = append(keys, []byte(key))
	}
	for _, key := range m.w.Expect(keys) {
		if m.w.Latest(key).State == Present {
			m.t.Fatalf("%q is in the window", key)
		}
	}
	var got []string
	for _, key := range keys {
		got = append(got, string(key))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		m.t.Fatalf("%q has become %q", want, got)
	}
}

func (m *model) checkScan(s base.Stamp) {
	span := base.Span{Start: []byte("a"), End: []byte("zz")}
	reverse := rapid.Bool().Draw(m.t, "reverse")
	var got, want []string
	for !span.Empty() {
		var p Page
		m.w.Scan(&p, span, s, reverse, rapid.IntRange(1, 3).Draw(m.t, "limit"))
		if p.Unstamped {
			return
		}
		found := map[string]string{}
		for k, v := range m.disk {
			if p.Span.Contains([]byte(k)) && !slices.ContainsFunc(p.Gone, func(g base.Span) bool { return g.Contains([]byte(k)) }) {
				found[k] = v
			}
		}
		for _, it := range p.Items {
			if !p.Span.Contains(it.Key) {
				m.t.Fatalf("item %q outside its page", it.Key)
			}
			switch it.State {
			case Present:
				found[string(it.Key)] = string(it.Value)
			case Absent:
				delete(found, string(it.Key))
			}
		}
		page := slices.Sorted(maps.Keys(found))
		if reverse {
			slices.Reverse(page)
			span.End = p.Span.Start
		} else {
			span.Start = p.Span.End
		}
		for _, k := range page {
			got = append(got, k+"="+found[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m.all())) {
		if v, ok := m.want(k, s); ok {
			want = append(want, k+"="+v)
		}
	}
	if reverse {
		slices.Reverse(want)
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("scan at %d: got %q, want %q", s, got, want)
	}
}

// checkValidate compares a validation with the list of all writes.
func (m *model) checkValidate() {
	key := rapid.SampledFrom(keys).Draw(m.t, "read")
	var p ReadPoint
	if rapid.Bool().Draw(m.t, "by stamp") {
		p.Stamp = firstBase + base.Stamp(rapid.IntRange(0, int(m.stamp-firstBase)+1).Draw(m.t, "at"))
	} else {
		p.Pos = base.Position(rapid.IntRange(0, int(m.pos)).Draw(m.t, "pos"))
	}
	tooOld := p.Stamp != 0 && p.Stamp < m.base || p.Stamp == 0 && p.Pos < m.basePos
	span := base.KeySpan([]byte(key))
	useSpan := rapid.Bool().Draw(m.t, "span")
	if useSpan {
		span.End = []byte(key + "\xfe")
	}
	conflict := false
	for _, w := range m.written {
		b := m.batches[w.batch]
		newer := w.pos > p.Pos
		if p.Stamp != 0 {
			stamp := cmp.Or(w.own, b.stamp)
			newer = stamp == 0 || stamp > p.Stamp
		}
		conflict = conflict || newer && span.Contains([]byte(w.key))
	}
	for _, b := range m.batches {
		for _, u := range b.unstamped {
			conflict = conflict || useSpan && u.prefix == key+"/" && (p.Stamp != 0 || u.pos > p.Pos)
		}
	}
	var err error
	if useSpan {
		err = m.w.Validate(p, nil, []base.Span{span})
	} else {
		err = m.w.Validate(p, [][]byte{[]byte(key)}, nil)
	}
	if tooOld {
		if !errors.Is(err, base.ErrTooOld) {
			m.t.Fatalf("reading %q at %+v: %v, which is too old", key, p, err)
		}
		return
	}
	// A range clear counts for keys that never existed, too; the model lists
	// only those that did, so it may see fewer conflicts.
	if conflict && !errors.Is(err, base.ErrConflict) {
		m.t.Fatalf("reading %q at %+v: %v, want a conflict", key, p, err)
	}
	if !conflict && err != nil && !m.clearedSince(span, p) {
		m.t.Fatalf("reading %q at %+v: %v, want none", key, p, err)
	}
}

func (m *model) clearedSince(span base.Span, p ReadPoint) bool {
	return slices.ContainsFunc(m.w.frags.marks, func(k *mark) bool {
		return k.span.Overlaps(span) && m.w.newer(k.batch, k.pos, p)
	})
}

func TestModel(t *testing.T) {
	for range 10 { // some bugs show in one run of a few hundred
		rapid.Check(t, checkModel)
	}
}

func checkModel(t *rapid.T) {
	m := newModel(t)
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		switch rapid.SampledFrom([]string{"txn", "txn", "txn", "step", "step", "step", "evict", "finish", "drop", "validate", "prepare",
			"resolve", "resolve", "wait", "catch up", "catch up", "catch up"}).Draw(t, "do") {
		case "txn":
			m.transaction()
		case "step":
			m.step()
		case "evict":
			m.planEvict(rapid.IntRange(1, 3).Draw(t, "entries"))
		case "finish":
			m.finishEvict(rapid.IntRange(1, 3).Draw(t, "entries"))
		case "drop":
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				m.dropTail()
			}
		case "validate":
			m.checkValidate()
		case "prepare":
			m.prepare()
		case "resolve":
			m.resolve()
		case "wait":
			m.checkWait()
		case "catch up":
			m.catchUp()
		}
		m.check(rapid.IntRange(0, 9).Draw(t, "scans") == 0)
	}
	for range 200 {
		m.step()
	}
	for range 100 {
		m.planEvict(1000)
		m.finishEvict(1000)
	}
	m.check(true)
	if n := len(m.w.order.buckets) + m.w.order.sorted.Len(); n != 0 {
		t.Fatalf("after evicting everything: %d buckets", n)
	}
	if n := m.w.Entries(); n != 0 || m.w.Carried() != 0 || m.w.Bytes() != 0 {
		t.Fatalf("after evicting everything: %d entries, %d carried, %d bytes", n, m.w.Carried(), m.w.Bytes())
	}
	for key := range m.all() { // what is left is all on disk
		want, ok := m.want(key, 0)
		if got, found := m.disk[key]; ok != found || got != want {
			t.Fatalf("on disk %q: got %q %v, want %q %v", key, got, found, want, ok)
		}
	}
}

// TestOverwritesDieInMemory shows that a version with a committed successor in
// the window never reaches the disk (W4).
func TestOverwritesDieInMemory(t *testing.T) {
	w := New(0, 0)
	stamp, pos := base.Stamp(0), base.Position(0)
	put := func(op base.MutationOp, key, value string) {
		pos++
		stamp++
		var b batch.Builder
		b.Reset(0)
		n := w.Open(pos - 1)
		b.Begin()
		r := b.Add(op, []byte(key), []byte(value))
		w.SetBuffer(b.Buf)
		w.Add(r, pos)
		w.SetStamp(n, stamp)
		w.SetIndex(n, base.LogIndex(pos))
		w.Commit(n)
		w.Seal()
	}
	for i := range 100 {
		put(base.OpSet, "counter", fmt.Sprint(i))
		put(base.OpSet, fmt.Sprintf("job%03d", i), "payload")
		if i >= 10 {
			put(base.OpClear, fmt.Sprintf("job%03d", i-10), "")
		}
	}
	sets := 0
	for {
		ev, ok := w.BeginEvict()
		if !ok {
			break
		}
		w.Plan(ev, w.Entries())
		for _, p := range ev.Pairs {
			if p.Value != nil {
				sets++
			}
		}
		w.FinishEvict(ev, w.Entries())
	}
	if sets != 11 { // the counter once, and the ten jobs that are left
		t.Fatalf("%d pairs were written to disk, want 11", sets)
	}
}

func TestValidateTooOld(t *testing.T) {
	w := New(1000, 7)
	keys := [][]byte{[]byte("k")}
	if err := w.Validate(ReadPoint{Stamp: 999}, keys, nil); !errors.Is(err, base.ErrTooOld) {
		t.Fatal(err)
	}
	if err := w.Validate(ReadPoint{Pos: 6}, keys, nil); !errors.Is(err, base.ErrTooOld) {
		t.Fatal(err)
	}
	if err := w.Validate(ReadPoint{Stamp: 1000}, keys, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Validate(ReadPoint{Stamp: 1}, nil, nil); err != nil {
		t.Fatal("a blind write is never too old")
	}
}

func filled(n int) *Window {
	w := New(0, 0)
	var b batch.Builder
	b.Reset(n * 64)
	num := w.Open(0)
	for i := range n {
		b.Begin()
		r := b.Add(base.OpSet, fmt.Appendf(nil, "key:%012d", i), bytes.Repeat([]byte("x"), 16))
		w.SetBuffer(b.Buf)
		w.Add(r, base.Position(i+1))
	}
	w.SetStamp(num, 1)
	w.Commit(num)
	return w
}

func BenchmarkLatest(b *testing.B) {
	for _, n := range []int{1000, 100_000, 500_000} {
		w := filled(n)
		probe := make([][]byte, 1024)
		for i := range probe {
			probe[i] = fmt.Appendf(nil, "key:%012d", i*7919%n)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if w.Latest(probe[i&1023]).State != Present {
					b.Fatal("missing")
				}
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	w := New(0, 0)
	key, value := fmt.Appendf(nil, "key:%012d", 0), bytes.Repeat([]byte("x"), 100)
	var bb batch.Builder
	var num uint64
	for i := range b.N {
		if i%1000 == 0 {
			if i > 0 {
				w.SetStamp(num, base.Stamp(i))
				w.SetIndex(num, base.LogIndex(i))
				w.Commit(num)
				w.Seal()
				if sealed, _ := w.Sealed(); sealed > 200 {
					ev, _ := w.BeginEvict()
					w.Plan(ev, w.Entries())
					w.FinishEvict(ev, w.Entries())
				}
			}
			num = w.Open(base.Position(i))
			bb.Reset(150_000)
		}
		bb.Begin()
		for d, j := i*7919%1_000_000, 15; d > 0; d, j = d/10, j-1 {
			key[j] = byte('0' + d%10)
		}
		r := bb.Add(base.OpSet, key, value)
		w.SetBuffer(bb.Buf)
		w.Add(r, base.Position(i+1))
	}
}
