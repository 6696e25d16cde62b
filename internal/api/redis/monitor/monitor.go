// Package monitor is what MONITOR's clients are told: a line for each command that any client has
// executed, in Redis's form.
package monitor

import (
	"strconv"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
)

// Script is the address of what scripts call.
const Script = "lua"

// Listener takes lines. It must not wait.
type Listener interface{ Tell(line []byte) }

// Hub knows the listeners. The zero value is ready.
type Hub struct {
	// Some is told whether there are any.
	Some func(some bool)
	mu   sync.Mutex
	list map[Listener]struct{}
}

// Add makes l a listener. begin is called before it is told anything, and it is told of whatever
// happens after that.
func (h *Hub) Add(l Listener, begin func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Some(true)
	begin()
	if h.list == nil {
		h.list = map[Listener]struct{}{}
	}
	h.list[l] = struct{}{}
}

// Remove takes l from the listeners.
func (h *Hub) Remove(l Listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.list, l)
	h.Some(len(h.list) > 0)
}

// Tell tells all listeners of a command.
func (h *Hub) Tell(at time.Time, db uint8, address string, args [][]byte) {
	line := Line(at, db, address, args)
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.list {
		l.Tell(line)
	}
}

// Line is what is told of a command, as a simple string of RESP.
func Line(at time.Time, db uint8, address string, args [][]byte) []byte {
	micros := at.UnixMicro()
	b := append(strconv.AppendInt([]byte{'+'}, micros/1e6, 10), '.')
	fraction := strconv.Itoa(int(1e6 + micros%1e6))
	b = append(append(b, fraction[1:]...), " ["...)
	b = append(append(strconv.AppendUint(b, uint64(db), 10), ' '), address...)
	b = append(b, ']')
	for _, a := range args {
		b = resp.AppendQuoted(append(b, ' '), a)
	}
	return append(b, '\r', '\n')
}
