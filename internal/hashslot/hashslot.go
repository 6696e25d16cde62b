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

// table holds the remainder of every byte; it is never written again.
var table = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= polynomial
			}
		}
		t[i] = crc
	}
	return t
}()

func crc16(b []byte) (crc uint16) {
	for _, c := range b {
		crc = crc<<8 ^ table[byte(crc>>8)^c]
	}
	return crc
}
