package proxy

import (
	"bytes"
	"crypto/subtle"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// batchBytes and batchCommands bound what is sent at once to the deciding side: it must
	// fit into sockets, since replies are read when all is sent.
	batchBytes    = limits.ProxyBatchBytes
	batchCommands = limits.ProxyBatchCommands
	// flushBytes is from how much on replies go to the client before all of a batch are there.
	flushBytes = 64 << 10
	// heldBytes is how much of replies one session keeps while it has locks, heldBytesAll all
	// sessions together: beyond, replies go out, locks or not, within stallWithLocks.
	heldBytes      = limits.ProxyHeldBytes
	heldBytesAll   = limits.ProxyHeldBytesAll
	stallWithLocks = 2 * time.Second
)

// session is a client's connection. It has a connection of its own to the deciding side, so
// that what it sends is executed in its order and what belongs to a connection (WATCH, MULTI)
// works as without a proxy.
type session struct {
	p    *Proxy
	conn net.Conn

	in     resp.ReadBuffer
	parser resp.Parser
	again  resp.Parser // for commands that were parsed before
	batch  batch

	db, proto int
	name      []byte
	authed    bool
	quitting  bool
	muted     muting

	back     *peer.Conn
	backSide Side
	tainted  bool // the connection has state of which the proxy knows nothing

	multi    bool
	queued   []queued
	bytes    int // of queued
	watching bool
	orphaned bool // the watches are gone with their connection

	push *pushes // nil until the client subscribes

	// out holds replies; wmu is held while some of it is being sent, and until the reply is
	// at its end if that was not all of it.
	out     []byte
	wmu     sync.Mutex
	locked  bool // wmu is held since a part of a reply was sent
	hold    bool // replies are kept: locks are held
	counted int  // bytes of out that count as kept by the proxy
	quiet   bool // the client does not want replies
	flushes int
	dead    bool
}

// muting is what CLIENT REPLY said.
type muting uint8

const (
	speaking muting = iota
	skipping        // the next reply is not wanted
	silent          // none is
)

// queued is a command between MULTI and EXEC.
type queued struct {
	t   *trait
	raw []byte
}

func (q *queued) args() [][]byte {
	parser := resp.NewParser(resp.Limits{})
	args, _, _ := parser.Next(q.raw)
	return args
}

func newSession(p *Proxy, conn net.Conn) *session {
	s := &session{p: p, conn: conn, parser: resp.NewParser(resp.Limits{}), again: resp.NewParser(resp.Limits{}), proto: 2, authed: p.cfg.Password == ""}
	s.parser.Unauthenticated = !s.authed
	s.batch.s = s
	return s
}

// serve executes what the client sends, until it leaves.
func (s *session) serve() {
	defer s.leave()
	for !s.quitting && !s.dead {
		taken, failed := s.step()
		if failed != nil {
			s.out = append(append(append(s.out, '-'), failed.Error()...), "\r\n"...)
			s.flush()
			return
		}
		if taken {
			continue
		}
		s.flush()
		if s.dead || s.p.ctx.Err() != nil {
			return
		}
		n, err := s.conn.Read(s.in.Writable())
		s.in.Advance(n)
		if err != nil {
			return
		}
	}
	s.flush()
}

func (s *session) leave() {
	_ = s.conn.Close()
	if s.push != nil {
		s.push.close()
	}
	s.dropBack(!s.multi && !s.watching && !s.tainted)
}

// dropBack gives the connection to the deciding side up, to the pool if it is clean.
func (s *session) dropBack(clean bool) {
	if s.back == nil {
		return
	}
	pool := s.p.pools[s.backSide]
	if clean && len(s.name) == 0 {
		pool.put(s.back)
	} else {
		pool.drop(s.back)
	}
	s.back = nil
}

