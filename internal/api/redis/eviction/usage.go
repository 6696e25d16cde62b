package eviction

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Usage remembers when and how often keys were used, for as long as a policy wants to
// know. Keys whose hashes agree share what is known.
type Usage struct {
	on    atomic.Bool
	cells atomic.Pointer[[usageCells]atomic.Uint32] // the second in 24 bits, Redis's logarithmic counter in 8
	start atomic.Int64                              // unix seconds
}

const (
	usageCells = 1 << 20
	secondMask = 1<<24 - 1
	// A counter begins at lfuInit, so that a new key has time to be used, grows ever more
	// slowly, and loses one every lfuDecaySeconds.
	lfuInit         = 5
	lfuLogFactor    = 10
	lfuDecaySeconds = 60
)

// Track says whether use is remembered from now on.
func (u *Usage) Track(on bool, now int64) {
	if on && !u.on.Load() {
		u.cells.Store(new([usageCells]atomic.Uint32))
		u.start.Store(now)
	}
	u.on.Store(on)
}

// On reports whether it is.
func (u *Usage) On() bool { return u.on.Load() }

// Cell is the place of a key.
func Cell(namespace uint64, db uint8, key []byte) uint32 {
	return uint32(xxhash.Sum64(key)^(namespace<<8|uint64(db))*0x9E3779B97F4A7C15) % usageCells
}

// Touch notes that a key is used at now, in unix seconds.
func (u *Usage) Touch(cell uint32, now int64) {
	cells := u.cells.Load()
	if cells == nil {
		return
	}
	old := cells[cell].Load()
	count := uint32(lfuInit)
	if old != 0 {
		count = decayed(old, u.second(now))
	}
	if count < 255 && rand.Float64()*float64(max(int(count)-lfuInit, 0)*lfuLogFactor+1) < 1 {
		count++
	}
	cells[cell].Store(u.second(now)<<8 | count)
}

// second is now in seconds of this table, from 1 on.
func (u *Usage) second(now int64) uint32 { return uint32(now-u.start.Load()+1) & secondMask }

func decayed(cell, second uint32) uint32 {
	periods := (second - cell>>8) & secondMask / lfuDecaySeconds
	return cell&0xFF - min(periods, cell&0xFF)
}

// Idle is how many seconds ago a key was used; one that never was has been idle since the
// beginning.
func (u *Usage) Idle(cell uint32, now int64) int64 {
	cells := u.cells.Load()
	if cells == nil {
		return 0
	}
	second := u.second(now)
	at := cells[cell].Load() >> 8
	if at == 0 {
		at = 1
	}
	return int64((second - at) & secondMask)
}

// Freq is Redis's logarithmic count of uses.
func (u *Usage) Freq(cell uint32, now int64) int64 {
	cells := u.cells.Load()
	if cells == nil {
		return 0
	}
	v := cells[cell].Load()
	if v == 0 {
		return 0
	}
	return int64(decayed(v, u.second(now)))
}
