package raftlog

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// model is what a log must hold, kept the simple way.
type model struct {
	groups map[base.RangeID]*modelGroup
	life   []LifecycleRecord
}

type modelGroup struct {
	mark    Mark
	entries []Entry
	hard    HardState
	hasHard bool
}

func newModel() *model { return &model{groups: map[base.RangeID]*modelGroup{}} }

func (m *model) clone() *model {
	c := newModel()
	for r, g := range m.groups {
		n := *g
		n.entries = slices.Clone(g.entries)
		c.groups[r] = &n
	}
	c.life = slices.Clone(m.life)
	return c
}

func (m *model) group(r base.RangeID) *modelGroup {
	if m.groups[r] == nil {
		m.groups[r] = &modelGroup{}
	}
	return m.groups[r]
}

func (g *modelGroup) last() base.LogIndex { return g.mark.Index + base.LogIndex(len(g.entries)) }

func (g *modelGroup) append(es []Entry) {
	for _, e := range es {
		g.entries = append(g.entries[:e.Index-g.mark.Index-1], e)
	}
}

func (g *modelGroup) compact(i base.LogIndex) {
	if i > g.mark.Index {
		n := i - g.mark.Index
		g.mark = Mark{Index: i, Term: g.entries[n-1].Term}
		g.entries = g.entries[n:]
	}
}

// diff describes the first difference between the log and the model, "" if there is none.
func (m *model) diff(l *Log) string {
	for r, want := range m.groups {
		v := l.Group(r)
		if v.Mark() != want.mark || v.FirstIndex() != want.mark.Index+1 || v.LastIndex() != want.last() {
			return fmt.Sprintf("range %d: [%d,%d] after %v, want [%d,%d] after %v", r, v.FirstIndex(), v.LastIndex(),
				v.Mark(), want.mark.Index+1, want.last(), want.mark)
		}
		if hs, ok := v.HardState(); ok != want.hasHard || hs != want.hard {
			return fmt.Sprintf("range %d: hard state %v %t, want %v", r, hs, ok, want.hard)
		}
		got, err := v.Entries(nil, v.FirstIndex(), v.LastIndex()+1, 1<<40)
		if err != nil {
			return err.Error()
		}
		for i := range want.entries {
			if g, w := got[i], want.entries[i]; g.Term != w.Term || g.Index != w.Index || g.Type != w.Type || !bytes.Equal(g.Data, w.Data) {
				return fmt.Sprintf("range %d: entry %d differs", r, w.Index)
			}
		}
	}
	for _, r := range l.Ranges() {
		if m.groups[r] == nil {
			return fmt.Sprintf("range %d exists", r)
		}
	}
	if got := l.Lifecycles(); !slices.EqualFunc(got, m.life, func(a, b LifecycleRecord) bool {
		return a.ID == b.ID && a.Range == b.Range && a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload)
	}) {
		return fmt.Sprintf("lifecycle records %v, want %v", got, m.life)
	}
	return ""
}

// driver makes random changes to a log and a model. states holds the model after
// every record since the last flush: what a crash may leave.
type driver struct {
	t      testing.TB
	rng    *rand.Rand
	log    *Log
	m      *model
	states []*model
	maxLen int
	term   base.Term
}

func newDriver(t testing.TB, l *Log, seed uint64) *driver {
	d := &driver{t: t, rng: rand.New(rand.NewPCG(seed, 0)), log: l, m: newModel(), maxLen: 900, term: 1}
	d.flushed()
	return d
}

func (d *driver) flushed()  { d.states = []*model{d.m.clone()} }
func (d *driver) recorded() { d.states = append(d.states, d.m.clone()) }

func (d *driver) flush() {
	must(d.t, d.log.Flush())
	d.flushed()
}

func (d *driver) data() []byte {
	b := make([]byte, d.rng.IntN(d.maxLen))
	for i := range b {
		b[i] = byte(d.rng.Uint32())
	}
	return b
}

