package redis

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
)

// multi is the state of MULTI and WATCH.
type multi struct {
	open    bool
	dirty   bool // a command was refused: EXEC aborts
	queue   []queued
	bytes   int
	watches []watched
}

// queued is a command between MULTI and EXEC.
type queued struct {
	cmd  *Command
	args [][]byte
}

// watched is a row under WATCH: a key's header. A swap of its database touches it.
type watched struct {
	watch    kv.Watch
	row      string
	expireAt int64 // when the key ends, milliseconds; 0: never
}

func transactionCommands() []Command {
	const flags = command.FlagNoScript | command.FlagLoading | command.FlagStale | command.FlagFast | command.FlagImmediate | command.FlagUnpaused | command.FlagPrompt
	return []Command{
		{Name: "multi", Summary: "Starts a transaction.", Since: "1.2.0", Group: command.GroupTransactions, Arity: 1,
			Flags: flags, Kind: command.KindConnection, Handler: multiCommand},
		{Name: "exec", Summary: "Executes all commands in a transaction.", Since: "1.2.0", Group: command.GroupTransactions, Arity: 1,
			Flags: command.FlagNoScript | command.FlagLoading | command.FlagStale | command.FlagImmediate | command.FlagPrompt, Kind: command.KindConnection, Handler: execCommand},
		{Name: "discard", Summary: "Discards a transaction.", Since: "2.0.0", Group: command.GroupTransactions, Arity: 1,
			Flags: flags, Kind: command.KindConnection, Handler: discardCommand},
		{Name: "watch", Summary: "Monitors changes to keys to determine the execution of a transaction.", Since: "2.2.0",
			Group: command.GroupTransactions, Arity: -2, Flags: flags | command.FlagSole, Keys: command.AllKeys, Kind: command.KindConnection, Handler: watchCommand},
		{Name: "unwatch", Summary: "Forgets about watched keys of a transaction.", Since: "2.2.0", Group: command.GroupTransactions, Arity: 1,
			Flags: flags &^ command.FlagImmediate, Kind: command.KindConnection, Handler: unwatchCommand},
	}
}

func multiCommand(c *Call) error {
	m := &c.s.multi
	if c.s.tx != nil {
		return errMultiInTransaction
	}
	if m.open {
		return command.Error("ERR MULTI calls can not be nested")
	}
	m.open, m.dirty = true, false
	c.s.multiLen.Store(0)
	c.W.OK()
	return nil
}

func discardCommand(c *Call) error {
	if !c.s.multi.open {
		return command.Error("ERR DISCARD without MULTI")
	}
	c.s.discardMulti()
	c.s.unwatch()
	c.W.OK()
	return nil
}

// abort discards the transaction of an EXEC that is not executed.
func (s *session) abort(why error) error {
	s.discardMulti()
	s.unwatch()
	text, _ := replyText(why)
	return command.Error("EXECABORT Transaction discarded because of: " + text)
}

func (s *session) discardMulti() {
	s.multi.open, s.multi.dirty, s.multi.bytes = false, false, 0
	s.multi.queue = nil
	s.multiLen.Store(-1)
}

// queuedOverheadBytes is what a queued argument costs beside its bytes.
const queuedOverheadBytes = 24

// enqueue keeps a command for EXEC. All its arguments are copied into one piece
// of memory.
func (s *session) enqueue(x *executor, cmd *Command, args [][]byte) {
	x.call.be(cmd)
	size := 0
	for _, a := range args {
		size += len(a)
	}
	m := &s.multi
	if m.bytes+size+queuedOverheadBytes*len(args) > limits.QueuedBytes {
		m.dirty = true
		x.fail(s, errQueueFull)
		return
	}
	m.bytes += size + queuedOverheadBytes*len(args)
	memory := make([]byte, 0, size)
	kept := make([][]byte, len(args))
	for i, a := range args {
		at := len(memory)
		memory = append(memory, a...)
		kept[i] = memory[at:len(memory):len(memory)]
	}
	m.queue = append(m.queue, queued{cmd, kept})
	s.multiLen.Store(int32(len(m.queue)))
	x.w.SimpleString("QUEUED")
}

// exec is the closure of EXEC.
type exec struct {
	x       *executor
	s       *session
	queue   []queued
	watches []watched
	before  choice
	user    *auth.Account
	expired bool
}

func execCommand(c *Call) error {
	s, x := c.s, c.x
	if !s.multi.open {
		return command.Error("ERR EXEC without MULTI")
	}
	held := s.multi
	s.discardMulti()
	err := s.exec(c, &held)
	if x.kvs.Prompt && errors.Is(err, base.ErrWouldWait) { // it comes again
		s.multi = held
		s.multiLen.Store(int32(len(held.queue)))
		return err
	}
	s.unwatch()
	return err
}

