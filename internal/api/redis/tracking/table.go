package tracking

import (
	"sync"

	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// Table is a server's. Make one with New.
type Table struct {
	db   *kv.DB
	most func() int64
	ends sync.WaitGroup // of feeds
	mu   struct {
		sync.Mutex
		feeds   map[keyspace.NamespaceID]*feed
		keys    int // noted
		items   int // pairs of a key and a client
		clients int // that track
	}
}

// New makes a table of up to most keys; zero: of any number.
func New(db *kv.DB, most func() int64) *Table {
	t := &Table{db: db, most: most}
	t.mu.feeds = map[keyspace.NamespaceID]*feed{}
	return t
}

// Close waits for what works in the background. All clients are closed by then.
func (t *Table) Close() { t.ends.Wait() }

// Stats are what INFO tells.
type Stats struct{ Clients, Keys, Items, Prefixes int }

// Stats are what there is now.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{Clients: t.mu.clients, Keys: t.mu.keys, Items: t.mu.items}
	for _, f := range t.mu.feeds {
		s.Prefixes += len(f.prefixes)
	}
	return s
}

func (t *Table) count(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if on {
		t.mu.clients++
	} else {
		t.mu.clients--
	}
}

// join makes c one of those who are told of a namespace.
func (t *Table) join(ns keyspace.NamespaceID, c *Client, prefixes []string) *feed {
	t.mu.Lock()
	f := t.mu.feeds[ns]
	begins := f == nil
	if begins {
		f = newFeed(t, ns)
		t.mu.feeds[ns] = f
		if begins = len(t.mu.feeds) <= limits.FollowedNamespaces; !begins {
			f.stop = func() {} // what is read there is told at once
		}
	}
	f.clients[c] = struct{}{}
	f.broadcastLocked(c, prefixes)
	t.mu.Unlock()
	if begins {
		stop := t.db.Follow(f.span, f)
		t.mu.Lock()
		f.stop = stop
		t.endLocked(f)
		t.mu.Unlock()
	}
	return f
}

// prefixes are those of a client in broadcasting mode.
func (t *Table) prefixes(f *feed, c *Client, prefixes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.broadcastLocked(c, prefixes)
}

// leave takes c from those who are told of a namespace.
func (t *Table) leave(f *feed, c *Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(f.clients, c)
	for p, all := range f.prefixes {
		if delete(all, c); len(all) == 0 {
			delete(f.prefixes, p)
		}
	}
	t.endLocked(f)
}

// endLocked ends a feed that nobody needs any more.
func (t *Table) endLocked(f *feed) {
	if len(f.clients) > 0 || f.stop == nil || t.mu.feeds[f.ns] != f {
		return
	}
	delete(t.mu.feeds, f.ns)
	t.clearLocked(f)
	t.ends.Add(1)
	go func() {
		defer t.ends.Done()
		f.stop()
	}()
}

// clearLocked forgets what was noted in a namespace.
func (t *Table) clearLocked(f *feed) {
	for _, r := range f.rows {
		t.mu.items -= r.count()
	}
	t.mu.keys -= len(f.rows)
	f.rows = map[string]*readers{}
}

// note notes that c may keep a key; covered is whether it will be told.
func (t *Table) note(f *feed, c *Client, row []byte) (added, covered bool) {
	most := t.most()
	var out []delivery
	t.mu.Lock()
	covered = f.coversLocked(row)
	if !c.o.Broadcast && covered {
		r := f.rows[string(row)]
		if r == nil {
			r = &readers{}
			f.rows[string(row)] = r
			t.mu.keys++
		}
		if added = r.add(c); added {
			t.mu.items++
		}
		for most > 0 && int64(t.mu.keys) > most {
			out = t.dropLocked(out)
		}
	}
	t.mu.Unlock()
	deliver(out)
	return added, covered
}

// dropLocked forgets a key, by chance, and tells its readers.
func (t *Table) dropLocked(out []delivery) []delivery {
	for _, f := range t.mu.feeds {
		for row := range f.rows {
			return f.hitLocked(out, row, 0)
		}
	}
	return out
}

// forget is for a key that c has not read after all.
func (t *Table) forget(f *feed, c *Client, row string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := f.rows[row]
	if r == nil || !r.remove(c) {
		return
	}
	t.mu.items--
	if r.count() == 0 {
		delete(f.rows, row)
		t.mu.keys--
	}
}

// delivery is what a client is to be told.
type delivery struct {
	to *Client
	m  message
}

// deliver is called without the table's lock.
func deliver(list []delivery) {
	for _, d := range list {
		d.to.tell(d.m)
	}
}

// readers are the clients that may keep a key.
type readers struct {
	few  []*Client
	many map[*Client]struct{} // in place of few
}

// fewReaders is how many are looked through.
const fewReaders = 8

func (r *readers) count() int { return len(r.few) + len(r.many) }

func (r *readers) add(c *Client) bool {
	if r.many != nil {
		before := len(r.many)
		r.many[c] = struct{}{}
		return len(r.many) > before
	}
	for _, o := range r.few {
		if o == c {
			return false
		}
	}
	if r.few = append(r.few, c); len(r.few) > fewReaders {
		r.many = map[*Client]struct{}{}
		for _, o := range r.few {
			r.many[o] = struct{}{}
		}
		r.few = nil
	}
	return true
}

func (r *readers) remove(c *Client) bool {
	if _, is := r.many[c]; is {
		delete(r.many, c)
		return true
	}
	for i, o := range r.few {
		if o == c {
			r.few = append(r.few[:i:i], r.few[i+1:]...)
			return true
		}
	}
	return false
}

// each visits all.
func (r *readers) each(visit func(c *Client)) {
	for _, c := range r.few {
		visit(c)
	}
	for c := range r.many {
		visit(c)
	}
}
