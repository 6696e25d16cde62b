package catalog

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Catalog is what a process keeps about namespaces: ids reserved ahead, and the
// watches that tell when paths are taken away and databases swapped. It is safe for
// concurrent use.
type Catalog struct {
	db    *kv.DB
	term  atomic.Pointer[Term]
	posts posts
	mu    struct {
		sync.Mutex
		session *kv.Session
		next    keyspace.NamespaceID // free ids: [next, end)
		end     keyspace.NamespaceID
	}
}

// Term is the time during which no path was taken away and no database swapped.
type Term struct{ watch kv.Watch }

// Guard is the watch in the first range that guards any commit (F4).
func (t *Term) Guard() kv.Watch { return t.watch }

// Over reports whether a path may have been taken away or a database swapped since
// the term began, and the ticket of the write that did it.
func (t *Term) Over() (bool, base.Ticket) { return t.watch.Dirty() }

// Changed is closed after the term's end.
func (t *Term) Changed() <-chan struct{} { return t.watch.Changed() }

// New makes a catalog. Close ends its watch.
func New(db *kv.DB) *Catalog {
	c := &Catalog{db: db}
	c.mu.session = db.NewSession()
	c.posts.byKey = map[string]*post{}
	c.posts.making.session = db.NewSession()
	c.term.Store(&Term{db.Watch(epochKey)})
	return c
}

// Close gives the watches back. The catalog must not be used any more.
func (c *Catalog) Close() {
	c.term.Load().watch.Close()
	c.posts.close()
}

// Term is the present term; it may be over. What is resolved under it is to be
// read after asking for it (N2, B1).
func (c *Catalog) Term() *Term { return c.term.Load() }

// Renew begins a new term if old, or the present one, is over, and returns the
// present one.
func (c *Catalog) Renew() *Term {
	if over, _ := c.Term().Over(); !over {
		return c.Term()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.term.Load()
	if over, _ := old.Over(); over {
		c.term.Store(&Term{c.db.Watch(epochKey)})
		old.watch.Close() // it stays dirty for those who hold it
	}
	return c.term.Load()
}

// idBlock is how many ids a process reserves at once.
const idBlock = 64

// Reserve returns n ids that nobody has and nobody will be given again. It makes
// a transaction of its own and must not be called inside one.
func (c *Catalog) Reserve(n int) ([]keyspace.NamespaceID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]keyspace.NamespaceID, 0, n)
	for len(ids) < n {
		if c.mu.next == c.mu.end {
			if err := c.reserveLocked(); err != nil {
				return nil, err
			}
		}
		ids = append(ids, c.mu.next)
		c.mu.next++
	}
	return ids, nil
}

// reserveLocked waits for the commit: an id must not be handed out while the
// counter may still fall back.
func (c *Catalog) reserveLocked() error {
	var first keyspace.NamespaceID
	if err := c.mu.session.RunAndWait(kv.Func(func(t kv.Txn) error {
		value, err := t.Get(counterKey)
		if err != nil {
			return err
		}
		first = firstID
		if value != nil {
			if len(value) != 8 {
				return corrupt("namespace counter %x", value)
			}
			first = keyspace.NamespaceID(binary.BigEndian.Uint64(value))
		}
		next := t.Alloc(8)
		binary.BigEndian.PutUint64(next, uint64(first)+idBlock)
		t.Set(counterKey, next)
		return nil
	})); err != nil {
		return err
	}
	c.mu.next, c.mu.end = first, first+idBlock
	return nil
}