// step makes one change: the parts of a Write in their order, each a record.
func (d *driver) step() {
	r := base.RangeID(d.rng.IntN(4) + 1)
	switch k := d.rng.IntN(20); {
	case k == 0:
		must(d.t, d.log.Remove(r))
		if d.m.groups[r] != nil {
			delete(d.m.groups, r)
			d.recorded()
		}
	case k == 1:
		p := d.data()
		id, err := d.log.AppendLifecycle(r, LifecycleSplit, p)
		must(d.t, err)
		d.m.life = append(d.m.life, LifecycleRecord{ID: id, Range: r, Kind: LifecycleSplit, Payload: p})
		d.recorded()
	case k <= 3 && len(d.m.life) > 0:
		i := d.rng.IntN(len(d.m.life))
		must(d.t, d.log.ReleaseLifecycle(d.m.life[i].ID))
		d.m.life = slices.Delete(slices.Clone(d.m.life), i, i+1)
		d.recorded()
	case k == 4:
		g := d.m.group(r)
		d.term++
		mark := Mark{Index: g.last() + base.LogIndex(d.rng.IntN(100)), Term: d.term}
		must(d.t, d.log.Append(Write{Range: r, Snapshot: &mark}))
		*g = modelGroup{mark: mark, hard: g.hard, hasHard: g.hasHard}
		d.recorded()
	default:
		d.write(r)
	}
}

func (d *driver) write(r base.RangeID) {
	g := d.m.group(r)
	w := Write{Range: r}
	first := g.last() + 1
	if d.rng.IntN(6) == 0 && len(g.entries) > 0 { // a conflicting tail
		first -= base.LogIndex(d.rng.IntN(min(len(g.entries), 5)) + 1)
		first = max(first, g.hard.Commit+1, g.mark.Index+1)
		d.term++
	}
	for i := range d.rng.IntN(4) {
		e := Entry{Term: d.term, Index: first + base.LogIndex(i), Type: uint8(i), Data: d.data()}
		w.Entries = append(w.Entries, e)
		g.append([]Entry{e})
		d.recorded()
	}
	if d.rng.IntN(2) == 0 && g.last() > 0 {
		lo := max(g.hard.Commit, g.mark.Index)
		w.HardState = &HardState{Term: d.term, Vote: 2, Commit: lo + base.LogIndex(d.rng.IntN(int(g.last()-lo)+1))}
		g.hard, g.hasHard = *w.HardState, true
		d.recorded()
	}
	// Range 1 is mostly cold: its entries pin the oldest segment.
	if len(g.entries) > 0 && d.rng.IntN(3) == 0 && (r != 1 || d.rng.IntN(20) == 0) {
		if i := min(g.hard.Commit, g.last()); i > g.mark.Index {
			w.Compact = i
			g.compact(i)
			d.recorded()
		}
	}
	must(d.t, d.log.Append(w))
	if len(w.Entries) == 0 && w.HardState == nil && w.Compact == 0 && g.mark == (Mark{}) && len(g.entries) == 0 && !g.hasHard {
		delete(d.m.groups, r) // nothing was written
	}
}

// check requires the log to hold one of the states, and returns which.
func (d *driver) check(l *Log, states []*model) int {
	d.t.Helper()
	var diffs []string
	for i := len(states) - 1; i >= 0; i-- {
		diff := states[i].diff(l)
		if diff == "" {
			return i
		}
		diffs = append(diffs, diff)
	}
	d.t.Fatalf("the log holds none of the %d possible states; from the latest back: %q", len(states), diffs)
	return 0
}

// normalize drops the ranges that exist in a state of the model only because
// their first record comes later.
func normalize(states []*model) []*model {
	for _, m := range states {
		for r, g := range m.groups {
			if g.mark == (Mark{}) && len(g.entries) == 0 && !g.hasHard {
				delete(m.groups, r)
			}
		}
	}
	return states
}

