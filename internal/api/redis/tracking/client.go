package tracking

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/limits"
)

// Connection is where a client is told.
type Connection interface {
	// Invalidate tells of keys, or, with nil, of everything. It reports false if there is nobody
	// any more to whom redirect means. It must not wait, nor use the client.
	Invalidate(keys [][]byte, redirect int64) bool
}

// Client is a connection that may track. What is not a method belongs to the connection's
// goroutine, as do all methods but State.
type Client struct {
	// Caching is that CLIENT CACHING was said about the next command.
	Caching bool
	// Namespace is where the transaction that runs began.
	Namespace keyspace.NamespaceID

	table  *Table
	origin uint64
	on     bool
	o      Options
	feeds  map[keyspace.NamespaceID]*feed
	fresh  []string // the rows that were not noted before the command that runs

	mu struct {
		sync.Mutex
		to      Connection
		on      bool
		o       Options
		held    bool
		pending []message // kept back
		keys    int       // in them
		broken  bool
		blank   bool // it was told to forget everything, and has read nothing since
	}
}

// message is what a client is told; nil means everything.
type message [][]byte

// NewClient makes a client of a connection, which does not track.
func (t *Table) NewClient(to Connection) *Client {
	c := &Client{table: t, origin: rand.Uint64() | 1, feeds: map[keyspace.NamespaceID]*feed{}}
	c.mu.to = to
	return c
}

// On makes the client track.
func (c *Client) On(o Options, ns keyspace.NamespaceID) error {
	if err := o.fits(&c.o, c.on); err != nil {
		return err
	}
	if o.Broadcast {
		if len(o.Prefixes) == 0 && !slices.Contains(c.o.Prefixes, "") {
			o.Prefixes = []string{""}
		}
		o.Prefixes = append(slices.Clip(c.o.Prefixes), o.Prefixes...)
		slices.Sort(o.Prefixes)
		size := 0
		for _, p := range o.Prefixes {
			size += len(p) + prefixBytes
		}
		if size > limits.SubscriptionBytes {
			return errPrefixes
		}
	}
	c.set(true, o)
	for _, f := range c.feeds {
		c.table.prefixes(f, c, o.Prefixes)
	}
	c.feed(ns).await()
	return nil
}

// prefixBytes is what a prefix costs beside its bytes.
const prefixBytes = 128

// Off ends the tracking. What was noted is forgotten when it changes.
func (c *Client) Off() {
	if c.on {
		c.set(false, Options{})
	}
	for _, f := range c.feeds {
		c.table.leave(f, c)
	}
	clear(c.feeds)
	c.Caching = false
}

// Close is Off for a connection that has ended.
func (c *Client) Close() {
	c.Off()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.to, c.mu.pending = nil, nil
}

func (c *Client) set(on bool, o Options) {
	if on != c.on {
		c.table.count(on)
	}
	c.on, c.o = on, o
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.on, c.mu.o, c.mu.broken = on, o, false
	if !on {
		c.mu.pending, c.mu.keys, c.mu.held = nil, 0, false
	}
}

// Tracks reports whether the client tracks.
func (c *Client) Tracks() bool { return c.on }

// Origin is who the client is to those who follow; zero if it wants to be told what it does
// itself.
func (c *Client) Origin() uint64 {
	if c.on && c.o.NoLoop {
		return c.origin
	}
	return 0
}

// Options are those of CLIENT TRACKING.
func (c *Client) Options() *Options { return &c.o }

// State is what other clients may see: whether it tracks, how, and whether there is nobody any
// more at the connection to which it redirects. It may be called from any goroutine.
func (c *Client) State() (on bool, o Options, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.on, c.mu.o, c.mu.broken
}

// Hold keeps invalidations back until Release.
func (c *Client) Hold() {
	c.mu.Lock()
	c.mu.held, c.mu.blank = c.mu.on, false
	c.mu.Unlock()
}

// Release lets invalidations through.
func (c *Client) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.held = false
	for _, m := range c.mu.pending {
		c.sendLocked(m)
	}
	c.mu.pending, c.mu.keys = nil, 0
}

// feed is that of a namespace.
func (c *Client) feed(ns keyspace.NamespaceID) *feed {
	f := c.feeds[ns]
	if f == nil {
		f = c.table.join(ns, c, c.o.Prefixes)
		c.feeds[ns] = f
	}
	return f
}

// Begin is called before a command, or several, may be noted.
func (c *Client) Begin(ns keyspace.NamespaceID) {
	c.Hold()
	c.Namespace, c.fresh = ns, c.fresh[:0]
	c.feed(ns)
}

// Noted reports whether a command's keys are to be noted.
func (c *Client) Noted() bool { return !(c.o.OptIn && !c.Caching || c.o.OptOut && c.Caching) }

// Read notes that the client is going to read a key, by the row of its header.
func (c *Client) Read(row []byte) {
	added, covered := c.table.note(c.feeds[c.Namespace], c, row)
	if added {
		c.fresh = append(c.fresh, string(row))
	}
	if !covered {
		c.past(row)
	}
}

// past is Past for a row.
func (c *Client) past(row []byte) {
	if _, key, ok := keyspace.DecodeRedisHeader(row); ok {
		c.Past(key)
	}
}

// Past invalidates a key behind the reply of the running command.
func (c *Client) Past(key []byte) {
	c.Hold()
	c.tell(message{slices.Clone(key)})
}

// Forget takes back what was noted since Begin.
func (c *Client) Forget() {
	for _, row := range c.fresh {
		c.table.forget(c.feeds[c.Namespace], c, row)
		if _, key, ok := keyspace.DecodeRedisHeader([]byte(row)); ok {
			c.takeBack(key)
		}
	}
	c.fresh = c.fresh[:0]
}

// lost tells the client to forget everything, if there is anything: many ranges may be lost at
// once.
func (c *Client) lost() {
	c.mu.Lock()
	blank := c.mu.blank
	c.mu.blank = true
	c.mu.Unlock()
	if !blank {
		c.tell(nil)
	}
}

// takeBack takes back what is kept back of a key.
func (c *Client) takeBack(key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.mu.pending)
	c.mu.pending = slices.DeleteFunc(c.mu.pending, func(m message) bool { return len(m) == 1 && bytes.Equal(m[0], key) })
	c.mu.keys -= before - len(c.mu.pending)
}

// tell tells the client, now or at Release.
func (c *Client) tell(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.mu.on:
	case !c.mu.held:
		c.sendLocked(m)
	case m == nil, c.mu.keys+len(m) > limits.InvalidationsHeld:
		c.mu.pending, c.mu.keys = []message{nil}, 0
	default:
		c.mu.pending, c.mu.keys = append(c.mu.pending, m), c.mu.keys+len(m)
	}
}

func (c *Client) sendLocked(m message) {
	if c.mu.to != nil && c.mu.on && !c.mu.to.Invalidate(m, c.mu.o.Redirect) {
		c.mu.broken = true
	}
}
