//go:build amd64 || arm64

// Package prefetch tells the processor which memory will be needed soon. A lookup that
// nobody has prepared waits about 100 ns for each line that is in no cache; lines that
// are asked for together arrive together.
package prefetch

import "unsafe"

// Line asks for the cache line at p. It reads nothing that the program could see, and
// cannot fail, whatever p is.
//
//go:noescape
func Line(p unsafe.Pointer)
