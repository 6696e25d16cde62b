package hyperloglog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/stratadb/strata/internal/model/redis"
)

// The caller's errors.
var (
	ErrNotSketch = redis.NewError("WRONGTYPE Key is not a valid HyperLogLog string value.")
	ErrCorrupted = redis.NewError("INVALIDOBJ Corrupted HLL object detected")
)

const (
	headerBytes  = 16
	indexBits    = 14
	registers    = 1 << indexBits
	valueMax     = 64 - indexBits + 1
	denseBytes   = headerBytes + registers*6/8
	sparseMost   = 3000 // Redis's default of hll-sparse-max-bytes
	encodingAt   = 4
	dense        = 0
	sparse       = 1
	staleAt      = 15
	stale        = 0x80
	zerosMost    = 64
	valuesMost   = 4
	sparseValues = 32 // the greatest value of a sparse register
)

// sketch is such a string.
type sketch []byte

// empty is a sketch of nothing.
func empty() sketch {
	s := append(sketch("HYLL"), sparse)
	s = append(s, make([]byte, headerBytes-len(s))...)
	s[staleAt] = stale
	return zeros(registers).append(s)
}

// valid is the error of a string that is no sketch.
func valid(b []byte) error {
	if len(b) < headerBytes || string(b[:4]) != "HYLL" || b[encodingAt] > sparse || b[encodingAt] == dense && len(b) != denseBytes {
		return ErrNotSketch
	}
	return nil
}

func (s sketch) dense() bool { return s[encodingAt] == dense }

