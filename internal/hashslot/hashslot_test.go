package hashslot

import "testing"

func TestSlot(t *testing.T) {
	for key, want := range map[string]uint16{
		"":                     0,
		"123456789":            0x31c3,
		"foo":                  12182,
		"bar":                  5061,
		"hello":                866,
		"{user1000}.following": 3443,
		"{user1000}.followers": 3443,
		"user1000":             3443,
		"foo{}{bar}":           8363,
		"foo{{bar}}zap":        4015,
		"{bar":                 4015,
		"foo{bar}{zap}":        5061,
		"}foo{bar}":            5061,
		"\x00\xff":             7920,
	} {
		if got := Slot([]byte(key)); got != want {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	}
}

// TestSlotOfAnyLength compares with the definition, bit by bit.
func TestSlotOfAnyLength(t *testing.T) {
	key := []byte(nil)
	for n := range 100 {
		var crc uint16
		for _, c := range key {
			crc ^= uint16(c) << 8
			for range 8 {
				carry := crc & 0x8000
				if crc <<= 1; carry != 0 {
					crc ^= polynomial
				}
			}
		}
		if got := Slot(key); got != crc%Slots {
			t.Errorf("Slot(%q) = %d, want %d", key, got, crc%Slots)
		}
		key = append(key, byte(n*89+3)&^2) // never an opening brace
	}
}

func BenchmarkSlot(b *testing.B) {
	key := []byte("{user1000}.following")
	for b.Loop() {
		Slot(key)
	}
}
