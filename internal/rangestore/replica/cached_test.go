package replica

import (
	"bytes"
	"testing"
)

// rows is a disk on which each key's row, of that many copies of the key, is in the cache.
type rows struct {
	Disk
	copies int
}

func (r rows) Cached(dst, key []byte) ([]byte, bool) {
	for range r.copies {
		dst = append(dst, key...)
	}
	return dst, true
}

// TestCachedMemory: what an attempt has read stays as it is while it reads on, and reading as much
// again takes no memory: LRANGE reads a hundred rows of 500 bytes.
func TestCachedMemory(t *testing.T) {
	a := (&Replica{o: Options{Disk: rows{copies: 500}}}).NewAttempt()
	var got [100][]byte
	keys := make([]byte, len(got))
	for i := range keys {
		keys[i] = byte(i)
	}
	read := func() {
		a.Begin(0, HoldShort)
		for i := range got {
			got[i], _ = a.cached(keys[i : i+1])
		}
	}
	if n := testing.AllocsPerRun(20, read); n > 0 {
		t.Errorf("%v allocations for 100 rows", n)
	}
	*a = Attempt{r: a.r}
	read()
	for i, v := range got {
		if !bytes.Equal(v, bytes.Repeat(keys[i:i+1], 500)) {
			t.Fatalf("row %d has become %x", i, v)
		}
	}
}
