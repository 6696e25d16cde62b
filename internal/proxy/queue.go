package proxy

import (
	"sync"
	"time"
)

// kind says what is done about a reply of the following side.
type kind uint8

const (
	isWrite  kind = iota // an effect
	isPiece              // a part of a copied value, which more follows
	isCopy               // the last command of a copied value
	isShadow             // a read, to be compared
	isSure               // a read that was made under the key's lock, to be compared
	isPing               // nothing
)

// item is something for the following side: commands and what is expected of their replies.
type item struct {
	seq  uint64
	kind kind
	// raw are the commands; so many replies come, of which the last one counts.
	raw     []byte
	replies int
	db      int
	// proto is the version of the protocol in which want is; 0 if it does not matter.
	proto int
	t     *trait
	// want is what the deciding side answered; nil if only an error is wrong.
	want []byte
	// block are the commands between MULTI and EXEC.
	block []part
	// loose items may fail, since the following side is not complete yet.
	loose bool
	place place // of a copy
	// script is what EVALSHA names, if the other side may not know it.
	script string
	weight int // its size when it was put
}

// part is a command of a block, and which reply of EXEC at the deciding side was its own;
// -1 if its effect is something else.
type part struct {
	t    *trait
	want int
}

// size is what an item counts for in the queue.
func (it *item) size() int {
	return len(it.raw) + len(it.want) + len(it.place.key) + len(it.script) + itemBytes
}

// itemBytes is about what an item takes besides its bytes.
const itemBytes = 256

// queue holds what the following side has not acknowledged, in the order in which it is to
// be executed. It is bounded by bytes and by count.
type queue struct {
	maxBytes, maxItems int

	mu     sync.Mutex
	room   sync.Cond // something was acknowledged, or the state has changed
	items  []item    // that are not sent
	seq    uint64    // of the last one that was put
	acked  uint64    // all up to here are done
	bytes  int       // with those that are sent and not acknowledged
	count  int
	down   bool // nothing is acknowledged at the moment
	closed bool
	wake   chan struct{} // somebody has put something
}

func newQueue(maxBytes, maxItems int) *queue {
	q := &queue{maxBytes: maxBytes, maxItems: maxItems, wake: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// put appends items. Where there is no room it waits until the deadline, unless the
// following side is down; then it reports false and appends nothing. onto, if it is
// not nil, hears the number of each item while nobody can acknowledge it.
func (q *queue) put(items []item, wait time.Duration, onto func(it *item)) bool {
	size := 0
	for i := range items {
		items[i].weight = items[i].size()
		size += items[i].weight
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var deadline time.Time
	for !q.closed && q.count > 0 && (q.bytes+size > q.maxBytes || q.count+len(items) > q.maxItems) {
		if deadline.IsZero() {
			deadline = time.Now().Add(wait)
			timer := time.AfterFunc(wait, func() {
				q.mu.Lock()
				q.room.Broadcast()
				q.mu.Unlock()
			})
			defer timer.Stop()
		}
		if q.down || !time.Now().Before(deadline) {
			return false
		}
		q.room.Wait()
	}
	if q.closed {
		return false
	}
	for i := range items {
		q.seq++
		items[i].seq = q.seq
		if onto != nil {
			onto(&items[i])
		}
	}
	q.items = append(q.items, items...)
	q.bytes += size
	q.count += len(items)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves up to n items to dst.
func (q *queue) take(dst []item, n int) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.items))
	dst = append(dst, q.items[:n]...)
	clear(q.items[:n])
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
	}
	return dst
}

// back returns items that were taken and not sent.
func (q *queue) back(items []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(append([]item(nil), items...), q.items...)
}

// ack says that items are done, in their order.
func (q *queue) ack(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acked = it.seq
	q.count--
	if q.bytes -= it.weight; q.count == 0 || q.bytes < q.maxBytes*3/4 {
		q.room.Broadcast()
	}
}

// setDown says whether the following side can be reached.
func (q *queue) setDown(down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down = down
	q.room.Broadcast()
}

// close refuses what comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
}

// backlog is what is not acknowledged, and since when.
func (q *queue) backlog() (items, bytes int, down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count, q.bytes, q.down
}

// drained waits until nothing is in the queue, and reports whether that came about.
func (q *queue) drained(within time.Duration) bool {
	deadline := time.Now().Add(within)
	timer := time.AfterFunc(within, func() {
		q.mu.Lock()
		q.room.Broadcast()
		q.mu.Unlock()
	})
	defer timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > 0 && time.Now().Before(deadline) {
		q.room.Wait()
	}
	return q.count == 0
}

// quiet reports whether there is much room, for what may be left out.
func (q *queue) quiet() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.down && q.bytes < q.maxBytes/4 && q.count < q.maxItems/4
}
