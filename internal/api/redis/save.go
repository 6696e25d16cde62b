package redis

import (
	"io"
	"os"

	"github.com/stratadb/strata/internal/api/redis/saver"
)

// sendChunk is how much of a file is sent at once.
const sendChunk = 256 << 10

func saveCommands() []Command { return rowsOf(saver.Commands(), savingOf) }

func savingOf(c *Call) *saver.Call {
	srv := c.s.srv
	return &saver.Call{Call: &c.Call, Saver: srv.saver, Namespace: c.s.ns.ID, First: srv.namespaces.Default().ID, Asked: &c.s.asked, Own: srv.own, Send: c.send}
}

// send sends a file, as fast as the client takes it.
func (c *Call) send(f *os.File) error {
	chunk := make([]byte, sendChunk)
	for {
		n, err := f.Read(chunk)
		c.W.Buf = append(c.W.Buf, chunk[:n]...)
		c.s.flush(c.x)
		c.x.mark = 0
		if !c.s.awaitRoom() {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			c.s.closing = true // in the middle of a reply
			return nil
		}
	}
}
