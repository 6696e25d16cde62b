package redis

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errorKindsMax bounds the error codes that are counted, as in Redis.
const errorKindsMax = 128

// serverStats is what INFO counts.
type serverStats struct {
	accepted, refused, received, sent atomic.Int64
	expired, evicted                  atomic.Int64

	mu struct {
		sync.Mutex
		errors      map[string]int64
		errorsTotal int64
		at          time.Time
		lastIn      int64
		lastOut     int64
		inPerSec    float64
		outPerSec   float64
		lastOps     int64
		opsPerSec   float64
	}
}

// countError counts an error reply by its code.
func (st *serverStats) countError(text string) {
	code, _, _ := strings.Cut(text, " ")
	st.mu.Lock()
	defer st.mu.Unlock()
	st.mu.errorsTotal++
	if st.mu.errors == nil {
		st.mu.errors = map[string]int64{}
	}
	if _, ok := st.mu.errors[code]; ok || len(st.mu.errors) < errorKindsMax {
		st.mu.errors[code]++
	}
}

// errorCounts is a copy of the counts by code.
func (st *serverStats) errorCounts() (byCode map[string]int64, total int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	byCode = make(map[string]int64, len(st.mu.errors))
	for k, v := range st.mu.errors {
		byCode[k] = v
	}
	return byCode, st.mu.errorsTotal
}

// sampleRate keeps the transfer rates of the last interval.
func (s *Server) sampleRate(now time.Time) {
	st := &s.stats
	_, ops := s.Traffic()
	in, out := st.received.Load(), st.sent.Load()
	st.mu.Lock()
	defer st.mu.Unlock()
	if d := now.Sub(st.mu.at).Seconds(); d > 0 {
		st.mu.inPerSec = float64(in-st.mu.lastIn) / d
		st.mu.outPerSec = float64(out-st.mu.lastOut) / d
		st.mu.opsPerSec = float64(max(0, ops-st.mu.lastOps)) / d
		st.mu.at, st.mu.lastIn, st.mu.lastOut, st.mu.lastOps = now, in, out, ops
	}
}

// reset is CONFIG RESETSTAT.
func (s *Server) resetStats() {
	st := &s.stats
	for _, c := range []*atomic.Int64{&st.accepted, &st.refused, &st.received, &st.sent, &st.expired, &st.evicted, &s.lookups.Hits, &s.lookups.Misses} {
		c.Store(0)
	}
	st.mu.Lock()
	st.mu.errors, st.mu.errorsTotal, st.mu.lastIn, st.mu.lastOut, st.mu.lastOps = nil, 0, 0, 0, 0
	st.mu.Unlock()
	s.table.Each(func(cmd *Command) {
		cmd.Stats.Reset()
		s.times[cmd.Number()].Reset()
	})
}

// newRunID is forty random hexadecimal digits.
func newRunID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Traffic is how many clients are connected, and how many commands they have sent since
// the start or the last CONFIG RESETSTAT.
func (s *Server) Traffic() (clients int, commands int64) {
	s.table.Each(func(cmd *Command) { commands += cmd.Stats.Calls.Load() })
	return len(s.clients()), commands
}
