package window

import "github.com/stratadb/strata/internal/base"

// entry is one version of a key. It holds no pointer, so the collector does not
// look into the ring.
type entry struct {
	hash  uint64
	prev  uint64 // id of the key's previous version, of an older batch; 0: none
	next  uint64 // id of the key's next version; 0: this is the newest. Of a replaced one: of what has replaced it
	batch uint64
	pos   base.Position
	kOff  uint32
	kLen  uint32
	vOff  uint32
	vLen  uint32
	carry uint32 // what is carried behind the entry: its place in carriages, or 0
	op    base.MutationOp
	flags entryFlags
}

type entryFlags uint8

const (
	// stampedValue: the value contains the batch's stamp and cannot be read
	// before the batch has one.
	stampedValue entryFlags = 1 << iota
	// ghost: the key contains the batch's stamp; the entry is in no index yet.
	ghost
	// replaced: a later write of the same batch took the entry's place; it is in
	// no version list.
	replaced
	// toCarry: the eviction in progress carries the entry behind its successor.
	toCarry
)

const (
	chunkBits = 11
	chunkLen  = 1 << chunkBits
)

// ring holds the entries with ids in [tail, next).
type ring struct {
	chunks []*[chunkLen]entry
	first  uint64 // id of the first entry of chunks[0]
	tail   uint64
	next   uint64
}

func newRing() ring { return ring{first: 0, tail: 1, next: 1} } // id 0 means none

func (r *ring) at(id uint64) *entry {
	return &r.chunks[(id-r.first)>>chunkBits][id&(chunkLen-1)]
}

func (r *ring) has(id uint64) bool { return id >= r.tail && id < r.next }

func (r *ring) push() (uint64, *entry) {
	id := r.next
	if (id-r.first)>>chunkBits == uint64(len(r.chunks)) {
		r.chunks = append(r.chunks, new([chunkLen]entry))
	}
	r.next++
	e := r.at(id)
	*e = entry{}
	return id, e
}

// cutTail forgets the entries below id.
func (r *ring) cutTail(id uint64) {
	r.tail = id
	for len(r.chunks) > 0 && r.first+chunkLen <= r.tail {
		r.chunks[0] = nil
		r.chunks = r.chunks[1:]
		r.first += chunkLen
	}
}

// cutHead forgets the entries from id on.
func (r *ring) cutHead(id uint64) { r.next = id }
