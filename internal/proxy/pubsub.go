package proxy

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// pushes is the connection to the deciding side over which a client is subscribed. What comes
// there goes to the client between its replies. When another side decides the client is
// subscribed there.
type pushes struct {
	s      *session
	marks  chan struct{} // an answer to mark has come
	failed chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	conn  *peer.Conn
	side  Side
	names map[string][]string // of channels, by the command that subscribes to them
	deaf  bool                // confirmations are not the client's: they were had before
}

var errClosed = errors.New("the connection was closed")

// mark asks for an answer behind all confirmations that came before.
const mark = "strata-proxy-mark"

func (s *session) subscribed() bool {
	if s.push == nil {
		return false
	}
	s.push.mu.Lock()
	defer s.push.mu.Unlock()
	for _, l := range s.push.names {
		if len(l) > 0 {
			return true
		}
	}
	return false
}

// subscribe passes a command of the family, and waits until it was confirmed.
func (s *session) subscribe(args [][]byte) {
	s.flush()
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	if s.push == nil {
		s.push = &pushes{s: s, names: map[string][]string{}}
	}
	err := s.push.at(s.p.mode.decider())
	if err == nil {
		err = s.push.send(resp.AppendCommand(nil, args...))
	}
	if err != nil {
		s.broken(err, 1)
	}
}

// at brings the subscriptions to a side.
func (u *pushes) at(side Side) error {
	if u.conn != nil && u.side == side {
		return nil
	}
	u.close()
	c, err := peer.Dial(u.s.p.ctx, &u.s.p.cfg.Servers[side])
	if err == nil {
		err = c.Hello(u.s.proto)
	}
	if err != nil {
		return err
	}
	c.Disarm()
	u.mu.Lock()
	u.conn, u.side, u.deaf = c, side, true
	var again []byte
	for command, names := range u.names {
		if len(names) > 0 {
			again = resp.AppendCommand(again, append([]string{command}, names...)...)
		}
	}
	u.mu.Unlock()
	u.marks, u.failed, u.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go u.read(c)
	if len(again) > 0 {
		err = u.send(again)
	}
	u.mu.Lock()
	u.deaf = false
	u.mu.Unlock()
	return err
}

// send sends commands and waits until they were answered.
func (u *pushes) send(raw []byte) error {
	raw = resp.AppendCommand(raw, "PING", mark)
	_ = u.conn.SetWriteDeadline(time.Now().Add(u.conn.Server.Timeout))
	if _, err := u.conn.Write(raw); err != nil {
		return err
	}
	select {
	case <-u.marks:
		return nil
	case <-u.failed:
		return errClosed
	case <-time.After(u.conn.Server.Timeout):
		return context.DeadlineExceeded
	}
}

// close ends the connection; the names stay.
func (u *pushes) close() {
	u.mu.Lock()
	c := u.conn
	u.conn = nil
	u.mu.Unlock()
	if c != nil {
		_ = c.Close()
		select {
		case <-u.done:
		case <-time.After(stallWithLocks): // the client does not read
			_ = u.s.conn.Close()
			<-u.done
		}
	}
}

// read passes what comes.
func (u *pushes) read(c *peer.Conn) {
	defer close(u.done)
	defer close(u.failed)
	for {
		got := captured{most: limits.SubscriberOutputBytes}
		if _, err := c.Replies.Next(&got); err != nil || got.more {
			u.mu.Lock()
			lost := u.conn == c
			u.mu.Unlock()
			if lost { // the client must subscribe again, as it would without a proxy
				_ = u.s.conn.Close()
			}
			return
		}
		if bytes.Contains(got.b, []byte(mark)) && u.marked(got.b) {
			continue
		}
		if !u.note(got.b) {
			continue
		}
		u.s.wmu.Lock()
		_ = u.s.conn.SetWriteDeadline(time.Now().Add(limits.ConnectionStall))
		_, err := u.s.conn.Write(got.b)
		u.s.wmu.Unlock()
		if err != nil {
			_ = u.s.conn.Close()
		}
	}
}

// marked reports whether a reply is that to mark.
func (u *pushes) marked(b []byte) bool {
	v, err := peer.Decode(b)
	if err != nil || string(v.Str) != mark && (len(v.Array) != 2 || string(v.Array[1].Str) != mark) {
		return false
	}
	u.marks <- struct{}{}
	return true
}

// note keeps account of confirmations, and reports whether the client shall see the message.
func (u *pushes) note(b []byte) bool {
	if !bytes.Contains(b[:min(len(b), 32)], []byte("subscribe\r\n")) {
		return true
	}
	v, err := peer.Decode(b)
	if err != nil || len(v.Array) != 3 {
		return true
	}
	kind := strings.ToUpper(string(v.Array[0].Str))
	command, added := strings.Replace(kind, "UNSUB", "SUB", 1), !strings.Contains(kind, "UNSUB")
	name := string(v.Array[1].Str)
	u.mu.Lock()
	defer u.mu.Unlock()
	had := slices.Contains(u.names[command], name)
	switch {
	case added && !had:
		u.names[command] = append(u.names[command], name)
	case !added && had:
		u.names[command] = slices.DeleteFunc(u.names[command], func(x string) bool { return x == name })
	}
	return !u.deaf
}

// movePushes subscribes all clients at the side that decides now. Who calls it holds the gate alone.
func (p *Proxy) movePushes() {
	p.clients.Lock()
	var all []*pushes
	for s := range p.clients.sessions {
		if s.push != nil {
			all = append(all, s.push)
		}
	}
	p.clients.Unlock()
	for _, u := range all {
		if err := u.at(p.mode.decider()); err != nil {
			_ = u.s.conn.Close()
		}
	}
}
