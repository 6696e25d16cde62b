package resp

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestReadBufferKeepsBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var b ReadBuffer
	var want []byte
	for range 5000 {
		switch r.IntN(6) {
		case 0:
			b.Release()
		case 1, 2:
			n := r.IntN(len(want) + 1)
			b.Consume(n)
			want = want[n:]
		default:
			room := b.Writable()
			if len(room) == 0 {
				t.Fatal("no room")
			}
			n := r.IntN(min(len(room), 3000) + 1)
			for i := range n {
				room[i] = byte(r.Uint32())
			}
			want = append(want, room[:n]...)
			b.Advance(n)
		}
		if !bytes.Equal(b.Pending(), want) {
			t.Fatal("bytes were lost")
		}
	}
}

func TestReadBufferSize(t *testing.T) {
	var b ReadBuffer
	if b.Size() != 0 {
		t.Fatal("a new buffer holds memory")
	}
	const large = 5 << 20
	moved, last := 0, 0
	for n := 0; n < large; n += 1000 {
		_, _ = b.Write(make([]byte, 1000))
		if b.Size() != last {
			moved, last = moved+n, b.Size()
		}
		if b.Size() > 4*(n+1000)+readMinBytes {
			t.Fatalf("%d bytes for %d", b.Size(), n)
		}
	}
	if moved > 4*large {
		t.Errorf("%d bytes were moved to store %d", moved, large)
	}
	b.Consume(len(b.Pending()))
	b.Writable()
	if b.Size() != readKeptBytes {
		t.Errorf("after a large command the buffer holds %d bytes", b.Size())
	}
	for range 5 * readCalm {
		_, _ = b.Write([]byte("PING\r\n"))
		b.Consume(6)
	}
	if b.Size() != readMinBytes {
		t.Errorf("after small commands the buffer holds %d bytes", b.Size())
	}
	b.Release()
	if b.Size() != 0 {
		t.Errorf("after Release the buffer holds %d bytes", b.Size())
	}
}

func TestReadBufferGrowsForPipelines(t *testing.T) {
	var b ReadBuffer
	for range 10 {
		n := len(b.Writable())
		b.Advance(n)
		b.Consume(n)
	}
	if b.Size() != readKeptBytes {
		t.Errorf("reads that fill the buffer left it at %d bytes", b.Size())
	}
	if n := testing.AllocsPerRun(100, func() {
		b.Advance(len(b.Writable()))
		b.Consume(len(b.Pending()))
	}); n != 0 {
		t.Errorf("%v allocations per read", n)
	}
}
