package redis

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stratadb/strata/internal/api/redis/outbox"
	"github.com/stratadb/strata/internal/api/redis/saver"
	"github.com/stratadb/strata/internal/api/redis/tracking"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/netloop"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/wire/resp"
)

// outKeptBytes is the largest reply buffer that a pooled executor keeps.
const outKeptBytes = 128 << 10

// outChunkBytes is how much reply may gather before it is handed to the socket
// although more commands are waiting.
const outChunkBytes = 32 << 10

// replyMode is the state of CLIENT REPLY.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkip     // the next command gets no reply
	replySkipping // this command gets none
)

// session is one client: its connection, what it chose, and the loop that
// serves it. Except for what info and the atomics hold, it belongs to the
// connection's goroutine.
type session struct {
	srv    *Server
	id     int64
	conn   net.Conn
	loop   *netloop.Conn // conn, when a loop serves it
	home   *loop         // which one
	out    outbox.Queue
	in     resp.ReadBuffer
	parser resp.Parser

	choice
	authenticated bool
	account       atomic.Pointer[auth.Account]
	monitoring    atomic.Bool // it is told of all commands
	asked         saver.Asked
	changing      atomic.Bool // it changes users, and looks itself whether it may stay
	reply         replyMode
	multi         multi
	// tx is the interactive transaction that commands run in, if there is one.
	tx      *kv.Tx
	txState txState
	attrs   attributes
	// zmap is where the ordered map of a namespace lies.
	zmap struct {
		ns   keyspace.NamespaceID
		area base.Span
	}
	// snapshotReads is SNAPSHOTREAD.
	snapshotReads bool
	past          past
	last          lastWrite
	subs          subscriptions
	tracker       *tracking.Client // nil: it has never tracked
	tracks        bool
	keepsApart    int // how many times its writes to several ranges do not run together

	taken     taken
	piped     bool   // it has sent several commands at once
	unread    bool   // there may be more to read, of which no loop hears: read first
	closing   bool   // after the replies so far are sent
	closeNote string // why, for the log; empty for the usual reasons
	poked     atomic.Bool
	killed    atomic.Bool
	created   time.Time
	active    atomic.Int64 // coarse time of the last command, unix milliseconds
	executing atomic.Bool
	lastCmd   atomic.Pointer[Command]
	multiLen  atomic.Int32 // commands queued, -1 outside of MULTI
	watching  atomic.Int32
	inSize    atomic.Int32

	info struct {
		sync.Mutex
		name, libName, libVer string
		db                    uint8
		proto                 int
		noEvict, noTouch      bool
		unblock               chan bool // while a command blocks
		waits                 bool      // it is known where its keys are led
		subscriptions         [pubsub.Pattern + 1]int
		tracker               *tracking.Client
	}
}

// choice is what a command may change for those behind it in the same EXEC.
type choice struct {
	proto  int
	ns     Namespace
	handle *model.DB // of ns; its number is that of SELECT
	// clustered is true in cluster mode: commands for other members' slots are
	// answered MOVED. readonly is READONLY, which lets a standby serve reads.
	clustered, readonly bool
}

// choose makes c the session's choice.
func (s *session) choose(x *executor, c choice) {
	if s.choice == c {
		return
	}
	s.choice = c
	x.w.Proto, x.call.DB = c.proto, x.database(s)
	s.info.Lock()
	s.info.db, s.info.proto = c.handle.Number(), c.proto
	s.info.Unlock()
}

// executor is what the execution of commands needs and an idle connection does not.
type executor struct {
	kvs     *kv.Session
	fence   catalog.Fence
	shards  *catalog.ShardTable // that the command was checked against; nil: it was not
	w       resp.Writer
	mark    int // where the running command's reply begins
	call    Call
	tickets []base.Ticket // one per log: what the replies in w depend on
	// published is what the transaction sends to channels when it has committed.
	published []pubsub.Message
	attempt   attempt
	watched   struct{ of, db *model.DB } // a database, and the same one with the executor as its sink
	// waits says that the command was not executed, because a loop must not wait for it.
	waits  bool
	sample uint32
	// distant says that nodes may have to be asked, exact that the next command is measured
	// whatever it is.
	distant, exact bool
	refusals       []auth.Refusal // of the transaction that runs
	// overheard are the commands that scripts have called, for monitors.
	overheard []overheard
	queueAt   int           // which of the commands of an EXEC runs
	idle      time.Duration // how long the running command has waited for others to do something
	ahead     ahead

	together together
	ran      int       // how many commands of what has arrived have run
	script   *scripted // nil: it has run none
	sole     [1]queued // the running command
	rows     []byte    // keys of header rows
	heads    [][]byte  // the same, one by one
}

