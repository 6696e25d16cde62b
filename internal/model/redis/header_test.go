package redis

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// FuzzHeader feeds stored rows that say anything.
func FuzzHeader(f *testing.F) {
	for _, b := range []string{"\x11\x01\x00v", "\x11\x01\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00v", "\x11\x04\x00\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x40\x00",
		"\x12\x01\x00\x00\x02\x01f\x01v\x01g\x01w", "\x12\x03\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader(b)
		if err != nil {
			if !errors.Is(err, base.ErrCorruption) {
				t.Fatal(err)
			}
			return
		}
		out := make([]byte, h.size()+len(h.Body))
		copy(out[h.put(out):], h.Body)
		if !bytes.Equal(out, b) {
			t.Fatalf("%x became %x", b, out)
		}
		if h.Kind == TypeHash && h.Enc != encRows {
			it := iterFields(&h)
			for it.next() {
			}
			if it.err != nil && !errors.Is(it.err, base.ErrCorruption) {
				t.Fatal(it.err)
			}
		}
		if _, err := decodeFieldRow(b); err != nil && !errors.Is(err, base.ErrCorruption) {
			t.Fatal(err)
		}
	})
}