// TestCrash loses power at every flush boundary and inside every flush, with each
// share of unsynced data kept, and goes on from there.
func TestCrash(t *testing.T) {
	for seed := range uint64(20) {
		percent := int(seed%5) * 25
		t.Run(fmt.Sprintf("seed=%d/kept=%d", seed, percent), func(t *testing.T) { runCrash(t, seed, percent) })
	}
}

func runCrash(t *testing.T, seed uint64, percent int) {
	fs := vfs.NewCrashableMem()
	o := testOptions(fs)
	o.SegmentBytes, o.FirstSegmentBytes = 24<<10, 16<<10
	d := newDriver(t, mustOpen(t, o), seed)
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))}
	unsynced := false // a part of the pending flush was written
	for round := range 60 {
		for range d.rng.IntN(8) {
			d.step()
		}
		var crashed *vfs.MemFS
		states := normalize(slices.Clone(d.states))
		switch d.rng.IntN(4) {
		case 0: // before the flush
			crashed = fs.CrashClone(cfg)
			if !unsynced {
				states = states[:1]
			}
		case 1: // written, not synced
			crashed, unsynced = crashInFlush(d, fs, cfg), true
			states = append(states, d.m)
		default:
			d.flush()
			unsynced = false
			crashed = fs.CrashClone(cfg)
			states = normalize(slices.Clone(d.states))
		}
		if d.rng.IntN(3) > 0 {
			continue
		}
		d.log.mu.Lock()
		d.log.mu.err = errors.New("power is off")
		d.log.mu.Unlock()
		_ = d.log.Close()
		fs = crashed
		o.FS = fs
		l, err := Open(o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		kept := states[d.check(l, states)]
		d.log, d.m, unsynced = l, kept.clone(), false
		d.flushed()
		if _, err := Verify(fs, "log", nil); err != nil {
			t.Fatalf("verify: %v", err)
		}
	}
	must(t, d.log.Close())
}

// crashInFlush takes the clone between the write and the sync.
func crashInFlush(d *driver, fs *vfs.MemFS, cfg vfs.CrashCloneCfg) *vfs.MemFS {
	l := d.log
	l.mu.Lock()
	if len(l.mu.pending.buf) > 0 {
		b := l.mu.pending
		l.finishBufferLocked(b)
		for i, c := range b.chunks {
			end := len(b.buf)
			if i+1 < len(b.chunks) {
				end = b.chunks[i+1].start
			}
			_, err := c.seg.file.WriteAt(bytes.Clone(b.buf[c.start:end]), c.off)
			must(d.t, err)
		}
		if b.last >= 0 { // undo the flag: the flush itself comes later
			b.buf[b.last+flagsOffset] &^= flagLastOfFlush
			seg := b.chunks[len(b.chunks)-1].seg
			l.mu.chain = sealHeader(b.buf[b.last:], seg.seed, b.lastAt, l.mu.prevChain)
		}
	}
	l.mu.Unlock()
	return fs.CrashClone(cfg)
}

// readAll and writeAll copy a log directory to bytes and back.
func readAll(t testing.TB, fs vfs.FS) map[string][]byte {
	names, err := fs.List("log")
	must(t, err)
	files := map[string][]byte{}
	for _, name := range names {
		f, err := fs.Open("log/" + name)
		must(t, err)
		b, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		files[name] = b
	}
	return files
}

func writeAll(t testing.TB, files map[string][]byte) *vfs.MemFS {
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("log", 0o755))
	for name, b := range files {
		f, err := fs.Create("log/"+name, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write(bytes.Clone(b))
		must(t, err)
		must(t, f.Close())
	}
	return fs
}