// Do implements kv.Closure for a single command.
func (x *executor) Do(t kv.Txn) error {
	x.w.Buf = x.w.Buf[:x.mark]
	c := &x.call
	c.Txn = t
	if c.DB != nil && c.cmd.Keys.Several() {
		x.sole[0] = queued{c.cmd, c.Args}
		x.foresee(c.s, x.sole[:], t)
	}
	return c.cmd.Handler(c)
}

// note makes the replies in w wait for t.
func (x *executor) note(t base.Ticket) {
	if t.Pos == 0 {
		return
	}
	for i := range x.tickets {
		if x.tickets[i].Log == t.Log {
			x.tickets[i].Pos = max(x.tickets[i].Pos, t.Pos)
			return
		}
	}
	x.tickets = append(x.tickets, t)
}

// serve is the connection's goroutine. It begins with what a loop has left, and
// ends with the connection or when a loop can go on.
func (s *session) serve() {
	onLoop := false
	defer func() {
		if !onLoop {
			s.end()
		}
	}()
	s.executeBuffered(false)
	for !s.closing {
		if s.loop != nil && s.tx == nil && !s.unread && s.loop.Park() {
			onLoop = true // from here on it is the loop's
			return
		}
		n, err := s.read()
		if err != nil {
			if s.pokedOnly(err) {
				continue
			}
			break
		}
		s.arrived(n)
		s.executeBuffered(false)
	}
}

// arrived takes note of n bytes in the room that was offered.
func (s *session) arrived(n int) {
	s.in.Advance(n)
	s.srv.stats.received.Add(int64(n))
	s.active.Store(s.srv.coarse.Load())
}

// read waits for bytes and leaves them in the room that Advance acknowledges. Those that
// fill it may not be all that are there.
func (s *session) read() (int, error) {
	if s.in.Size() == 0 && s.out.Raw() != nil {
		return s.readIdle()
	}
	room := s.in.Writable()
	n, err := s.conn.Read(room)
	s.unread = n == len(room)
	return n, err
}

