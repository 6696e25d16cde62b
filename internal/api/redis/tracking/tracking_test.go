package tracking

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/limits"
)

// wire keeps what a client is told.
type wire struct {
	told []string
	gone bool
}

func (w *wire) Invalidate(keys [][]byte, redirect int64) bool {
	text := "everything"
	if keys != nil {
		text = string(join(keys))
	}
	w.told = append(w.told, text)
	return redirect == 0 || !w.gone
}

func join(keys [][]byte) (all []byte) {
	for i, k := range keys {
		if i > 0 {
			all = append(all, ' ')
		}
		all = append(all, k...)
	}
	return all
}

// hears fails unless that was told since it was asked before.
func (w *wire) hears(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.told, want) {
		t.Errorf("told %q, want %q", w.told, want)
	}
	w.told = nil
}

const space = keyspace.NamespaceID(5)

func row(key string) []byte {
	r := append(keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, space, 0), 7), keyspace.SlotKeys)
	return keyspace.AppendEscaped(append(r, "place"...), []byte(key))
}

func changes(origin uint64, keys ...string) (list []base.Change) {
	for _, k := range keys {
		list = append(list, base.Change{Key: row(k), Origin: origin})
	}
	return list
}

// bench is a table with clients.
type bench struct {
	t     *testing.T
	table *Table
	most  int64
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t}
	stamp := base.Stamp(0)
	b.table = New(kv.New(kvmem.New(func() base.Stamp { stamp++; return stamp }), time.Now), func() int64 { return b.most })
	return b
}

func (b *bench) client(o Options) (*Client, *wire) {
	b.t.Helper()
	w := &wire{}
	c := b.table.NewClient(w)
	if err := c.On(o, space); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		c.Close()
		b.table.Close()
	})
	return c, w
}

func (b *bench) feed() *feed {
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	return b.table.mu.feeds[space]
}

func read(c *Client, keys ...string) {
	c.Begin(space)
	for _, k := range keys {
		c.Read(row(k))
	}
	c.Release()
}

func (b *bench) stats(want Stats) {
	b.t.Helper()
	if got := b.table.Stats(); got != want {
		b.t.Errorf("%+v, want %+v", got, want)
	}
}

// TestTold: a reader is told of a change once, and of nothing that it has not read.
func TestTold(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{})
	d, v := b.client(Options{})
	read(c, "k", "l", "k")
	read(d, "k")
	b.stats(Stats{Clients: 2, Keys: 2, Items: 3})
	b.feed().Changed(changes(0, "k", "m", "k"))
	w.hears(t, "k")
	v.hears(t, "k")
	b.feed().Changed(changes(0, "k", "l"))
	w.hears(t, "l")
	v.hears(t)
	read(c, "k")
	c.Off()
	b.feed().Changed(changes(0, "k"))
	w.hears(t)
	b.stats(Stats{Clients: 1})
	d.Off()
	b.stats(Stats{})
	if b.feed() != nil {
		t.Error("somebody still follows")
	}
}

// TestManyReaders: all of them are told.
func TestManyReaders(t *testing.T) {
	b := newBench(t)
	var all []*wire
	for range 3 * fewReaders {
		c, w := b.client(Options{})
		read(c, "k")
		read(c, "k")
		all = append(all, w)
	}
	b.stats(Stats{Clients: len(all), Keys: 1, Items: len(all)})
	b.feed().Changed(changes(0, "k"))
	for _, w := range all {
		w.hears(t, "k")
	}
}

// TestHeld: what comes while a command runs is told behind its reply (T3), and of too many keys
// as everything.
func TestHeld(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{})
	read(c, "k")
	c.Begin(space)
	c.Read(row("l"))
	b.feed().Changed(changes(0, "k", "l"))
	w.hears(t)
	c.Release()
	w.hears(t, "k", "l")
	c.Hold()
	var keys []string
	for i := range limits.InvalidationsHeld + 1 {
		keys = append(keys, fmt.Sprint(i))
	}
	read(c, keys...)
	c.Hold()
	b.feed().Changed(changes(0, keys...))
	w.hears(t)
	c.Release()
	w.hears(t, "everything")
	c.Begin(space)
	c.Read(row("k"))
	c.Read(row("m"))
	b.feed().Changed(changes(0, "k"))
	c.Forget() // a script that has read nothing
	c.Release()
	b.feed().Changed(changes(0, "m"))
	w.hears(t)
	b.stats(Stats{Clients: 1})
}

