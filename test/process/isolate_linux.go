package process

import (
	"io"
	"os/exec"
	"syscall"
)

// isolate makes the process one with a network of its own, which waits until begin has
// connected it.
func (n *Node) isolate(connect func(pid int) error) (begin func() error) {
	held, release := io.Pipe()
	n.cmd = exec.Command("sh", append([]string{"-c", `read -r _ && exec "$@"`, "sh"}, n.cmd.Args...)...)
	n.cmd.Stdin = held
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return func() error {
		if err := connect(n.cmd.Process.Pid); err != nil {
			return err
		}
		if _, err := release.Write([]byte("\n")); err != nil {
			return err
		}
		return release.Close()
	}
}
