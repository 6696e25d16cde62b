package raftlog

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzDecodeHeader: no input panics, and what is accepted lies inside the segment.
func FuzzDecodeHeader(f *testing.F) {
	b := make([]byte, headerLen)
	putHeader(b, recEntry, 7, nil)
	sealHeader(b, 1, 4096, 0)
	f.Add(b, uint64(1), int64(4096))
	f.Add([]byte{}, uint64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, off int64) {
		const size = 1 << 20
		if off < 0 || off > size {
			return
		}
		h, ok := decodeHeader(b, seed, off, size)
		if ok && (off+recordLen(int(h.bodyLen)) > size || h.typ == 0 || h.typ >= recTypeEnd) {
			t.Fatalf("accepted %+v", h)
		}
	})
}

// FuzzOpen puts arbitrary bytes over a good log: Open gives the old content, an
// error, or a shorter log, and never panics.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0), []byte("x"))
	f.Add(uint16(4096), bytes.Repeat([]byte{0}, 100))
	f.Fuzz(func(t *testing.T, at uint16, junk []byte) {
		fs := vfs.NewMem()
		l := mustOpen(t, testOptions(fs))
		want := entries(1, 1, 5, 50)
		must(t, l.Append(Write{Range: 1, Entries: want}))
		must(t, l.Close())
		files := readAll(t, fs)
		copy(files[segmentName(1)][min(int(at), 8000):], junk)
		o := testOptions(writeAll(t, files))
		l, err := Open(o)
		if err != nil {
			return
		}
		got, err := l.Group(1).Entries(nil, 1, l.Group(1).LastIndex()+1, 1<<30)
		if err != nil && !errors.Is(err, ErrCompacted) {
			t.Fatal(err)
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, want[i].Data) {
				t.Fatalf("entry %d changed silently", i+1)
			}
		}
		must(t, l.Close())
	})
}

// TestStaleRecordsNeverCount: a record is valid nowhere but in its place.
func TestStaleRecordsNeverCount(t *testing.T) {
	b := make([]byte, headerLen)
	putHeader(b, recSeal, 1, nil)
	sealHeader(b, 11, 8192, 5)
	if _, ok := decodeHeader(b, 11, 8192, 1<<20); !ok {
		t.Fatal("refused in its place")
	}
	if _, ok := decodeHeader(b, 12, 8192, 1<<20); ok {
		t.Fatal("accepted in another segment")
	}
	if _, ok := decodeHeader(b, 11, 8200, 1<<20); ok {
		t.Fatal("accepted at another offset")
	}
}
