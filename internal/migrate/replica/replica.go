package replica

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Position is how far one has followed: all bytes up to Offset of the history with that id.
type Position struct {
	ID     string
	Offset int64
}

// ErrRefused says that a server will not be followed, now or ever.
var ErrRefused = errors.New("the server refuses to be followed")

const (
	ackEvery  = time.Second
	markBytes = 40 // of the end of a file whose length is not known before
	readBytes = 64 << 10
)

// Link is a connection that follows a server. Next is for one goroutine.
type Link struct {
	// Full says that a Snapshot comes first.
	Full bool
	// From is where the commands begin.
	From Position

	conn     *peer.Conn
	in       *bufio.Reader
	spool    *spool
	commands *resp.Decoder
	read     counted
	received atomic.Int64
	done     atomic.Int64 // the offset to acknowledge
	sending  sync.Mutex
	stopped  chan struct{}
	workers  sync.WaitGroup
	once     sync.Once
}

// Dial asks a server for what comes behind a position; one without an id is none.
func Dial(ctx context.Context, s *peer.Server, from Position) (*Link, error) {
	conn, err := peer.Dial(ctx, s)
	if err != nil {
		return nil, err
	}
	l := &Link{conn: conn, stopped: make(chan struct{})}
	if err := l.greet(from); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return l, nil
}

func (l *Link) greet(from Position) error {
	for _, command := range [][]string{{"PING"}, {"REPLCONF", "listening-port", "0"}, {"REPLCONF", "capa", "eof", "capa", "psync2"}} {
		if err := l.conn.Expect(command...); err != nil {
			return errors.CombineErrors(ErrRefused, err)
		}
	}
	ask := []string{"PSYNC", "?", "-1"}
	if from.ID != "" {
		ask = []string{"PSYNC", from.ID, strconv.FormatInt(from.Offset+1, 10)}
	}
	if err := l.conn.Send(resp.AppendCommand(nil, ask...)); err != nil {
		return err
	}
	l.in = bufio.NewReaderSize(l.conn.Conn, readBytes)
	line, err := l.line()
	if err != nil {
		return err
	}
	words := strings.Fields(line)
	switch {
	case len(words) == 3 && words[0] == "+FULLRESYNC":
		l.Full, l.From.ID = true, words[1]
		if l.From.Offset, err = strconv.ParseInt(words[2], 10, 64); err != nil {
			return errors.Wrapf(ErrRefused, "it answered %q", line)
		}
	case len(words) > 0 && words[0] == "+CONTINUE":
		l.From = from
		if len(words) > 1 {
			l.From.ID = words[1]
		}
	default:
		return errors.Wrapf(ErrRefused, "it answered %q", line)
	}
	return nil
}

// line reads a line; empty ones only say that the server is there.
func (l *Link) line() (string, error) {
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(l.conn.Server.Timeout)); err != nil {
			return "", err
		}
		text, err := l.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			return text, nil
		}
	}
}

// Snapshot writes the file to w.
func (l *Link) Snapshot(w io.Writer) error {
	head, err := l.line()
	if err != nil {
		return err
	}
	size, found := strings.CutPrefix(head, "$")
	if mark, unknown := strings.CutPrefix(size, "EOF:"); found && unknown && len(mark) == markBytes {
		return l.until(w, []byte(mark))
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || !found || n < 0 {
		return errors.Wrapf(ErrRefused, "in place of a file it sent %q", head)
	}
	for n > 0 {
		part := min(n, readBytes)
		if err := l.conn.SetReadDeadline(time.Now().Add(l.conn.Server.Timeout)); err != nil {
			return err
		}
		if _, err := io.CopyN(w, l.in, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// until copies what stands before a mark. Nothing comes behind it before it is acknowledged.
func (l *Link) until(w io.Writer, mark []byte) error {
	var kept []byte
	chunk := make([]byte, readBytes)
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(l.conn.Server.Timeout)); err != nil {
			return err
		}
		n, err := l.in.Read(chunk)
		if err != nil {
			return err
		}
		kept = append(kept, chunk[:n]...)
		whole := bytes.HasSuffix(kept, mark)
		ready := max(len(kept)-markBytes, 0)
		if _, err := w.Write(kept[:ready]); err != nil || whole {
			return err
		}
		kept = append(kept[:0], kept[ready:]...)
	}
}

// Stream begins to receive commands, into an empty file, which is the link's then.
func (l *Link) Stream(f File) {
	l.spool = newSpool(f)
	l.commands = resp.NewDecoder(&l.read, resp.DecoderLimits{})
	l.read.r = l.spool
	l.done.Store(l.From.Offset)
	l.received.Store(l.From.Offset)
	l.workers.Go(l.receive)
	l.workers.Go(l.acknowledge)
}

func (l *Link) receive() {
	chunk := make([]byte, readBytes)
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(l.conn.Server.Timeout))
		n, err := l.in.Read(chunk)
		if n > 0 {
			l.received.Add(int64(n))
			if _, failed := l.spool.Write(chunk[:n]); failed != nil {
				err = failed
			}
		}
		if err != nil {
			l.spool.end(errors.Wrap(err, "the link to the source"))
			return
		}
	}
}

func (l *Link) acknowledge() {
	tick := time.NewTicker(ackEvery)
	defer tick.Stop()
	for {
		if l.send() != nil {
			return // who receives finds out
		}
		select {
		case <-l.stopped:
			return
		case <-tick.C:
		}
	}
}

func (l *Link) send() error {
	l.sending.Lock()
	defer l.sending.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.conn.Server.Timeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(resp.AppendCommand(nil, "REPLCONF", "ACK", strconv.FormatInt(l.done.Load(), 10)))
	return err
}

// counted counts what passes.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// Next is the next command and the offset behind it.
func (l *Link) Next() (args [][]byte, offset int64, err error) {
	v, err := l.commands.Decode()
	if err != nil {
		return nil, 0, err
	}
	for _, a := range v.Array {
		args = append(args, a.Str)
	}
	if len(args) == 0 {
		return nil, 0, errors.Newf("a command without a word at offset %d", l.offset())
	}
	return args, l.offset(), nil
}

// offset is that behind the latest command.
func (l *Link) offset() int64 {
	return l.From.Offset + l.read.n - int64(l.commands.Buffered())
}

// More reports whether Next has something to read at once.
func (l *Link) More() bool {
	waiting, _ := l.spool.waiting()
	return waiting > 0 || l.commands.Buffered() > 0
}

// Behind is how much was received that Next has not answered yet, and for how long there has been
// something.
func (l *Link) Behind() (bytes int64, d time.Duration) {
	bytes, since := l.spool.waiting()
	if bytes == 0 {
		return 0, 0
	}
	return bytes, time.Since(since)
}

// Done says what has been done, and with now tells the server at once.
func (l *Link) Done(offset int64, now bool) error {
	l.done.Store(offset)
	if now {
		return l.send()
	}
	return nil
}

// Close ends the link. What was received and not taken is lost. It may be called again, and while
// Next waits, which then ends.
func (l *Link) Close() {
	l.once.Do(func() {
		close(l.stopped)
		_ = l.conn.Close()
		l.workers.Wait()
		if l.spool != nil {
			l.spool.end(io.ErrClosedPipe)
		}
	})
}

// Release gives up what Close leaves to Next.
func (l *Link) Release() {
	l.Close()
	if l.spool != nil {
		l.spool.close()
	}
}
