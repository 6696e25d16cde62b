package bench

import (
	"bufio"
	"net"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/wire/resp"
)

const readBytes = 16 << 10

// connection reads replies without keeping them.
type connection struct {
	net.Conn
	r         *bufio.Reader
	lastError string
}

func newConnection(c net.Conn) *connection {
	return &connection{Conn: c, r: bufio.NewReaderSize(c, readBytes)}
}

func (c *connection) login(password string) error {
	if password == "" {
		return nil
	}
	if _, err := c.Write(resp.AppendCommand(nil, "AUTH", password)); err != nil {
		return err
	}
	refused, err := c.skipReply(0)
	if err == nil && refused {
		err = errors.New(c.lastError)
	}
	return err
}

// skipReply reads one reply and reports whether it is an error or, in an array,
// holds one.
func (c *connection) skipReply(depth int) (refused bool, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return false, errors.Wrap(err, "reading a reply")
	}
	if len(line) < 3 || depth > limits.RESPNesting {
		return false, errors.Wrapf(resp.ErrMalformedReply, "%q", line)
	}
	kind := line[0]
	switch kind {
	case '+', ':', '_', ',', '#', '(':
		return false, nil
	case '-':
		c.lastError = string(line[1 : len(line)-2])
		return true, nil
	}
	n, ok := redisnum.ParseInt(line[1 : len(line)-2])
	if !ok {
		return false, errors.Wrapf(resp.ErrMalformedReply, "%q", line)
	}
	switch kind {
	case '$', '=', '!':
		if n >= 0 {
			_, err = c.r.Discard(int(n) + 2)
		}
		return kind == '!', errors.Wrap(err, "reading a reply")
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return false, errors.Wrapf(resp.ErrMalformedReply, "%q", line)
	}
	for range n {
		bad, err := c.skipReply(depth + 1)
		if err != nil {
			return false, err
		}
		refused = refused || bad
	}
	if kind == '|' || kind == '>' { // attributes and pushes stand in front of the reply
		return c.skipReply(depth)
	}
	return refused, nil
}
