package rank

import (
	"bytes"
	"encoding/binary"
	"math"
)

// A run is a list of places: of each the length as a uvarint, and the bytes.

// next is the place at offset at of a run, and where the one behind it is; 0 if there is none.
func next(run []byte, at int) (place []byte, end int) {
	if at >= len(run) {
		return nil, 0
	}
	n, w := uint64(run[at]), 1
	if n >= 0x80 {
		n, w = binary.Uvarint(run[at:])
	}
	if w <= 0 || n == 0 || n > uint64(len(run)-at-w) {
		return nil, 0
	}
	at += w
	end = at + int(n)
	return run[at:end:end], end
}

// find is where in a run the first place stands that is not before place, and whether it is
// that one; last is the one before it.
func find(run, place []byte) (at int, last []byte, found bool, err error) {
	key := head(place, 0, len(place))
	for at < len(run) {
		p, end := next(run, at)
		if end == 0 {
			return 0, nil, false, corruptRun(run, at)
		}
		if k := head(run, end-len(p), len(p)); k > key {
			return at, last, false, nil
		} else if k == key {
			if c := bytes.Compare(p, place); c >= 0 {
				return at, last, c == 0, nil
			}
		}
		last, at = p, end
	}
	return at, last, false, nil
}

// head is the first eight bytes of the n at an offset, with zeros behind them. Of two places
// that with the lower head is the first one.
func head(b []byte, at, n int) uint64 {
	if n >= 8 {
		return binary.BigEndian.Uint64(b[at:])
	}
	if len(b)-at >= 8 { // what is behind them does not matter
		return binary.BigEndian.Uint64(b[at:]) &^ (math.MaxUint64 >> (8 * n))
	}
	var h [8]byte
	copy(h[:], b[at:at+n])
	return binary.BigEndian.Uint64(h[:])
}

func corruptRun(run []byte, at int) error {
	return corrupt("list of %d bytes is broken at %d", len(run), at)
}

// last is the last place of a run that has some.
func last(run []byte) (place []byte, err error) {
	for at := 0; at < len(run); {
		p, end := next(run, at)
		if end == 0 {
			return nil, corruptRun(run, at)
		}
		place, at = p, end
	}
	return place, nil
}

// split are the places of a run, behind others.
func split(run []byte, first ...[]byte) (places [][]byte, err error) {
	places = append(make([][]byte, 0, len(first)+len(run)/8), first...)
	for at := 0; at < len(run); {
		p, end := next(run, at)
		if end == 0 {
			return nil, corruptRun(run, at)
		}
		places, at = append(places, p), end
	}
	return places, nil
}

// count is how many places a run has.
func count(run []byte) (n int64, err error) {
	for at := 0; at < len(run); n++ {
		_, end := next(run, at)
		if end == 0 {
			return 0, corruptRun(run, at)
		}
		at = end
	}
	return n, nil
}

func uvarintLen(n int) int {
	w := 1
	for ; n >= 0x80; n >>= 7 {
		w++
	}
	return w
}

// middle is where a run of two places or more is cut: behind the first one, if it was added
// last, before the last one, or in the middle of its bytes. added is where that was.
func middle(run []byte, added int) int {
	cut := 0
	for at := 0; ; {
		_, end := next(run, at)
		switch {
		case end == len(run) && (added == at || cut == 0):
			return at
		case end == len(run):
			return cut
		case added == 0:
			return end
		case at >= len(run)/2 && cut == 0:
			cut = at
		}
		at = end
	}
}

// between is the shortest place that is not before b and behind a, which is before b.
func between(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return b[:min(n+1, len(b))]
}

// A node above the leaves has many places, and each change looks for one. So behind its run
// there are marks: where every sixteenth place is, in four bytes each, and their number in two.
const (
	markEvery = 16
	markBytes = 4
)

// marked is a run with its marks, in memory of alloc.
func marked(run []byte, alloc func(n int) []byte) []byte {
	n, _ := count(run)
	marks := int(max(n-1, 0)) / markEvery
	b := alloc(len(run) + marks*markBytes + 2)
	to := b[:copy(b, run)]
	i := 0
	for at := 0; at < len(run); i++ {
		if i > 0 && i%markEvery == 0 {
			to = binary.BigEndian.AppendUint32(to, uint32(at))
		}
		if _, at = next(run, at); at == 0 {
			break
		}
	}
	return binary.BigEndian.AppendUint16(to, uint16(marks))
}

// unmarked is the run of one with marks, and these.
func unmarked(b []byte) (run, marks []byte, err error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	n := len(b) - 2
	if n >= 0 {
		n -= int(binary.BigEndian.Uint16(b[n:])) * markBytes
	}
	if n < 0 {
		return nil, nil, corruptRun(b, len(b))
	}
	return b[:n], b[n : len(b)-2], nil
}

// findMarked is find in a run with marks.
func findMarked(run, marks, place []byte) (at int, last []byte, found bool, err error) {
	from := 0
	for lo, hi := 0, len(marks)/markBytes; lo < hi; {
		i := (lo + hi) / 2
		mark := int(binary.BigEndian.Uint32(marks[i*markBytes:]))
		p, end := next(run, mark)
		switch {
		case end == 0:
			return 0, nil, false, corruptRun(run, mark)
		case bytes.Compare(p, place) > 0:
			hi = i
		default:
			lo, from = i+1, mark
		}
	}
	at, last, found, err = find(run[from:], place)
	return at + from, last, found, err
}
