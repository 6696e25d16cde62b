package redis

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/scripting"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/script"
	"github.com/stratadb/strata/internal/wire/resp"
)

// A script is one transaction, and its commands are rows of the table like any other. It is
// tried three times, in ways that allow for more and more work: on the loop, if it is
// short; in a goroutine, where it may keep other writers out for a moment; and, if it
// turns out to be long, from a snapshot, where it is in nobody's way. What was tried
// before has not happened.

// errLibraries says that the libraries have changed since they were read.
var errLibraries = errors.New("the libraries have changed")

func scriptCommands() []Command {
	const flags = command.FlagNoScript | command.FlagStale | command.FlagSkipMonitor | command.FlagNoMandatoryKeys | command.FlagMovableKeys | command.FlagPrompt
	row := func(name, summary, since string, more command.Flags, handler func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupScripting, Arity: -3, Flags: flags | more,
			Categories: []string{"scripting"}, Keys: command.Keys{Find: command.CountedKeys(2)}, Kind: command.KindPaged, Handler: handler}
	}
	return []Command{
		row("eval", "Executes a server-side Lua script.", "2.6.0", 0, evalCommand),
		row("eval_ro", "Executes a read-only server-side Lua script.", "7.0.0", command.FlagReadonly, evalCommand),
		row("evalsha", "Executes a server-side Lua script by SHA1 digest.", "2.6.0", 0, evalshaCommand),
		row("evalsha_ro", "Executes a read-only server-side Lua script by SHA1 digest.", "7.0.0", command.FlagReadonly, evalshaCommand),
		row("fcall", "Invokes a function.", "7.0.0", 0, fcallCommand),
		row("fcall_ro", "Invokes a read-only function.", "7.0.0", command.FlagReadonly, fcallCommand),
	}
}

// onScripts are rows of package scripting as those of the door.
func onScripts(family func() []scripting.Command) func() []Command {
	return func() []Command {
		return rowsOf(family(), func(c *Call) *scripting.Call {
			return &scripting.Call{Call: &c.Call, Store: c.s.srv.scripts, Namespace: c.s.ns.ID, Prompt: c.x.kvs.Prompt}
		})
	}
}

// scripted is a script, or a function, that runs.
type scripted struct {
	scripting.Program
	x      *executor
	s      *session
	t      kv.Txn
	call   Call // of its commands
	w      resp.Writer
	before choice
	read   bool // one of its commands reads
}

// program is the executor's script, made anew for the running command.
func (c *Call) program() (*scripted, error) {
	p, srv := c.x.script, c.s.srv
	if p == nil {
		p = &scripted{x: c.x}
		p.call.Rand, p.call.x, p.call.W = c.Rand, c.x, &p.w
		p.call.ReadsAnyKey = p.call.readsAnyKey
		p.Store, p.Run.Host, p.Run.W = srv.scripts, p, &c.x.w
		p.Limit = func() time.Duration { return time.Duration(srv.settings.luaMillis.Load()) * time.Millisecond }
		p.Closing = srv.closing.Load
		c.x.script = p
	}
	p.s, p.call.s = c.s, c.s
	err := p.Read(c.Args, c.cmd.Flags&command.FlagReadonly != 0)
	p.call.at = p.Began
	return p, err
}

func evalCommand(c *Call) error {
	p, err := c.program()
	if err != nil {
		return err
	}
	p.Script, err = c.s.srv.scripts.Script(c.s.ns.ID, script.Digest(c.Args[1]), c.Args[1], c.x.kvs.Prompt)
	if err != nil {
		return err
	}
	return p.execute(c, p.Script.Flags)
}

func evalshaCommand(c *Call) error {
	st := c.s.srv.scripts
	digest, ok := scripting.ParseDigest(c.Args[1])
	if !ok {
		return scripting.ErrNoScript
	}
	p, err := c.program()
	if err != nil {
		return err
	}
	if p.Script = st.Engine.Script(uint64(c.s.ns.ID), digest); p.Script == nil {
		if err := c.Transact(func(t kv.Txn) (err error) {
			p.Script, err = st.Loaded(t, c.s.ns.ID, digest, c.x.kvs.Prompt)
			return err
		}); err != nil {
			return err
		}
	}
	if p.Script == nil {
		return scripting.ErrNoScript
	}
	return p.execute(c, p.Script.Flags)
}

func fcallCommand(c *Call) error {
	for {
		all, err := c.libraries()
		if err != nil {
			return err
		}
		lib := all.Of(c.Args[1])
		if lib == nil {
			return scripting.ErrNoFunction
		}
		p, err := c.program()
		if err != nil {
			return err
		}
		p.Library, p.Function, p.Epoch = lib, string(c.Args[1]), all.Epoch
		if err = p.execute(c, lib.Function(p.Function).Flags); !errors.Is(err, errLibraries) {
			return err
		}
	}
}

// libraries are those of the session's namespace: what the transaction sees that the command
// is part of, or what was read at the epoch that the command will commit at.
func (c *Call) libraries() (*scripting.Libraries, error) {
	s, st := c.s, c.s.srv.scripts
	if t := c.within(); t != nil {
		return st.Read(t, s.ns.ID, c.x.kvs.Prompt)
	}
	for {
		if err := s.resolveNamespace(c.x); err != nil {
			return nil, err
		}
		if l := st.Cached(s.ns.ID, s.ns.epoch); l != nil {
			return l, nil
		}
		if c.x.kvs.Prompt {
			return nil, base.ErrWouldWait
		}
		var l *scripting.Libraries
		if err := c.x.kvs.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
			l, err = st.Read(t, s.ns.ID, false)
			return err
		})); err != nil {
			return nil, err
		}
		st.Keep(s.ns.ID, l)
		if l.Epoch != s.ns.epoch {
			s.ns.term = nil
		}
	}
}

