package redis

import (
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// execute runs one command, nil for an unknown one, and leaves its reply, if any,
// in x.w. On a loop it may find out that it must be executed elsewhere (x.waits).
func (s *session) execute(x *executor, cmd *Command, args [][]byte) {
	x.mark = len(x.w.Buf)
	special := s.srv.special.Load()
	if err := s.admit(cmd, args, special); err != nil {
		x.call.be(s.srv.table.Nobody)
		if cmd != nil {
			x.call.be(cmd)
			cmd.Stats.Rejected.Add(1)
		}
		err = s.refuse(cmd, err, s.context())
		s.multi.dirty = true // matters only between MULTI and EXEC
		if cmd != nil && cmd.Name == "exec" {
			err = s.abort(err)
		}
		x.fail(s, err)
		s.mute(x)
		return
	}
	if s.lastCmd.Load() != cmd {
		s.lastCmd.Store(cmd)
	}
	if s.multi.open && cmd.Flags&command.FlagImmediate == 0 {
		s.enqueue(x, cmd, args)
		s.mute(x)
		return
	}
	if special&specialPause != 0 && cmd.Flags&command.FlagUnpaused == 0 {
		s.awaitUnpause(x, cmd)
	}
	if special&specialCache != 0 && cmd.Flags&command.FlagDenyOOM != 0 {
		s.awaitEviction(x)
	}
	x.overheard, x.refusals, x.queueAt = x.overheard[:0], x.refusals[:0], 0
	if weight := s.weight(x, cmd); weight > 0 {
		s.measured(x, cmd, args, weight)
	} else {
		s.invoke(x, cmd, args)
	}
	if x.waits {
		return
	}
	s.noteRefusals(x)
	x.exact = x.distant
	cmd.Stats.Calls.Add(1)
	if special&specialMonitors != 0 {
		s.tellMonitors(cmd, args, s.handle.Number())
		if cmd.Flags&command.FlagSkipMonitor != 0 {
			x.tellOverheard(s, 0)
		}
	}
	if s.reply != replyOn && s.mute(x) && len(x.w.Buf) == 0 {
		x.tickets = x.tickets[:0]
	}
}

// admit decides whether a command may be executed or queued.
func (s *session) admit(cmd *Command, args [][]byte, special uint32) error {
	if cmd == nil {
		if name := string(command.Truncated(args[0], 8)); name == "Host:" || name == "POST" || name == "host:" || name == "post" {
			return s.crossProtocol()
		}
		return unknownCommand(s.srv.table, args)
	}
	if !cmd.ArityFits(len(args)) || cmd.Handler == nil {
		return command.ArityError(cmd.FullName())
	}
	if !s.authenticated && cmd.Flags&command.FlagNoAuth == 0 && !s.loggedIn() {
		return errNoAuth
	}
	if s.multi.open && cmd.Flags&(command.FlagNoMulti|command.FlagUnqueued) != 0 {
		return command.Error("ERR Command not allowed inside a transaction")
	}
	if err := s.allowed(cmd, args); err != nil {
		return err
	}
	if s.proto < 3 && cmd.Flags&command.FlagSubscribed == 0 && s.subs.all() > 0 {
		return errSubscribed(cmd)
	}
	if s.clustered {
		if err := s.redirect(cmd, args); err != nil {
			return err
		}
	}
	if special&specialCache != 0 {
		return s.room(cmd, args)
	}
	return nil
}

// crossProtocol ends a connection over which a browser was made to talk.
func (s *session) crossProtocol() error {
	s.closeNote = "possible attack: it looks like somebody sends POST or Host: commands to a Redis port"
	s.closing = true
	s.reply = replyOff
	return errInternal
}

// invoke runs a command's handler in the way of its kind.
func (s *session) invoke(x *executor, cmd *Command, args [][]byte) {
	c := &x.call
	c.be(cmd)
	c.Args, c.s, c.Txn, c.SnapshotReads = args, s, nil, s.snapshotReads
	interactive := s.tx != nil
	done, err := false, error(nil)
	if s.attrs.staleMillis != 0 || s.readonly {
		done, err = s.runStale(x, cmd, args)
	}
	if !done {
		err = s.enter(x, cmd, args)
		c.DB = x.database(s)
	}
	switch {
	case done, err != nil:
	case cmd.Kind != command.KindData:
		err = cmd.Handler(c)
	case interactive:
		c.Txn = s.tx
		err = cmd.Handler(c)
	default:
		err = s.run(x, cmd.Flags&command.FlagWrite != 0, x)
	}
	if s.tracks && err == nil && (done || interactive) {
		s.trackPast(cmd, args)
	}
	if err != nil {
		if x.kvs.Prompt && errors.Is(err, base.ErrWouldWait) {
			x.w.Buf, x.waits = x.w.Buf[:x.mark], true
			return
		}
		if interactive {
			err = transactionError(err)
		}
		cmd.Stats.Failed.Add(1)
		x.fail(s, err)
	}
}

// Transact runs a closure of a command.KindPaged command, in the transaction that is open
// if there is one. The replies wait for it.
func (c *Call) Transact(fn kv.Func) error {
	if c.Txn != nil {
		return fn(c.Txn)
	}
	if c.s.tx != nil {
		return fn(c.s.tx)
	}
	return c.s.run(c.x, c.cmd.Flags&command.FlagWrite != 0, fn)
}

// Continue is Transact for one who goes on with what an earlier transaction has found: what
// namespaces and databases are called meanwhile does not matter.
func (c *Call) Continue(fn kv.Func) error {
	if c.Txn != nil || c.s.tx != nil {
		return c.Transact(fn)
	}
	c.x.attempt = attempt{c.x, fn}
	t, err := c.x.kvs.Run(&c.x.attempt)
	c.s.ended(c.x, t, err)
	return err
}

// mute takes the reply back that CLIENT REPLY asked not to be sent, and reports
// whether it did.
func (s *session) mute(x *executor) bool {
	switch s.reply {
	case replyOff:
	case replySkip:
		s.reply = replySkipping
		return false
	case replySkipping:
		s.reply = replyOn
	default:
		return false
	}
	x.w.Buf = x.w.Buf[:x.mark]
	return true
}

// wait suspends the connection while a command waits for something outside of
// the database. The replies before it go out. It returns false when the
// connection has ended meanwhile.
func (s *session) wait(x *executor, d time.Duration, wake <-chan struct{}) bool {
	s.flush(x)
	x.mark = 0
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-s.srv.stopping:
		return false
	}
	return !s.out.IsClosed()
}
