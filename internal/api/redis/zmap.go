package redis

import (
	"crypto/sha256"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/zmap"
)

// errWatchInTransaction: a watch would have to see more than the transaction does.
const errWatchInTransaction command.Error = "ERR ZWATCH is not allowed within a transaction"

// zmapCommands are those of the ordered map that need more than a transaction.
func zmapCommands() []Command {
	const flags = command.FlagReadonly | command.FlagNoScript | command.FlagNoMulti
	rows := []Command{
		{Name: "zgetrangesize", Summary: "Estimates the bytes stored in a range of the ordered map.", Arity: 3, Flags: flags, Kind: command.KindPaged, Handler: zgetrangesizeCommand},
		{Name: "zwatch", Summary: "Waits until the value of a key of the ordered map changes.", Arity: 2, Flags: flags | command.FlagBlocking,
			Kind: command.KindConnection, Handler: zwatchCommand},
	}
	for i := range rows {
		rows[i].Since, rows[i].Group = "0.1.0", command.GroupZMap
	}
	return rows
}

// zgetrangesizeCommand asks the store and not the transaction, so it runs outside
// of one; the empty transaction is there to notice a namespace that is gone.
func zgetrangesizeCommand(c *Call) error {
	span, err := c.ZMap().Span(data.Bound(c.Args[1], 0), data.Bound(c.Args[2], 0))
	if err != nil {
		return err
	}
	if c.s.tx == nil {
		if err := c.Transact(func(kv.Txn) error { return nil }); err != nil {
			return err
		}
	}
	return c.Integer(c.s.srv.db.EstimateSize(span))
}

// fingerprint stands for a value that may be absent.
type fingerprint struct {
	present bool
	sum     [sha256.Size]byte
}

// zwatchCommand waits until the value differs from what it was. It ends early
// when the namespace is taken away, the client disconnects or the server stops.
func zwatchCommand(c *Call) error {
	s, x := c.s, c.x
	if s.tx != nil {
		return errWatchInTransaction
	}
	if len(c.Args[1]) > zmap.KeyBytes {
		return zmap.ErrKeyTooLarge
	}
	key := string(c.Args[1])
	gone := s.watchDisconnect()
	defer gone.stop()
	var first fingerprint
	for round := 0; ; round++ {
		if err := s.allowed(c.cmd, c.Args); err != nil { // any more
			return s.refuse(c.cmd, err, fromClient)
		}
		now, watch, err := c.observe([]byte(key))
		if err != nil {
			return err
		}
		if round == 0 {
			first = now
		} else if now != first {
			watch.Close()
			c.W.OK()
			return nil
		}
		var term <-chan struct{}
		if s.ns.ID != catalog.DefaultID {
			term = s.ns.term.Changed()
		}
		s.flush(x)
		x.mark = 0
		began := s.srv.clock()
		s.srv.waiting.Add(1)
		err = gone.await(watch.Changed(), term)
		s.srv.waiting.Add(-1)
		x.idle += s.srv.clock() - began
		watch.Close()
		if err != nil {
			return err
		}
	}
}

// observe watches a key and then reads it, so that no change goes unnoticed.
func (c *Call) observe(key []byte) (now fingerprint, w kv.Watch, err error) {
	s := c.s
	if err := s.resolveNamespace(c.x); err != nil {
		return now, nil, err
	}
	c.DB = c.x.database(s)
	m := c.ZMap()
	w = s.srv.db.Watch(m.Row(key))
	err = s.run(c.x, false, kv.Func(func(t kv.Txn) error {
		value, err := zmap.Get(t, m, key)
		now = fingerprint{present: value != nil, sum: sha256.Sum256(value)}
		return err
	}))
	if err != nil {
		w.Close()
		return now, nil, err
	}
	return now, w, nil
}

// disconnect notices that the client of a blocked command has gone. A command
// that blocks keeps its connection from being read, so somebody else has to look.
type disconnect struct {
	s     *session
	ended chan struct{} // closed when the client has gone
	quit  chan struct{} // closed by stop
	done  chan struct{} // closed when run has ended
}

// hangupEvery is how often a client that has sent more is asked whether it is
// still there: its data hides the end of the stream.
const hangupEvery = time.Second

func (s *session) watchDisconnect() *disconnect {
	d := &disconnect{s: s, ended: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(d.done)
		if d.run() {
			close(d.ended)
		}
	}()
	return d
}

// run waits for the end of the connection, or for stop; it reports which it was.
func (d *disconnect) run() (ended bool) {
	raw := d.s.out.Raw()
	if raw != nil {
		gone := false
		err := raw.Read(func(fd uintptr) bool {
			var b [1]byte
			n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
			gone = n <= 0
			return err != syscall.EAGAIN && err != syscall.EINTR
		})
		if err == nil && gone || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
	}
	tick := time.NewTicker(hangupEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.quit:
			return false
		case <-tick.C:
			if d.s.out.IsClosed() || raw != nil && hungUp(raw) {
				return true
			}
		}
	}
}

// await waits until one of the channels is closed; it fails when there is nobody
// left to wait.
func (d *disconnect) await(a, b <-chan struct{}) error {
	select {
	case <-a:
	case <-b:
	case <-d.ended:
		d.s.closing = true
		return base.ErrClosed
	case <-d.s.srv.stopping:
		return base.ErrShuttingDown
	}
	return nil
}

// stop ends the goroutine and makes the connection readable again.
func (d *disconnect) stop() {
	s := d.s
	s.unread = true
	close(d.quit)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails only for a connection that has ended
	<-d.done
	_ = s.conn.SetReadDeadline(time.Time{})
	if s.poked.Load() { // by somebody whose deadline was just taken away
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	}
}