// within is the transaction that the command is part of; nil if it makes its own.
func (c *Call) within() kv.Txn {
	if c.Txn == nil && c.s.tx != nil {
		return c.s.tx
	}
	return c.Txn
}

// execute runs the program, in a transaction of its own or as a part of one, in which it
// leaves nothing behind if it fails.
func (p *scripted) execute(c *Call, flags script.Flags) (err error) {
	defer p.leave()
	if err := p.Declare(flags); err != nil {
		return err
	}
	p.before, p.read = p.s.choice, false
	if t := c.within(); t != nil {
		saved, published := t.Save(), len(*p.x.outgoing(p.s))
		if err = p.Do(t); err != nil {
			t.Restore(saved)
			list := p.x.outgoing(p.s)
			*list = (*list)[:published]
		}
	} else {
		if err = p.s.run(p.x, true, p); p.s.tracks && !p.read {
			p.s.tracker.Forget()
		}
	}
	var failed script.Error
	if errors.As(err, &failed) {
		return command.Error(failed)
	}
	return err
}

// leave forgets the program.
func (p *scripted) leave() {
	p.Leave()
	p.w.Reset(outKeptBytes)
	p.call.Args, p.call.Txn, p.call.DB, p.call.s, p.t = nil, nil, nil, nil, nil
}

// renewed implements renewer.
func (p *scripted) renewed(s *session) error {
	s.choose(p.x, p.before)
	if err := s.resolveNamespace(p.x); err != nil {
		return err
	}
	p.before = s.choice
	if p.Library != nil && s.ns.epoch != p.Epoch {
		return errLibraries
	}
	return nil
}

// Do implements kv.Closure.
func (p *scripted) Do(t kv.Txn) error {
	p.x.w.Buf = p.x.w.Buf[:p.x.mark]
	p.s.choose(p.x, p.before)
	p.t = t
	if len(p.Run.Keys) > 1 && !p.s.srv.db.Local() {
		p.expect()
	}
	defer func() { p.s.choose(p.x, p.before) }()
	return p.Try()
}

// expect tells the transaction which keys the program was given.
func (p *scripted) expect() {
	x := p.x
	x.rows, x.heads = x.rows[:0], x.heads[:0]
	for _, key := range p.Run.Keys {
		x.addHead(p.s, key)
	}
	p.t.Expect(x.heads)
}

// way is how the program is being tried.
func (p *scripted) way() scripting.Way {
	switch {
	case p.x.kvs.Prompt:
		return scripting.OnLoop
	case p.x.kvs.Free || p.t.Interactive():
		return scripting.Long
	}
	return scripting.Short
}

// Tick implements script.Host.
func (p *scripted) Tick() error { return p.Step(p.way(), false) }

// Call implements script.Host: it executes a command.
func (p *scripted) Call(args [][]byte, proto int) ([]byte, error) {
	if err := p.Step(p.way(), true); err != nil {
		return nil, err
	}
	s, x, q := p.s, p.x, &p.call
	p.w.Buf, p.w.Proto = p.w.Buf[:0], proto
	cmd := s.srv.table.Resolve(args)
	err := p.admit(cmd, args)
	if err == nil {
		x.overhear(s, cmd, args)
		if cmd.Flags&command.FlagReadonly != 0 {
			p.read = true
			if s.tracks && s.handle != p.before.handle { // its keys were noted in another database
				s.trackPast(cmd, args)
			}
		}
		q.be(cmd)
		q.Args, q.Txn, q.DB, q.SnapshotReads = args, p.t, x.database(s), s.snapshotReads
		err = cmd.Handler(q)
		cmd.Stats.Calls.Add(1)
	}
	if err != nil {
		if !callers(err) {
			return nil, err
		}
		text, _ := replyText(err)
		if cmd != nil {
			cmd.Stats.Failed.Add(1)
		}
		s.srv.stats.countError(text)
		p.w.Buf = p.w.Buf[:0]
		p.w.Error(text)
	}
	return p.w.Buf, nil
}

// admit decides whether the program may execute a command.
func (p *scripted) admit(cmd *Command, args [][]byte) error {
	if err := scripting.Admit(&p.Program, cmd, args); err != nil {
		return err
	}
	if err := p.s.allowedInScript(p.x, cmd, args); err != nil {
		return err
	}
	if p.s.srv.special.Load()&specialCache != 0 {
		if err := p.s.room(cmd, args); err != nil {
			return err
		}
	}
	return p.s.checkShards(p.x, cmd, args)
}

// Allowed implements script.Host.
func (p *scripted) Allowed(args [][]byte) (allowed, known bool) {
	cmd := p.s.srv.table.Resolve(args)
	if cmd == nil || !cmd.ArityFits(len(args)) {
		return false, false
	}
	return p.s.allowed(cmd, args) == nil, true
}

// Log implements script.Host.
func (p *scripted) Log(level int, text string) {
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn}
	p.s.srv.log.Log(context.Background(), levels[level], "script", slog.String("message", text))
}