// step executes a batch of commands, or a special one. It reports false if no whole command
// has arrived.
func (s *session) step() (taken bool, err error) {
	s.batch.reset()
	off := 0
	for {
		buf := s.in.Pending()[off:]
		args, n, err := s.parser.Next(buf)
		if err != nil {
			s.executeBatch()
			return false, err
		}
		if len(args) == 0 {
			// The parser remembers how far it was, from here on.
			s.executeBatch()
			s.in.Consume(off + n)
			return s.batch.len() > 0, nil
		}
		t := s.p.commands.of(args)
		if !s.authed && t.special != authenticates && t.special != greets && t.special != quits && t.special != resets {
			if s.batch.len() == 0 {
				s.fail("NOAUTH Authentication required.")
				s.in.Consume(off + n)
				return true, nil
			}
			s.executeBatch()
			s.in.Consume(off)
			return true, nil
		}
		if s.ordinary(t, args) {
			if s.batch.room(off+n, t, args) {
				s.batch.add(t, args, off, off+n)
				off += n
				continue
			}
			s.executeBatch()
			s.in.Consume(off)
			return true, nil
		}
		if s.batch.len() > 0 {
			s.executeBatch()
			s.in.Consume(off)
			return true, nil
		}
		s.special(t, args, s.in.Pending()[off:off+n], off+n)
		return true, nil
	}
}

// ordinary reports whether a command goes with others to the deciding side.
func (s *session) ordinary(t *trait, args [][]byte) bool {
	if s.subscribed() && s.proto == 2 || s.muted != speaking {
		return false
	}
	switch t.special {
	case executes:
		return !s.orphaned && (!s.watching || s.back == nil || s.backSide == s.p.Mode().decider())
	case ordinary, begins, discards, watches, unwatches:
		return true
	case blocks:
		return s.batch.multi || (t.name == "xread" || t.name == "xreadgroup") && !waits(args)
	case strataOnly:
		return false
	}
	return false
}

func (s *session) fail(text string) {
	if s.muted == speaking {
		s.out = append(append(append(s.out, '-'), text...), "\r\n"...)
	}
}

// ensure connects to the deciding side and brings the connection to the session's state. Who
// calls it holds the gate.
func (s *session) ensure() error {
	side := s.p.mode.decider()
	if s.back != nil && s.backSide == side {
		return nil
	}
	if s.back != nil {
		s.orphaned = s.orphaned || s.watching
		s.dropBack(!s.multi && !s.watching && !s.tainted)
	}
	s.tainted = false
	c, err := s.p.pools[side].get(s.p.ctx, s.db, s.proto)
	if err != nil {
		return err
	}
	if len(s.name) > 0 {
		if err := c.Expect("CLIENT", "SETNAME", string(s.name)); err != nil {
			s.p.pools[side].drop(c)
			return err
		}
	}
	s.back, s.backSide = c, side
	if !s.multi {
		return nil
	}
	// What was queued at the side that decided before is queued again.
	err = c.Expect("MULTI")
	for i := 0; i < len(s.queued) && err == nil; i++ {
		if err = c.Send(s.queued[i].raw); err == nil {
			_, err = c.Read()
		}
	}
	if err != nil {
		s.dropBack(false)
	}
	return err
}

// Piece takes a part of a reply for the client.
func (s *session) Piece(b []byte) {
	s.out = append(s.out, b...)
	if len(s.out) < flushBytes {
		return
	}
	s.back.Arm()
	if !s.hold {
		s.send(limits.ConnectionStall)
		s.back.Arm()
		return
	}
	if len(s.out) <= 1<<20 {
		return
	}
	all := s.p.held.Add(int64(len(s.out) - s.counted))
	s.counted = len(s.out)
	if len(s.out) > heldBytes || all > heldBytesAll {
		s.send(stallWithLocks)
		s.back.Arm()
		s.uncount()
	}
}

// uncount says that the replies are no longer kept because of locks.
func (s *session) uncount() {
	if s.counted > 0 {
		s.p.held.Add(-int64(s.counted))
		s.counted = 0
	}
}

// send sends a part of a reply; until its end nobody else writes to the client.
func (s *session) send(within time.Duration) {
	if !s.locked {
		s.wmu.Lock()
		s.locked = true
	}
	s.flushes++
	s.write(within)
}

func (s *session) write(within time.Duration) {
	if len(s.out) > 0 && !s.dead && !s.quiet {
		_ = s.conn.SetWriteDeadline(time.Now().Add(within))
		if _, err := s.conn.Write(s.out); err != nil {
			s.dead = true
			_ = s.conn.Close()
		}
	}
	if s.out = s.out[:0]; cap(s.out) > 4*flushBytes {
		s.out = nil
	}
}

// flush sends the replies; the last one is at its end.
func (s *session) flush() {
	if !s.locked {
		if len(s.out) == 0 {
			return
		}
		s.wmu.Lock()
	}
	s.locked = false
	s.write(limits.ConnectionStall)
	s.wmu.Unlock()
}

