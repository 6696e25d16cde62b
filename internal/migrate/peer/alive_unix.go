//go:build unix

package peer

import (
	"net"
	"syscall"
)

// Alive looks whether the server has closed an idle connection. It does not wait.
func (c *Conn) Alive() bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return true
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, failed := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		alive = failed == syscall.EAGAIN
	})
	return err == nil && alive
}
