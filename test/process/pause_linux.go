package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// stopped waits until every thread of the process stands: the signal that stops them
// only sets out when it is sent, and meanwhile they go on.
func (n *Node) stopped() error {
	for {
		err := unix.Waitid(unix.P_PID, n.cmd.Process.Pid, nil, unix.WSTOPPED, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