// special executes a command that is the session's own business. end is behind it in what is
// pending.
func (s *session) special(t *trait, args [][]byte, raw []byte, end int) {
	if s.muted != speaking {
		s.quietly(t, args, raw, end)
		return
	}
	if s.subscribed() && s.proto == 2 && !allowedSubscribed(t.name) {
		s.fail("ERR Can't execute '" + t.name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
		s.in.Consume(end)
		return
	}
	if t.special == executes {
		s.execOrphaned()
		s.in.Consume(end)
		return
	}
	if s.multi && t.special != quits {
		// The deciding side refuses what nobody knows, and EXEC with it.
		s.forward(resp.AppendCommand(nil, "proxy-refuses-"+t.name+"-in-multi"))
		s.in.Consume(end)
		return
	}
	switch t.special {
	case blocks:
		s.block(t, args, raw, end)
		return
	case subscribes:
		s.subscribe(args)
	case authenticates:
		s.auth(args)
	case greets:
		s.hello(args)
	case selects:
		s.selectDB(args)
	case quits:
		s.out = append(s.out, "+OK\r\n"...)
		s.quitting = true
	case resets:
		s.reset()
	case manages:
		s.manage(t, args, raw)
	case strataOnly:
		s.strataOnly(t, raw)
	case refused:
		s.fail("ERR " + t.name + " is not for connections through the proxy")
	default:
		if t.name == "ping" {
			s.ping(args)
		} else {
			s.forward(raw)
		}
	}
	s.in.Consume(end)
}

// execOrphaned is EXEC after the side on which keys were watched has ceased to decide:
// whether they have changed nobody knows, so they have.
func (s *session) execOrphaned() {
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	if err := s.ensure(); err != nil {
		s.broken(err, 1)
		return
	}
	if !s.multi {
		s.fail("ERR EXEC without MULTI")
		return
	}
	if err := s.back.Expect("DISCARD"); err != nil {
		s.broken(err, 1)
		return
	}
	s.endMulti()
	w := resp.Writer{Buf: s.out, Proto: s.proto}
	w.NullArray()
	s.out = w.Buf
}

func allowedSubscribed(name string) bool {
	return specials[name] == subscribes || name == "ping" || name == "quit" || name == "reset"
}

// forward passes a command that writes nothing, and its reply.
func (s *session) forward(raw []byte) bool {
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	return s.pass(raw)
}

// pass is forward for who holds the gate. It reports whether the reply was no error.
func (s *session) pass(raw []byte) bool {
	err := s.ensure()
	if err == nil {
		err = s.back.Send(raw)
	}
	if err == nil {
		for {
			kind, failed := s.back.Replies.Next(s)
			if err = failed; err != nil || kind != resp.KindPush {
				if err == nil {
					return kind != resp.KindError
				}
				break
			}
		}
	}
	s.broken(err, 1)
	return false
}

// broken tells the client that the deciding side did not answer n commands. What happened
// to them nobody knows. Where the connection had state the client's ends, too, as it would
// without a proxy.
func (s *session) broken(err error, n int) {
	side := s.p.mode.decider()
	s.p.report.setProblem(side, err)
	for range n {
		s.fail("ERR proxy: no reply from the " + side.String() + " server: " + strings.Join(strings.Fields(errorText(err)), " "))
	}
	s.quitting = s.quitting || s.multi || s.watching || s.locked
	s.dropBack(false)
}

func (s *session) auth(args [][]byte) {
	if len(args) < 2 || len(args) > 3 {
		s.fail("ERR wrong number of arguments for 'auth' command")
		return
	}
	if s.p.cfg.Password == "" {
		s.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
		return
	}
	user := ""
	if len(args) == 3 {
		user = string(args[1])
	}
	if s.login(user, args[len(args)-1]) {
		s.out = append(s.out, "+OK\r\n"...)
	}
}

func (s *session) login(user string, password []byte) bool {
	known := user == "" || user == "default" || user == s.p.cfg.User
	if !known || subtle.ConstantTimeCompare(password, []byte(s.p.cfg.Password)) != 1 || s.p.cfg.Password == "" {
		s.fail("WRONGPASS invalid username-password pair or user is disabled.")
		return false
	}
	s.authed, s.parser.Unauthenticated = true, false
	return true
}

func (s *session) hello(args [][]byte) {
	proto := s.proto
	rest := args[1:]
	if len(rest) > 0 {
		v := string(rest[0])
		if v != "2" && v != "3" {
			s.fail("NOPROTO unsupported protocol version")
			return
		}
		proto, rest = int(v[0]-'0'), rest[1:]
	}
	var name []byte
	for len(rest) > 0 {
		switch {
		case bytes.EqualFold(rest[0], []byte("AUTH")) && len(rest) > 2:
			if s.p.cfg.Password != "" && !s.login(string(rest[1]), rest[2]) {
				return
			}
			rest = rest[3:]
		case bytes.EqualFold(rest[0], []byte("SETNAME")) && len(rest) > 1:
			name, rest = slices.Clone(rest[1]), rest[2:]
		default:
			s.fail("ERR Syntax error in HELLO option '" + string(rest[0][:min(len(rest[0]), 64)]) + "'")
			return
		}
	}
	if !s.authed {
		s.fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if s.forward(resp.AppendCommand(nil, "HELLO", strconv.Itoa(proto))) {
		s.proto, s.back.Proto = proto, proto
		if name != nil {
			s.name = name
			s.dropBack(true)
		}
	}
}

func (s *session) selectDB(args [][]byte) {
	if len(args) != 2 {
		s.fail("ERR wrong number of arguments for 'select' command")
		return
	}
	db, ok := database(args[1])
	if !ok {
		s.fail("ERR DB index is out of range")
		return
	}
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	base := s.p.cfg.Servers[s.p.mode.decider()].DB
	if s.pass(resp.AppendCommand(nil, "SELECT", strconv.Itoa(base+db))) {
		s.db, s.back.DB = db, db
	}
}

// reset ends everything that the connection has begun.
func (s *session) reset() {
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	s.multi, s.watching, s.orphaned, s.queued, s.bytes = false, false, false, nil, 0
	s.dropBack(false)
	if s.push != nil {
		s.push.close()
		s.push = nil
	}
	s.db, s.proto, s.name, s.muted = 0, 2, nil, speaking
	s.authed = s.p.cfg.Password == ""
	s.parser.Unauthenticated = !s.authed
	s.out = append(s.out, "+RESET\r\n"...)
}

// manage is CLIENT REPLY and CLIENT SETNAME.
func (s *session) manage(t *trait, args [][]byte, raw []byte) {
	if t.name == "client|setname" {
		if s.forward(raw) && len(args) == 3 {
			s.name = slices.Clone(args[2])
		}
		return
	}
	word := ""
	if len(args) == 3 {
		word = string(bytes.ToLower(args[2]))
	}
	switch word {
	case "on":
		s.out = append(s.out, "+OK\r\n"...)
	case "off":
		s.muted = silent
	case "skip":
		s.muted = skipping
	default:
		s.fail("ERR syntax error")
	}
}

// quietly executes a command whose reply the client does not want.
func (s *session) quietly(t *trait, args [][]byte, raw []byte, end int) {
	s.flush()
	was := s.muted
	s.muted, s.quiet = speaking, t.name != "client|reply"
	defer func() { s.quiet = false }()
	switch {
	case t.name == "client|reply":
		s.manage(t, args, raw)
	case s.ordinary(t, args):
		s.batch.add(t, args, end-len(raw), end)
		s.executeBatch()
		s.in.Consume(end)
		end = 0
	default:
		s.special(t, args, raw, end)
		end = 0
	}
	if end > 0 {
		s.in.Consume(end)
	}
	if s.quiet {
		if s.flush(); was == silent {
			s.muted = silent
		}
	}
}

// strataOnly are commands that Strata alone has. What they do could not be brought to a
// Redis server.
func (s *session) strataOnly(t *trait, raw []byte) {
	s.p.gate.RLock()
	defer s.p.gate.RUnlock()
	if s.p.mode != StrataOnly {
		s.fail("ERR " + t.name + " is for strata-only mode: a Redis server could not follow")
		return
	}
	s.tainted = true
	s.pass(raw)
}

func (s *session) ping(args [][]byte) {
	word := ""
	if len(args) > 1 {
		word = string(args[1])
	}
	s.out = resp.AppendCommand(s.out, "pong", word)
}
