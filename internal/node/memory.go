package node

import (
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/stratadb/strata/internal/limits"
)

// windowShare and rowCacheShare are the parts of the machine's memory that the windows of a
// node, and its cache of rows, may take.
const (
	windowShare   = 16
	rowCacheShare = 32
)

// windowBytes is the setting, or what suits the machine, or the container, that the node
// is in. A large window is for bursts: a write that is overwritten inside of it never
// reaches Pebble. Collected garbage comes on top of it.
func windowBytes(setting int64) int64 {
	return share(setting, windowShare, limits.WindowBytes, limits.WindowBytesMin, limits.WindowBytesMax)
}

// rowCacheBytes likewise. A row that is not there costs a read of Pebble, several times
// what the rest of a command does.
func rowCacheBytes(setting int64) int64 {
	return share(setting, rowCacheShare, limits.RowCacheBytes, limits.RowCacheBytesMin, limits.RowCacheBytesMax)
}

// share is the setting if there is one, else so small a part of the memory within bounds.
func share(setting int64, part uint64, unknown, least, most int64) int64 {
	if setting != 0 {
		return setting
	}
	memory := machineMemory()
	if memory == 0 {
		return unknown
	}
	return min(max(int64(min(memory, 1<<62)/part), least), most)
}

// machineMemory is the memory of the machine, or of the control group if it has less;
// zero if nobody can tell.
func machineMemory() uint64 {
	memory, err := memlimit.FromSystem()
	if err != nil {
		memory = 0
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit > 0 && (memory == 0 || limit < memory) {
		memory = limit
	}
	return memory
}

// gcPercent is how much the heap grows between two collections.
const gcPercent = 50

// Memory that a burst of writes has needed goes back to the system once the
// window has shrunk from loadedBytes to quietBytes.
const (
	loadedBytes  = 32 << 20
	quietBytes   = 4 << 20
	tendInterval = 2 * time.Second
)

// tendMemory gives memory back after a burst, until stop is closed.
func (n *Node) tendMemory(stop <-chan struct{}) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for loaded := false; ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		window := n.store.WindowBytes()
		switch {
		case window > loadedBytes:
			loaded = true
		case loaded && window < quietBytes:
			loaded = false
			debug.FreeOSMemory()
		}
	}
}