// TestLost: where news are lost all is forgotten, and what is read there afterwards is told at
// once, until somebody tells again (T4, T5).
func TestLost(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{})
	_, v := b.client(Options{Broadcast: true, Prefixes: []string{"none"}})
	read(c, "k", "l")
	f := b.feed()
	f.Lost(f.span)
	f.Lost(f.span) // nothing was read in between
	w.hears(t, "everything")
	v.hears(t, "everything")
	b.stats(Stats{Clients: 2, Prefixes: 1})
	c.Begin(space)
	c.Read(row("k"))
	w.hears(t)
	c.Release()
	w.hears(t, "k")
	half := row("l")
	f.Covered(base.Span{Start: f.span.Start, End: half})
	f.Covered(base.Span{Start: f.span.Start, End: half}) // of an old leader and a new one
	read(c, "k")
	w.hears(t)
	read(c, "l")
	w.hears(t, "l")
	f.Lost(base.Span{Start: f.span.Start, End: half})
	w.hears(t, "everything")
	read(c, "k")
	w.hears(t)
	f.Changed([]base.Change{{}})
	w.hears(t, "everything")
	b.stats(Stats{Clients: 2, Prefixes: 1})
}

// TestBound: one key more than may be noted invalidates another one.
func TestBound(t *testing.T) {
	b := newBench(t)
	b.most = 10
	c, w := b.client(Options{})
	for i := range 100 {
		read(c, fmt.Sprint(i))
	}
	b.stats(Stats{Clients: 1, Keys: 10, Items: 10})
	gone := w.told
	if len(gone) != 90 {
		t.Fatalf("told %d times", len(gone))
	}
	w.told = nil
	for i := range 100 {
		b.feed().Changed(changes(0, fmt.Sprint(i)))
	}
	all := append(gone, w.told...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) != 100 || len(w.told) != 10 {
		t.Errorf("told of %d keys, %d of them behind the bound", len(all), len(w.told))
	}
}

// TestNoLoop: who writes is not told, and still is of what others write then.
func TestNoLoop(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{NoLoop: true})
	d, v := b.client(Options{})
	e, u := b.client(Options{Broadcast: true, NoLoop: true})
	if c.Origin() == 0 || d.Origin() != 0 || e.Origin() == c.Origin() {
		t.Fatal(c.Origin(), d.Origin(), e.Origin())
	}
	read(c, "k")
	read(d, "k")
	b.feed().Changed(changes(c.Origin(), "k"))
	w.hears(t)
	v.hears(t, "k")
	u.hears(t, "k")
	b.stats(Stats{Clients: 3, Keys: 1, Items: 1, Prefixes: 1})
	b.feed().Changed(append(changes(e.Origin(), "k", "m"), changes(0, "l")...))
	w.hears(t, "k")
	u.hears(t, "l")
}

// TestBroadcast: by prefix, each key once, in order.
func TestBroadcast(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{Broadcast: true, Prefixes: []string{"a", "b:"}})
	_, v := b.client(Options{Broadcast: true})
	read(c, "k")
	b.stats(Stats{Clients: 2, Prefixes: 3})
	b.feed().Changed(changes(0, "b:2", "b", "b:1", "a", "b:2", "ab"))
	slices.Sort(w.told)
	w.hears(t, "a ab", "b:1 b:2")
	v.hears(t, "a ab b b:1 b:2")
	if err := c.On(Options{Broadcast: true, Prefixes: []string{"c"}}, space); err != nil {
		t.Fatal(err)
	}
	b.feed().Changed(changes(0, "c1"))
	w.hears(t, "c1")
	for _, bad := range []Options{{}, {Broadcast: true, Prefixes: []string{"cc"}}, {Broadcast: true, Prefixes: []string{strings.Repeat("x", limits.SubscriptionBytes)}}} {
		if err := c.On(bad, space); err == nil {
			t.Errorf("%.100v", bad)
		}
	}
}

// TestBroken: who redirects to nobody is known for it.
func TestBroken(t *testing.T) {
	b := newBench(t)
	c, w := b.client(Options{Redirect: 7})
	w.gone = true
	read(c, "k")
	if _, _, broken := c.State(); broken {
		t.Error("before anything was told")
	}
	b.feed().Changed(changes(0, "k"))
	if on, o, broken := c.State(); !on || o.Redirect != 7 || !broken {
		t.Error(on, o, broken)
	}
}