// TestTornLastFlush keeps every subset of the sectors that the last flush wrote;
// with small sectors there are many. None may look like corruption, and the log
// must go on from a prefix.
func TestTornLastFlush(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	o.SegmentBytes = o.FirstSegmentBytes
	d := newDriver(t, mustOpen(t, o), 3)
	for range 10 {
		d.step()
		d.flush()
	}
	before := readAll(t, fs)
	d.maxLen = 60
	for range 6 {
		d.step()
	}
	states := normalize(slices.Clone(d.states))
	must(t, d.log.Flush())
	after := readAll(t, fs)

	name, lo, hi := differing(t, before, after)
	const sectors = 10
	size := (hi - lo + sectors - 1) / sectors
	for mask := range 1 << sectors {
		torn := map[string][]byte{}
		for n, b := range before {
			torn[n] = bytes.Clone(b)
		}
		for s := range sectors {
			if mask&(1<<s) != 0 {
				from, to := lo+s*size, min(lo+(s+1)*size, hi)
				if from < to {
					copy(torn[name][from:to], after[name][from:to])
				}
			}
		}
		o.FS, o.Random = writeAll(t, torn), counter()
		l, err := Open(o)
		if err != nil {
			t.Fatalf("mask %010b: %v", mask, err)
		}
		kept := states[d.check(l, states)]
		// Going on over the remains, and opening again, twice.
		e := Entry{Term: 99, Index: l.Group(2).LastIndex() + 1, Data: []byte("after")}
		must(t, l.Append(Write{Range: 2, Entries: []Entry{e}}))
		must(t, l.Flush())
		kept = kept.clone()
		kept.group(2).append([]Entry{e})
		l.mu.Lock()
		l.mu.err = errors.New("crash")
		l.mu.Unlock()
		_ = l.Close()
		l = mustOpen(t, o)
		d.check(l, []*model{kept})
	}
}

func differing(t testing.TB, before, after map[string][]byte) (name string, lo, hi int) {
	for n, b := range after {
		if !bytes.Equal(before[n], b) {
			if name != "" {
				t.Fatalf("both %s and %s were written", name, n)
			}
			name = n
		}
	}
	a, b := before[name], after[name]
	for lo = 0; a[lo] == b[lo]; lo++ {
	}
	for hi = len(b); a[hi-1] == b[hi-1]; hi-- {
	}
	return name, lo, hi
}

// TestEveryFlip flips a bit of every byte of a log (of some, under the race detector): Open refuses, or the content
// is what was flushed, the last flush excepted.
func TestEveryFlip(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean=%t", clean), func(t *testing.T) { everyFlip(t, clean) })
	}
}

func everyFlip(t *testing.T, clean bool) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	o.SegmentBytes, o.FirstSegmentBytes = 12<<10, 12<<10
	d := newDriver(t, mustOpen(t, o), 5)
	for range 20 {
		d.step()
		d.flush()
	}
	full := d.states[0]
	for range 3 {
		d.step()
	}
	states := append([]*model{full}, normalize(slices.Clone(d.states))...)
	must(t, d.log.Flush())
	if clean {
		must(t, d.log.Close())
		states = states[len(states)-1:]
	}
	good := readAll(t, fs)
	refused, total := 0, 0
	for name, b := range good {
		if _, ok := parseName(name, segmentSuffix); !ok {
			continue
		}
		written := len(bytes.TrimRight(b, "\x00"))
		for i := 0; i < min(written+200, len(b)); i += flipStride {
			if i > 2*segmentHdrLen && i < dataStart-2 {
				continue
			}
			b[i] ^= 1 << (i % 8)
			bad := writeAll(t, good)
			o.FS, o.Random = bad, counter()
			l, err := Open(o)
			total++
			switch {
			case err == nil:
				d.check(l, states)
			case errors.Is(err, base.ErrCorruption):
				refused++
				if !sameFiles(readAll(t, bad), good) {
					t.Fatalf("%s byte %d: the refused log was changed", name, i)
				}
			default:
				t.Fatalf("%s byte %d: %v", name, i, err)
			}
			b[i] ^= 1 << (i % 8)
		}
	}
	if refused < total/2 {
		t.Fatalf("only %d of %d flips were refused", refused, total)
	}
	t.Logf("%d of %d flips refused", refused, total)
}

func sameFiles(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for n := range a {
		if !bytes.Equal(a[n], b[n]) {
			return false
		}
	}
	return true
}
