//go:build !linux

package redis

import "syscall"

// hungUp reports whether the connection is closed; this platform does not tell
// about a peer that has closed its side behind data that was not read.
func hungUp(raw syscall.RawConn) bool { return raw.Control(func(uintptr) {}) != nil }
