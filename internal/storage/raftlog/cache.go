package raftlog

import "github.com/stratadb/strata/internal/base"

// cacheItems bounds the queue beside the bytes: compacted entries stay in it
// until they reach its front.
const cacheItems = 1 << 16

// cached names an entry in the order in which it was appended.
type cached struct {
	g     *group
	index base.LogIndex
	flush uint64
	seg   uint64
	off   uint32
}

// cache keeps the data of the latest entries, first in, first out. An entry
// whose flush is not durable is never evicted: it can be read from nowhere else.
type cache struct {
	budget int64
	bytes  int64
	queue  []cached // from head
	head   int
}

// add caches data for the entry at g.refs[i].
func (c *cache) add(g *group, i int, data []byte, flush uint64) {
	g.data[i] = data
	c.bytes += int64(len(data))
	c.queue = append(c.queue, cached{
		g: g, index: g.first + base.LogIndex(i), flush: flush, seg: g.refs[i].seg, off: g.refs[i].off,
	})
}

// drop forgets the data of g.refs[i]; its place in the queue is skipped later.
func (c *cache) drop(g *group, i int) {
	if g.data[i] != nil {
		c.bytes -= int64(len(g.data[i]))
		g.data[i] = nil
	}
}

// current reports whether the group still has this very entry cached.
func (it *cached) current() bool {
	g := it.g
	if it.index < g.first || it.index > g.last() {
		return false
	}
	i := g.index(it.index)
	return g.data[i] != nil && g.refs[i].seg == it.seg && g.refs[i].off == it.off
}

// evict brings the cache back under its bounds as far as durable allows.
func (c *cache) evict(durable uint64) {
	for c.head < len(c.queue) {
		it := &c.queue[c.head]
		stale := !it.current()
		if !stale {
			if it.flush > durable || (c.bytes <= c.budget && len(c.queue)-c.head <= cacheItems) {
				break
			}
			c.drop(it.g, it.g.index(it.index))
		}
		*it = cached{}
		c.head++
	}
	if c.head == len(c.queue) {
		c.queue, c.head = c.queue[:0], 0
	} else if c.head > len(c.queue)/2 && c.head > 64 {
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
}
