package cli

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/wire/resp"
)

// pipe sends everything that in holds without waiting for replies, and an ECHO of
// a random text behind it, whose reply shows that all others have arrived.
func (c *client) pipe(in io.Reader) error {
	if err := c.connect(); err != nil {
		return failed(err, c.addr)
	}
	last := rand.Text()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c.conn, in)
		if err == nil {
			_, err = c.conn.Write(resp.AppendCommand([]byte("\r\n"), "ECHO", last))
		}
		if err != nil {
			_ = c.conn.Close() // ends the reader, too
		}
		sent <- err
	}()
	replies, bad := 0, 0
	for {
		v, err := c.dec.Decode()
		if err != nil {
			c.close()
			return failed(errors.CombineErrors(err, <-sent), "receiving replies")
		}
		if v.Kind == resp.KindBulk && string(v.Str) == last {
			break
		}
		replies++
		if v.Err() != nil {
			bad++
			c.print(v)
		}
	}
	if err := <-sent; err != nil {
		return failed(err, "sending")
	}
	fmt.Fprintf(c.out, "errors: %d, replies: %d\n", bad, replies)
	if bad > 0 {
		return exit(ExitFailed)
	}
	return nil
}
