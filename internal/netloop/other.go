//go:build !linux

package netloop

import "net"

// Loop does not exist on this system.
type Loop struct{}

// Conn does not exist on this system.
type Conn struct{ net.Conn }

// New answers ErrUnsupported.
func New() (*Loop, error) { return nil, ErrUnsupported }

// Adopt answers ErrUnsupported.
func (*Loop) Adopt(*net.TCPConn) (*Conn, error) { return nil, ErrUnsupported }

// Run answers ErrUnsupported.
func (*Loop) Run(func([]Handler), func()) error { return ErrUnsupported }

// Close does nothing.
func (*Loop) Close() {}

// Release does nothing.
func (*Loop) Release() error { return nil }

// Start answers ErrUnsupported.
func (*Conn) Start(Handler) error { return ErrUnsupported }

// Leave answers false.
func (*Conn) Leave() bool { return false }

// TryRead answers ErrUnsupported.
func (*Conn) TryRead([]byte) (int, error) { return 0, ErrUnsupported }

// TryWrite answers ErrUnsupported.
func (*Conn) TryWrite([]byte) (int, error) { return 0, ErrUnsupported }

// Park answers false.
func (*Conn) Park() bool { return false }

// Took does nothing.
func (*Conn) Took() {}

// Poked answers false.
func (*Conn) Poked() bool { return false }

// Ending answers false.
func (*Conn) Ending() bool { return false }
