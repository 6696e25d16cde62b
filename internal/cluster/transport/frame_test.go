package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
)

func encoded(h header, payload []byte) []byte {
	return append(appendHeader(nil, h, payload), payload...)
}

func decoded(b []byte) (header, []byte, error) { return readFrame(bufio.NewReader(bytes.NewReader(b))) }

func TestFrame(t *testing.T) {
	for _, payload := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 1<<20)} {
		want := header{typ: typeRequest, kind: 0x1234, stream: 1 << 60, arg: 77}
		got, p, err := decoded(encoded(want, payload))
		want.length, want.sum = uint32(len(payload)), crc32.Checksum(payload, castagnoli)
		if err != nil || got != want || !bytes.Equal(p, payload) {
			t.Fatalf("%d bytes: %+v, %v", len(payload), got, err)
		}
	}
	if _, _, err := decoded(nil); err != io.EOF {
		t.Errorf("end between frames: %v", err)
	}
}

func TestFrameEveryFlipIsFound(t *testing.T) {
	good := encoded(header{typ: typeMessage, kind: 3}, []byte("some payload"))
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, _, err := decoded(b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	for n := 1; n < len(good); n++ {
		if _, _, err := decoded(good[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
}

// forged is a header with valid sums and any content.
func forged(typ, reserved byte, length uint32) []byte {
	b := make([]byte, headerBytes)
	b[12], b[13] = typ, reserved
	binary.LittleEndian.PutUint32(b[8:], length)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func TestFrameBounds(t *testing.T) {
	for _, c := range []struct {
		typ, reserved byte
		length        uint32
	}{
		{0, 0, 0}, {13, 0, 0}, {255, 0, 0}, {1, 1, 0},
		{byte(typeMessage), 0, limits.TransportFrameBytes + 1}, {byte(typeResponse), 0, 1<<32 - 1},
		{byte(typeData), 0, limits.TransportChunkBytes + 1}, {byte(typeError), 0, errorBytesMax + 1},
		{byte(typePing), 0, 1}, {byte(typeCancel), 0, 1},
	} {
		if _, _, err := decoded(forged(c.typ, c.reserved, c.length)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestFrameAllocatesWhatArrives: a length that nothing follows costs little.
func TestFrameAllocatesWhatArrives(t *testing.T) {
	var before, after runtime.MemStats
	b := append(forged(byte(typeRequest), 0, limits.TransportFrameBytes), make([]byte, 100)...)
	runtime.ReadMemStats(&before)
	_, _, err := decoded(b)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, io.ErrUnexpectedEOF) || n > 2*trustedBytes {
		t.Errorf("%d bytes allocated, %v", n, err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(encoded(header{typ: typeRequest, kind: 1, stream: 2, arg: 3}, []byte("payload")))
	f.Add(append(encoded(header{typ: typePing, arg: 3}, nil), encoded(header{typ: typeData, stream: 9}, []byte{1})...))
	f.Add(forged(byte(typeMessage), 0, limits.TransportFrameBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for rest := b; ; {
			h, payload, err := readFrame(r)
			if err != nil {
				return
			}
			again := encoded(header{typ: h.typ, kind: h.kind, stream: h.stream, arg: h.arg}, payload)
			if !bytes.Equal(again, rest[:len(again)]) {
				t.Fatalf("%x was read from %x", again, rest)
			}
			if rest = rest[len(again):]; h.typ == typeError {
				_, _ = decodeError(1, h.kind, payload)
			}
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add(hello{version: 1, oldest: 1, class: ClassBulk, cluster: testCluster, from: Peer{Node: 3}, to: 4}.encode())
	f.Add(welcome{version: 1, refusal: ErrWrongNode, from: Peer{Node: 3}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= helloBytes {
			if h, err := decodeHello(b[:helloBytes]); err == nil {
				if again, err := decodeHello(h.encode()); err != nil || again != h {
					t.Fatalf("%+v became %+v, %v", h, again, err)
				}
			}
		}
		if len(b) >= welcomeBytes {
			if w, err := decodeWelcome(b[:welcomeBytes]); err == nil && !bytes.Equal(w.encode(), b[:welcomeBytes]) {
				t.Fatalf("%+v was read from %x", w, b)
			}
		}
	})
}

// TestAnother: whether a message is the last of those that have come is told by what has
// arrived in whole.
func TestAnother(t *testing.T) {
	frame := func(typ frameType, kind Kind, payload string) []byte {
		return append(appendHeader(nil, header{typ: typ, kind: kind}, []byte(payload)), payload...)
	}
	message := frame(typeMessage, 7, "payload")
	damaged := bytes.Clone(message)
	damaged[9]++
	for name, c := range map[string]struct {
		first, next []byte
		want        bool
	}{
		"a message":       {message, message, true},
		"nothing":         {message, nil, false},
		"a part":          {message, message[:len(message)-1], false},
		"a header's part": {message, message[:headerBytes-1], false},
		"another kind":    {message, frame(typeMessage, 8, "payload"), false},
		"a request":       {message, frame(typeRequest, 7, "payload"), false},
		"damage":          {message, damaged, false},
		"after a request": {frame(typeRequest, 7, "payload"), message, false},
	} {
		r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(c.first), c.next...)))
		h, _, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := another(r, h); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