// exec executes what was queued.
func (s *session) exec(c *Call, m *multi) error {
	x := c.x
	if m.dirty {
		return errExecAbort
	}
	if s.watchDirty(x) {
		x.w.NullArray()
		return nil
	}
	e := &exec{x: x, s: s, queue: m.queue, watches: m.watches, before: s.choice, user: s.account.Load()}
	defer x.call.be(c.cmd)
	s.takeShards(x)
	if err := e.renewed(s); err != nil {
		return err
	}
	err := e.run()
	if err != nil { // nothing of it happened, not even a SELECT or AUTH
		s.choose(x, e.before)
		s.account.Store(e.user)
	}
	if err == nil && !e.expired {
		x.tellQueue(s, e.queue, e.before.handle.Number())
	}
	if e.expired || errors.Is(err, base.ErrConflict) && s.watchDirty(x) {
		x.w.Buf = x.w.Buf[:x.mark]
		x.w.NullArray()
		return nil
	}
	return err
}

func (e *exec) run() error {
	if e.s.tx != nil {
		return e.Do(e.s.tx)
	}
	x := e.x
	for _, w := range e.watches {
		x.kvs.Guards = append(x.kvs.Guards, w.watch)
	}
	defer func() {
		clear(x.kvs.Guards)
		x.kvs.Guards = x.kvs.Guards[:0]
	}()
	return e.s.run(x, true, e)
}

// renewed implements renewer.
func (e *exec) renewed(s *session) error {
	s.choose(e.x, e.before) // the attempt before may have got past a SELECT
	if err := s.resolveNamespace(e.x); err != nil {
		return err
	}
	e.before = s.choice
	for i := range e.queue {
		if err := s.checkShards(e.x, e.queue[i].cmd, e.queue[i].args); err != nil {
			return err
		}
	}
	return nil
}

// Do implements kv.Closure: it runs the queue from its start.
func (e *exec) Do(t kv.Txn) error {
	x := e.x
	x.w.Buf = x.w.Buf[:x.mark]
	e.s.choose(x, e.before)
	e.s.account.Store(e.user)
	e.expired = false
	for _, w := range e.watches {
		if w.expireAt != 0 && w.expireAt <= t.NowMillis() {
			e.expired = true
			return nil
		}
	}
	x.w.Array(len(e.queue))
	return x.doAll(e.s, e.queue, t, true)
}

func watchCommand(c *Call) error {
	s := c.s
	if s.multi.open {
		return command.Error("ERR WATCH inside MULTI is not allowed")
	}
	if err := s.resolveNamespace(c.x); err != nil {
		return err
	}
	c.DB = c.x.database(s)
	for _, key := range c.Args[1:] {
		if s.isWatched(c.DB.AppendHeaderKey(nil, key)) {
			continue
		}
		if len(s.multi.watches) >= limits.WatchesPerConnection {
			return command.Error("ERR too many watched keys")
		}
		w, err := c.watch(key)
		if err != nil {
			return err
		}
		s.multi.watches = append(s.multi.watches, w)
		s.watching.Add(1)
	}
	c.W.OK()
	return nil
}

func (s *session) isWatched(row []byte) bool {
	for i := range s.multi.watches {
		if s.multi.watches[i].row == string(row) {
			return true
		}
	}
	return false
}

// watchAttempts is how often WATCH looks for an expiry time that belongs to the
// state that it watches, before it lets EXEC fail for no reason.
const watchAttempts = 3

// watch begins to watch a key and learns when it ends, since the end of a key
// is a change although nobody may have written it yet. It looks again when the
// database was found to be elsewhere meanwhile.
func (c *Call) watch(key []byte) (watched, error) {
	for attempt := 0; ; attempt++ {
		db := c.DB
		row := db.AppendHeaderKey(nil, key)
		w := watched{watch: c.s.srv.db.Watch(row), row: string(row)}
		err := c.Transact(func(t kv.Txn) (err error) {
			w.expireAt, err = model.ExpireTime(t, c.DB, key, model.UnitMillis)
			return err
		})
		if err != nil {
			w.watch.Close()
			return w, err
		}
		w.expireAt = max(w.expireAt, 0)
		if dirty, _ := w.watch.Dirty(); c.DB == db && (!dirty || attempt >= watchAttempts) {
			return w, nil
		}
		w.watch.Close()
	}
}

func unwatchCommand(c *Call) error {
	if c.Txn == nil { // in EXEC there is nothing left to forget
		c.s.unwatch()
	}
	c.W.OK()
	return nil
}

// unwatch forgets the watched keys.
func (s *session) unwatch() {
	for i := range s.multi.watches {
		s.multi.watches[i].watch.Close()
	}
	clear(s.multi.watches)
	s.multi.watches = s.multi.watches[:0]
	s.watching.Store(0)
}

// watchDirty reports whether a watched key was written, and makes the reply wait
// for that write (R1).
func (s *session) watchDirty(x *executor) bool {
	any := false
	for i := range s.multi.watches {
		if dirty, t := s.multi.watches[i].watch.Dirty(); dirty {
			x.note(t)
			any = true
		}
	}
	return any
}
