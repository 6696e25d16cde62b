package catalog

import (
	"encoding/binary"
	"sync"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// posts are the watches that fences put up outside of the first range, by key. They are
// looked up with the locks of ranges held, so nobody takes such a lock under this one.
type posts struct {
	sync.RWMutex
	byKey  map[string]*post
	making struct {
		sync.Mutex
		session *kv.Session
	}
}

// post is a watch that is touched by every change of what commands in its range and
// area rely on (F1).
type post struct {
	watch kv.Watch
	known Versions
}

// postsMax is how many posts a process keeps: one for each range and area that is in use.
const postsMax = 16 << 10

// Versions are the values of the rows that changes write: the epoch, and the version of
// the shards.
type Versions struct{ Epoch, Shards uint64 }

// ReadEpoch reads the value that every change that ends a term replaces by a greater one.
func ReadEpoch(t kv.Reader) (uint64, error) { return readVersion(t, epochKey) }

func readVersion(t kv.Reader, key []byte) (uint64, error) {
	value, err := t.Get(key)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, corrupt("version %s: %x", keyspace.Pretty(key), value)
	}
	return binary.LittleEndian.Uint64(value), nil
}

// post is the post at key, a new one if there is none or it is of no use any more.
// The watch is there before the versions are read, and they are committed (F2).
func (c *Catalog) post(key []byte) (*post, error) {
	ps := &c.posts
	ps.making.Lock()
	defer ps.making.Unlock()
	old := ps.at(key)
	if old != nil {
		if dirty, _ := old.watch.Dirty(); !dirty {
			return old, nil
		}
	}
	p := &post{watch: c.db.Watch(key)}
	if err := ps.making.session.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
		if p.known.Epoch, err = ReadEpoch(t); err == nil {
			p.known.Shards, err = readVersion(t, ShardVersionKey())
		}
		return err
	})); err != nil {
		p.watch.Close()
		if errors.Is(err, base.ErrUnknownOutcome) { // nothing was written
			err = errors.Wrap(base.ErrUnavailable, "reading what fences rely on")
		}
		return nil, err
	}
	for _, o := range ps.put(key, p) { // what commits under one meanwhile is refused
		o.watch.Close()
	}
	return p, nil
}

// put makes p the post at key, and answers those that are not kept any more. They must
// not be closed under the lock: a range may wait for that, with its own lock held.
func (ps *posts) put(key []byte, p *post) (gone []*post) {
	ps.Lock()
	defer ps.Unlock()
	if len(ps.byKey) >= postsMax {
		gone = ps.takeLocked()
	}
	if old := ps.byKey[string(key)]; old != nil {
		gone = append(gone, old)
	}
	ps.byKey[string(key)] = p
	return gone
}

func (ps *posts) takeLocked() (all []*post) {
	for _, p := range ps.byKey {
		all = append(all, p)
	}
	clear(ps.byKey)
	return all
}

// close takes all posts down.
func (ps *posts) close() {
	ps.Lock()
	all := ps.takeLocked()
	ps.Unlock()
	for _, p := range all {
		p.watch.Close()
	}
}

// at is the post at key, nil if there is none.
func (ps *posts) at(key []byte) *post {
	ps.RLock()
	defer ps.RUnlock()
	return ps.byKey[string(key)]
}

// Basis is what a short command relies on.
type Basis struct {
	// Term is when its path and its databases were resolved, Epoch what they were
	// resolved at, and Ticket what must be committed for that to be true.
	Term   *Term
	Epoch  uint64
	Ticket base.Ticket
	// Shards is the table that it was checked against; nil for none.
	Shards *ShardTable
}

// Fence guards the commits of short commands; see the package comment. It is used
// by one goroutine, again and again.
type Fence struct {
	catalog *Catalog
	area    base.Span
	basis   Basis
	home    [2]kv.Watch

	key    []byte // where the engine has asked for a post
	post   *post  // what it was given; nil: the home
	lacked bool   // there was no post that would do
}

var _ kv.Fence = (*Fence)(nil)

// Raise makes it the fence of a command that works in area on the given basis.
func (f *Fence) Raise(c *Catalog, area base.Span, b Basis) {
	f.catalog, f.area, f.basis = c, area, b
	f.home[0], f.home[1] = b.Term.watch, nil
	if b.Shards != nil {
		f.home[1] = b.Shards.watch
	}
	f.post, f.lacked = nil, false
}

// Area implements kv.Fence.
func (f *Fence) Area() base.Span { return f.area }

// Home implements kv.Fence.
func (f *Fence) Home() []kv.Watch {
	f.post, f.lacked = nil, false
	if f.home[1] == nil {
		return f.home[:1]
	}
	return f.home[:]
}

// At implements kv.Fence. A post that was put up at later versions than what the
// command relies on has not heard of the changes in between (F3).
func (f *Fence) At(key []byte) kv.Watch {
	b, p := &f.basis, f.catalog.posts.at(key)
	f.key, f.post, f.lacked = append(f.key[:0], key...), p, false
	if p == nil || p.known.Epoch > b.Epoch || !b.Ticket.Done() ||
		b.Shards != nil && (p.known.Shards > b.Shards.version || !b.Shards.ticket.Done()) {
		f.lacked = true
		return nil
	}
	return p.watch
}

// Broken implements kv.Fence.
func (f *Fence) Broken() bool {
	if f.lacked {
		return true
	}
	guards := f.home[:]
	if f.post != nil {
		guards = []kv.Watch{f.post.watch}
	}
	for _, w := range guards {
		if w == nil {
			continue
		}
		if dirty, _ := w.Dirty(); dirty {
			return true
		}
	}
	return false
}

// Mend puts up the post that the last commit lacked, if it did, and answers at which
// versions the command's basis has to be read at least. Then the fence can be raised
// again.
func (f *Fence) Mend() (Versions, error) {
	if f.post == nil && !f.lacked {
		return Versions{}, nil
	}
	p, err := f.catalog.post(f.key)
	if err != nil {
		return Versions{}, err
	}
	// What is lost was lost with the first range's leader, and the watches there tell.
	_ = f.basis.Ticket.Wait()
	if f.basis.Shards != nil {
		_ = f.basis.Shards.ticket.Wait()
	}
	return p.known, nil
}
