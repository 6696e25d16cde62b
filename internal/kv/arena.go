package kv

// arena hands out memory that lives until the next reset.
type arena struct {
	chunk []byte
	used  int
}

const (
	arenaChunkBytes = 4 << 10
	arenaKeepBytes  = 64 << 10
)

func (a *arena) alloc(n int) []byte {
	if n > len(a.chunk)-a.used {
		size := max(2*len(a.chunk), arenaChunkBytes)
		if size > arenaKeepBytes {
			size = arenaKeepBytes
		}
		if n > size/2 {
			return make([]byte, n)
		}
		a.chunk, a.used = make([]byte, size), 0
	}
	b := a.chunk[a.used : a.used+n : a.used+n]
	a.used += n
	return b
}

func (a *arena) copy(b []byte) []byte {
	c := a.alloc(len(b))
	copy(c, b)
	return c
}

func (a *arena) reset() { a.used = 0 }
