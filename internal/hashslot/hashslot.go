// Package hashslot computes the slot of a Redis key: CRC16 (XMODEM) of the key, or
// of its tag, modulo 16384.
package hashslot

import "bytes"

// Slots is the number of slots.
const Slots = 1 << 14

// Slot is the slot of key. If key has a non-empty tag (see Tag), all keys with
// that tag share the slot.
func Slot(key []byte) uint16 { return crc16(Tag(key)) % Slots }

// Tag is the part of key that decides its slot: the bytes between the first
// opening brace and the first closing brace behind it, or the whole key if there
// are no such braces or nothing between them.
func Tag(key []byte) []byte {
	open := bytes.IndexByte(key, '{')
	if open < 0 {
		return key
	}
	size := bytes.IndexByte(key[open+1:], '}')
	if size <= 0 {
		return key
	}
	return key[open+1 : open+1+size]
}

const polynomial = 0x1021

// tables hold the remainder of every byte, the kth with k zero bytes behind it; they are
// never written again.
var tables = func() (t [8][256]uint16) {
	for i := range t[0] {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= polynomial
			}
		}
		t[0][i] = crc
	}
	for k := 1; k < len(t); k++ {
		for i, crc := range t[k-1] {
			t[k][i] = crc<<8 ^ t[0][crc>>8]
		}
	}
	return t
}()

// crc16 takes eight bytes at a time, whose look-ups do not wait for each other.
func crc16(b []byte) (crc uint16) {
	t := &tables
	for ; len(b) >= 8; b = b[8:] {
		crc = t[7][b[0]^byte(crc>>8)] ^ t[6][b[1]^byte(crc)] ^ t[5][b[2]] ^ t[4][b[3]] ^
			t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, c := range b {
		crc = crc<<8 ^ t[0][byte(crc>>8)^c]
	}
	return crc
}
