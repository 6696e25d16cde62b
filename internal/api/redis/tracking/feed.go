package tracking

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// feed is what the table is told of a namespace. All of it is guarded by the table's lock.
type feed struct {
	t       *Table
	ns      keyspace.NamespaceID
	span    base.Span
	stop    func()
	began   time.Time
	whole   chan struct{} // closed once all of it was covered
	pieces  []base.Span   // covered, by their starts
	rows    map[string]*readers
	clients map[*Client]struct{}
	// prefixes are those of clients in broadcasting mode.
	prefixes map[string]map[*Client]struct{}
}

var _ kv.Follower = (*feed)(nil)

func newFeed(t *Table, ns keyspace.NamespaceID) *feed {
	return &feed{t: t, ns: ns, span: base.PrefixSpan(keyspace.AppendModel(nil, ns, keyspace.ModelRedis)), began: time.Now(), whole: make(chan struct{}),
		rows: map[string]*readers{}, clients: map[*Client]struct{}{}, prefixes: map[string]map[*Client]struct{}{}}
}

// wholeWait is how long who begins to track waits for the leaders.
const wholeWait = 500 * time.Millisecond

// await waits until what is read is told about, or a little: it is no mistake to read earlier.
func (f *feed) await() {
	timer := time.NewTimer(time.Until(f.began.Add(wholeWait)))
	defer timer.Stop()
	select {
	case <-f.whole:
	case <-timer.C:
	}
}

// broadcastLocked makes prefixes a client's, in place of those that it had.
func (f *feed) broadcastLocked(c *Client, prefixes []string) {
	for _, p := range prefixes {
		if f.prefixes[p] == nil {
			f.prefixes[p] = map[*Client]struct{}{}
		}
		f.prefixes[p][c] = struct{}{}
	}
}

// searched is among how many pieces one is looked for that covers a row: they overlap while an
// old leader does not know of the new one, only.
const searched = 4

func (f *feed) coversLocked(row []byte) bool {
	at := sort.Search(len(f.pieces), func(i int) bool { return bytes.Compare(f.pieces[i].Start, row) > 0 })
	for i := at - 1; i >= max(0, at-searched); i-- {
		if f.pieces[i].Contains(row) {
			return true
		}
	}
	return false
}

// Covered implements kv.Follower.
func (f *feed) Covered(piece base.Span) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	at := sort.Search(len(f.pieces), func(i int) bool { return bytes.Compare(f.pieces[i].Start, piece.Start) > 0 })
	f.pieces = slices.Insert(f.pieces, at, piece)
	select {
	case <-f.whole:
	default:
		if f.coveredLocked() {
			close(f.whole)
		}
	}
}

// coveredLocked reports whether all is covered.
func (f *feed) coveredLocked() bool {
	end := f.span.Start
	for _, p := range f.pieces {
		if bytes.Compare(p.Start, end) > 0 {
			return false
		}
		if bytes.Compare(p.End, end) > 0 {
			end = p.End
		}
	}
	return bytes.Compare(end, f.span.End) >= 0
}

// Lost implements kv.Follower.
func (f *feed) Lost(piece base.Span) {
	f.t.mu.Lock()
	if at := slices.IndexFunc(f.pieces, piece.Equal); at >= 0 {
		f.pieces = slices.Delete(f.pieces, at, at+1)
	}
	out := f.allLocked(nil)
	f.t.mu.Unlock()
	for _, d := range out {
		d.to.lost()
	}
}

// Changed implements kv.Follower.
func (f *feed) Changed(list []base.Change) {
	var out []delivery
	f.t.mu.Lock()
	if slices.ContainsFunc(list, func(c base.Change) bool { return c.Key == nil }) {
		out, list = f.allLocked(out), nil
	}
	for _, c := range list {
		out = f.hitLocked(out, string(c.Key), c.Origin)
	}
	if len(f.prefixes) > 0 {
		out = f.castLocked(out, list)
	}
	f.t.mu.Unlock()
	deliver(out)
}

// allLocked tells everybody of everything.
func (f *feed) allLocked(out []delivery) []delivery {
	f.t.clearLocked(f)
	for c := range f.clients {
		out = append(out, delivery{c, nil})
	}
	return out
}

// hitLocked tells the readers of a key, but for the one who has changed it and knows, and who
// reads it still: Redis forgets it, which leaves that client with its own change for ever.
func (f *feed) hitLocked(out []delivery, row string, origin uint64) []delivery {
	r := f.rows[row]
	if r == nil {
		return out
	}
	_, key, _ := keyspace.DecodeRedisHeader([]byte(row))
	var knows *Client
	r.each(func(c *Client) {
		if origin != 0 && origin == c.origin {
			knows = c
		} else {
			out = append(out, delivery{c, message{key}})
		}
	})
	f.t.mu.items -= r.count()
	if knows == nil {
		delete(f.rows, row)
		f.t.mu.keys--
		return out
	}
	f.rows[row] = &readers{few: []*Client{knows}}
	f.t.mu.items++
	return out
}

// change is one as clients in broadcasting mode are told of it.
type change struct {
	key    string
	origin uint64
}

// castLocked tells those in broadcasting mode, by prefix.
func (f *feed) castLocked(out []delivery, list []base.Change) []delivery {
	all := make([]change, 0, len(list))
	for _, c := range list {
		if _, key, ok := keyspace.DecodeRedisHeader(c.Key); ok {
			all = append(all, change{string(key), c.Origin})
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return strings.Compare(a.key, b.key) })
	for p, clients := range f.prefixes {
		some := all[sort.Search(len(all), func(i int) bool { return all[i].key >= p }):]
		n := 0
		for n < len(some) && strings.HasPrefix(some[n].key, p) {
			n++
		}
		for c := range clients {
			if m := keysFor(c, some[:n]); len(m) > 0 {
				out = append(out, delivery{c, m})
			}
		}
	}
	return out
}

// keysFor are those that c is told of, each once.
func keysFor(c *Client, some []change) (m message) {
	for _, x := range some {
		if x.origin != 0 && x.origin == c.origin || len(m) > 0 && string(m[len(m)-1]) == x.key {
			continue
		}
		m = append(m, []byte(x.key))
	}
	return m
}
