//go:build !linux

package process

import "errors"

func (n *Node) isolate(func(pid int) error) func() error {
	return func() error { return errors.New("no network namespaces on this system") }
}
