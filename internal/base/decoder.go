package base

import "encoding/binary"

// Decoder reads uvarints and byte strings until something is wrong; then it reads
// zeros. What it returns points into its bytes.
type Decoder struct {
	b   []byte
	bad bool
}

// NewDecoder reads b.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Uvarint reads a number.
func (d *Decoder) Uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

// Take reads n bytes.
func (d *Decoder) Take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

// Bytes reads a byte string with its length in front.
func (d *Decoder) Bytes() []byte { return d.Take(d.Uvarint()) }

// Count reads how many items of at least size bytes follow.
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

// Rest is everything that has not been read.
func (d *Decoder) Rest() []byte { return d.Take(uint64(len(d.b))) }

// OK reports whether everything that was read was there.
func (d *Decoder) OK() bool { return !d.bad }

// Done reports whether everything was there and nothing is left.
func (d *Decoder) Done() bool { return !d.bad && len(d.b) == 0 }

// AppendBytes appends b with its length in front.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