var idleReads = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// readIdle waits without holding a buffer: it takes one when bytes are there.
func (s *session) readIdle() (n int, err error) {
	var rerr error
	err = s.out.Raw().Read(func(fd uintptr) bool {
		buf := idleReads.Get().(*[4 << 10]byte)
		defer idleReads.Put(buf)
		for {
			n, rerr = syscall.Read(int(fd), buf[:])
			if rerr != syscall.EINTR {
				break
			}
		}
		if rerr == syscall.EAGAIN {
			return false
		}
		if n > 0 {
			copy(s.in.Writable(), buf[:n])
		}
		s.unread = n == len(buf)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case rerr != nil:
		return 0, rerr
	case n <= 0:
		return 0, io.EOF
	}
	return n, nil
}

// pokedOnly handles a read that ended because somebody wants the connection's
// attention, and reports whether the connection goes on.
func (s *session) pokedOnly(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || s.killed.Load() || s.srv.closing.Load() {
		return false
	}
	s.poked.Store(false)
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	if s.srv.closing.Load() { // whose poke may have been lost in between
		return false
	}
	if t := s.srv.settings.timeout.Load(); t > 0 && s.idleFor() >= time.Duration(t)*time.Second && s.tx == nil && s.subs.all() == 0 && !s.monitoring.Load() {
		return false
	}
	s.in.Release()
	s.inSize.Store(int32(s.in.Size()))
	return true
}

func (s *session) idleFor() time.Duration {
	return time.Duration(s.srv.coarse.Load()-s.active.Load()) * time.Millisecond
}

// poke ends the connection's current read.
func (s *session) poke() {
	if s.poked.CompareAndSwap(false, true) {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails only for a connection that has ended
	}
}

// kill ends the connection from any goroutine; its replies are dropped.
func (s *session) kill() {
	s.killed.Store(true)
	s.out.Close()
}

// end waits for the replies to go out and gives everything back.
func (s *session) end() {
	if !s.killed.Load() {
		s.out.WaitBelow(0)
	}
	s.out.Close()
	s.out.Wait()
	s.dropTransaction()
	s.unsubscribeAll()
	s.unmonitor()
	s.untrack()
	if s.tracker != nil {
		s.tracker.Close()
	}
	s.in = resp.ReadBuffer{}
	if s.closeNote != "" {
		s.srv.log.Warn("connection closed", slog.String("reason", s.closeNote), slog.String("client", s.conn.RemoteAddr().String()))
	}
	s.srv.forget(s)
}

// dropTransaction forgets MULTI, WATCH and an interactive transaction.
func (s *session) dropTransaction() {
	s.discardMulti()
	s.unwatch()
	if s.tx != nil {
		s.tx.Rollback()
		s.tx = nil
	}
}

// executeBuffered runs every command that has arrived. On a loop it stops before
// one that may have to wait, and answers false.
func (s *session) executeBuffered(onLoop bool) (all bool) {
	s.executing.Store(true)
	defer s.executing.Store(false)
	defer func() { s.inSize.Store(int32(s.in.Size())) }()
	x := s.srv.takeExecutor()
	x.w.Proto = s.proto
	x.kvs.Quiet, x.kvs.Prompt, x.waits = onLoop, onLoop, false
	x.distant, x.exact = !s.srv.db.Local(), !s.taken.single
	x.ahead.commands, x.together.apart, x.ran = 0, 0, 0
	if s.taken.single {
		x.ahead.commands, s.taken.single = 2, false
	}
	defer func() {
		if p := recover(); p != nil {
			s.crashed(x, p, debug.Stack())
			all = true
			return
		}
		s.srv.giveExecutor(x)
	}()
	for {
		s.parser.Unauthenticated = !s.authenticated
		if n := s.together(x, onLoop); n > 0 {
			s.in.Consume(n)
		} else if more, here := s.one(x, onLoop); !here {
			s.flush(x)
			return false
		} else if !more {
			break
		}
		if len(x.w.Buf) >= outChunkBytes {
			s.flush(x)
			if s.out.Congested(s.srv.outputBytes) {
				if onLoop {
					return false
				}
				if !s.awaitRoom() {
					return true
				}
			}
		}
	}
	s.piped = x.ran > 1
	s.flush(x)
	if s.out.Congested(s.srv.outputBytes) {
		if onLoop {
			return false
		}
		s.awaitRoom()
	}
	return true
}

// one takes the next command and runs it. more is false when no other one can follow, here
// when a loop has to leave it to a goroutine.
func (s *session) one(x *executor, onLoop bool) (more, here bool) {
	if x.waits { // those that were to run together
		return false, false
	}
	if x.ahead.commands--; x.ahead.commands <= 0 {
		s.lookAhead(&x.ahead)
	}
	args, n, err := s.parser.Next(s.in.Pending())
	if len(args) > 0 {
		cmd := s.srv.table.Resolve(args)
		if onLoop && !s.staysOnLoop(cmd) {
			return false, false
		}
		if s.execute(x, cmd, args); x.waits {
			return false, false
		}
		if s.tracks && !s.multi.open && (cmd == nil || !strings.HasPrefix(cmd.FullName(), "client|")) {
			s.tracker.Caching = false
		}
	}
	s.in.Consume(n)
	if err != nil {
		s.protocolError(x, err)
	}
	if len(args) > 0 {
		x.ran++
	}
	s.piped = s.piped || len(s.in.Pending()) > 0
	return len(args) > 0 && !s.closing, true
}

// flush hands the replies to the output queue.
func (s *session) flush(x *executor) {
	if len(x.w.Buf) > 0 {
		if x.kvs.Quiet {
			s.out.Hold(&s.home.held, x.w.Buf, x.tickets)
		} else {
			s.out.Submit(x.w.Buf, x.tickets)
		}
		x.w.Reset(outKeptBytes)
	}
	clear(x.tickets)
	x.tickets = x.tickets[:0]
	if s.tracks {
		s.tracker.Release()
	}
}

// awaitRoom waits while too many replies are unsent (D3).
func (s *session) awaitRoom() bool {
	if !s.out.WaitBelow(s.srv.outputBytes / 2) {
		s.closing = true
	}
	return !s.closing
}

// crashed answers a command that panicked and ends the connection; the executor
// is lost, because nobody knows what state it is in.
func (s *session) crashed(x *executor, p any, stack []byte) {
	name := ""
	if cmd := x.call.cmd; cmd != nil {
		name = cmd.FullName()
	}
	s.srv.log.Error("panic in a command", slog.String("command", name), slog.Any("panic", p), slog.String("stack", string(stack)))
	s.srv.stats.countError(string(errInternal))
	x.w.Buf = x.w.Buf[:min(x.mark, len(x.w.Buf))]
	x.w.Error(string(errInternal))
	s.closing = true
	s.flush(x)
}

func (s *session) protocolError(x *executor, err error) {
	var p *resp.ProtocolError
	if errors.As(err, &p) {
		x.w.Error(p.Error())
		s.srv.stats.countError(p.Error())
	}
	s.closing = true
}
