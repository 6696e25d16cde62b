package redis

import (
	"log/slog"
	"net"
	"os"
	"runtime"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/outbox"
	"github.com/stratadb/strata/internal/netloop"
)

// loops serve the connections that wait for their client's next command. A
// command that may have to wait for something other than its turn takes its
// connection to a goroutine.
type loops []*loop

// loop is a loop, and the replies of its round.
type loop struct {
	*netloop.Loop
	held outbox.Held
}

// startLoops starts one loop for two processors. Where there are none, every
// connection is served by a goroutine.
func (s *Server) startLoops() {
	for i := range max(1, runtime.NumCPU()/2) {
		sockets, err := netloop.New()
		if err != nil {
			s.log.Debug("connections are served without a loop", slog.Any("error", err))
			return
		}
		l := &loop{Loop: sockets}
		s.loops = append(s.loops, l)
		f := s.flushers[i%len(s.flushers)]
		commit := func() {
			s.db.Kick()
			l.held.Release()
		}
		s.own(func() {
			var work []*outbox.Queue
			next := round{db: s.db}
			if err := l.Run(next.expect, func() { work = f.During(commit, work) }); err != nil {
				s.log.Error("connection loop failed", slog.Any("error", err))
			}
		})
	}
}

// adopt moves a fresh connection under a loop, if there is one.
func (s *session) adopt() {
	tcp, ok := s.conn.(*net.TCPConn)
	if !ok || len(s.srv.loops) == 0 {
		return
	}
	home := s.srv.loops[int(s.id)%len(s.srv.loops)]
	c, err := home.Adopt(tcp)
	if err != nil {
		s.srv.log.Debug("connection is served without a loop", slog.Any("error", err))
		return
	}
	s.conn, s.loop, s.home = c, c, home
}

// Readable implements netloop.Handler: it serves the connection on the loop as
// long as nothing has to be waited for.
func (s *session) Readable() {
	if !s.taken.done {
		s.loop.Took()
	}
	for {
		if !s.taken.done {
			s.take()
		}
		s.taken.done = false
		switch err := s.taken.err; {
		case err == netloop.ErrAgain:
			if s.loop.Poked() && !s.pokedOnly(os.ErrDeadlineExceeded) {
				go s.end()
				return
			}
			if s.loop.Park() {
				return
			}
			continue
		case err != nil:
			go s.end()
			return
		}
		if !s.executeBuffered(true) {
			if s.loop.Leave() {
				s.serve() // goes on where the loop stopped
			} else {
				go s.serve()
			}
			return
		}
		if s.closing {
			go s.end()
			return
		}
		if !s.unread && !s.loop.Ending() && s.loop.Park() {
			return
		}
	}
}

// taken is what a loop has found in the socket and not yet executed.
type taken struct {
	done   bool
	err    error
	single bool // it is one command, whose key the database expects
}

// take reads what is in the socket.
func (s *session) take() {
	room := s.in.Writable()
	n, err := s.loop.TryRead(room)
	if s.taken = (taken{done: true, err: err}); err == nil {
		s.arrived(n)
		s.unread = n == len(room)
	}
}

// staysOnLoop reports whether a command can be tried by the loop: it waits for nothing, or
// for no longer than other commands do, or says so in time.
func (s *session) staysOnLoop(cmd *Command) bool {
	switch {
	case s.tx != nil || s.srv.pause.until.Load() != 0:
		return false
	case cmd == nil:
		return true
	case cmd.Flags&command.FlagDenyOOM != 0 && s.srv.evictor.Behind():
		return false
	case s.multi.open && cmd.Flags&command.FlagImmediate == 0:
		return true // it is queued
	}
	if cmd.Flags&command.FlagPrompt != 0 {
		return cmd.Flags&command.FlagSole == 0 || s.srv.db.Local()
	}
	return cmd.Kind == command.KindData // which tells when it would have to wait after all
}
