//go:build !linux

package process

import "time"

// stopped gives the threads of the process the time to stand.
func (n *Node) stopped() error {
	<-time.After(100 * time.Millisecond)
	return nil
}