// murmur is MurmurHash64A.
func murmur(b []byte, seed uint64) uint64 {
	const m = 0xc6a4a7935bd1e995
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		h = (h ^ (k^k>>47)*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h = (h ^ h>>47) * m
	return h ^ h>>47
}

// place is an element's register and what it makes of that.
func place(element []byte) (index int, value byte) {
	h := murmur(element, 0xadc83b19)
	rest := h>>indexBits | 1<<(64-indexBits)
	return int(h & (registers - 1)), byte(bits.TrailingZeros64(rest) + 1)
}

// get is a register of a dense sketch.
func (s sketch) get(i int) byte {
	at, shift := headerBytes+i*6/8, i*6%8
	v := uint16(s[at]) >> shift
	if shift > 2 {
		v |= uint16(s[at+1]) << (8 - shift)
	}
	return byte(v & 63)
}

// put sets a register of a dense sketch.
func (s sketch) put(i int, v byte) {
	at, shift := headerBytes+i*6/8, i*6%8
	s[at] = s[at]&^(63<<shift) | v<<shift
	if shift > 2 {
		s[at+1] = s[at+1]&^(63>>(8-shift)) | v>>(8-shift)
	}
}

// run is some registers of the same value, in a sparse sketch.
type run struct {
	n    int
	v    byte
	size int // in bytes
}

func zeros(n int) run {
	if n > zerosMost {
		return run{n, 0, 2}
	}
	return run{n, 0, 1}
}

func values(n int, v byte) run { return run{n, v, 1} }

func (r run) append(b []byte) []byte {
	switch {
	case r.v > 0:
		return append(b, 0x80|(r.v-1)<<2|byte(r.n-1))
	case r.size == 2:
		return append(b, 0x40|byte((r.n-1)>>8), byte(r.n-1))
	}
	return append(b, byte(r.n-1))
}

// runAt reads a run; one with no registers is none.
func runAt(b []byte) run {
	switch {
	case len(b) == 0:
	case b[0]&0x80 != 0:
		return run{int(b[0]&3) + 1, b[0]>>2&31 + 1, 1}
	case b[0]&0x40 == 0:
		return run{int(b[0]&63) + 1, 0, 1}
	case len(b) > 1:
		return run{int(b[0]&63)<<8 + int(b[1]) + 1, 0, 2}
	}
	return run{}
}

// each visits the registers that are not zero, of a sketch of any encoding.
func (s sketch) each(visit func(i int, v byte)) error {
	if s.dense() {
		for i := range registers {
			if v := s.get(i); v > 0 {
				visit(i, v)
			}
		}
		return nil
	}
	first := 0
	for b := s[headerBytes:]; len(b) > 0; {
		r := runAt(b)
		if r.n == 0 || first+r.n > registers {
			return ErrCorrupted
		}
		for i := first; r.v > 0 && i < first+r.n; i++ {
			visit(i, r.v)
		}
		first += r.n
		b = b[r.size:]
	}
	if first != registers {
		return ErrCorrupted
	}
	return nil
}

// toDense is the sketch as a dense one.
func (s sketch) toDense() (sketch, error) {
	if s.dense() {
		return s, nil
	}
	d := make(sketch, denseBytes)
	copy(d, s[:headerBytes])
	d[encodingAt] = dense
	return d, s.each(d.put)
}

// set raises a register, and reports whether it was lower. The sketch may become another.
func (s sketch) set(i int, v byte) (sketch, bool, error) {
	switch {
	case s.dense():
		if s.get(i) >= v {
			return s, false, nil
		}
		s.put(i, v)
		return s, true, nil
	case v > sparseValues:
		return s.promoted(i, v)
	}
	at, before, first := headerBytes, headerBytes, 0
	r := runAt(s[at:])
	for r.n > 0 && i >= first+r.n {
		before, first = at, first+r.n
		at += r.size
		r = runAt(s[at:])
	}
	switch {
	case r.n == 0:
		return s, false, ErrCorrupted
	case r.v >= v:
		return s, false, nil
	}
	part := func(n int) run {
		if r.v > 0 {
			return values(n, r.v)
		}
		return zeros(n)
	}
	var split []byte
	if i > first {
		split = part(i - first).append(split)
	}
	split = values(1, v).append(split)
	if last := first + r.n - 1; i < last {
		split = part(last - i).append(split)
	}
	if more := len(split) - r.size; more > 0 && len(s)+more > sparseMost {
		return s.promoted(i, v)
	}
	s = slices.Replace(s, at, at+r.size, split...)
	return s.unite(before), true, nil
}

// promoted sets a register of the sketch as a dense one.
func (s sketch) promoted(i int, v byte) (sketch, bool, error) {
	d, err := s.toDense()
	if err != nil {
		return s, false, err
	}
	return d.set(i, v)
}

// unite makes one run of neighbours with the same value, as far as Redis looks: five runs.
func (s sketch) unite(at int) sketch {
	for looks := 5; looks > 0 && at < len(s); looks-- {
		r := runAt(s[at:])
		if r.v > 0 {
			if next := runAt(s[at+1:]); next.v == r.v && r.n+next.n <= valuesMost {
				s = slices.Replace(s, at, at+2, values(r.n+next.n, r.v).append(nil)...)
				continue
			}
		}
		at += r.size
	}
	return s
}

// histogram is how many registers have each value.
type histogram [64]int

// histogram is that of a sketch which is in order.
func (s sketch) histogram() histogram {
	h := histogram{registers}
	_ = s.each(func(_ int, v byte) { // whoever asks has looked for damage
		h[0]--
		h[v]++
	})
	return h
}

// count estimates the number of elements.
func (h *histogram) count() int64 {
	const m = float64(registers)
	z := m * tau((m-float64(h[valueMax]))/m)
	for v := valueMax - 1; v >= 1; v-- {
		z = (z + float64(h[v])) * 0.5
	}
	z += m * sigma(float64(h[0])/m)
	return int64(math.Round(0.721347520444481703680 * m * m / z)) // 1/(2 ln 2)
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for last := -1.0; z != last; {
		x *= x
		last = z
		z += float64(x * y)
		y += y
	}
	return z
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for last := -1.0; z != last; {
		x = math.Sqrt(x)
		last = z
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
	}
	return z / 3
}

// cached is what was counted last, if nothing has changed since.
func (s sketch) cached() (n int64, known bool) {
	return int64(binary.LittleEndian.Uint64(s[8:])), s[staleAt]&stale == 0
}
