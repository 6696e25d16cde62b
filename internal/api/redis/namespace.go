package redis

import (
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

func namespaceCommands() []Command {
	const flags = command.FlagNoScript | command.FlagNoMulti
	sub := func(name, summary string, arity int, h func(c *Call) error) Command {
		categories := []string{"connection"}
		switch name {
		case "create", "move", "remove", "purge":
			categories = []string{"admin", "dangerous"}
		}
		return Command{Name: name, Summary: summary, Since: "0.1.0", Group: command.GroupNamespace, Arity: arity, Flags: flags,
			Categories: categories, Kind: command.KindConnection, Handler: h}
	}
	return []Command{{
		Name: "namespace", Summary: "Creates, chooses and removes namespaces.", Since: "0.1.0", Group: command.GroupNamespace, Arity: -2,
		Flags: flags, Kind: command.KindConnection, Unknown: unknownSubcommand,
		Subcommands: []Command{
			sub("create", "Creates a namespace and those above it.", 3, namespaceCreate),
			sub("use", "Makes a namespace the session's.", 3, namespaceUse),
			sub("current", "Returns the session's namespace.", 2, namespaceCurrent),
			sub("exists", "Determines whether a namespace exists.", 3, namespaceExists),
			sub("list", "Lists the namespaces below another one.", -2, namespaceList),
			sub("move", "Gives a namespace another path.", 4, namespaceMove),
			sub("remove", "Marks a namespace as being removed.", 3, namespaceRemove),
			sub("purge", "Deletes the data of a namespace that was removed.", 3, namespacePurge),
		},
	}}
}

// unknownSubcommand is the error of the containers that are not Redis's.
func unknownSubcommand(name []byte) error {
	return command.Error("ERR unknown subcommand: '" + strings.ToUpper(string(name)) + "'")
}

// path reads an argument.
func (c *Call) path(i int) (catalog.Path, error) { return catalog.ParsePath(string(c.Args[i])) }

// unguarded runs a function of the catalog, in the transaction that is open if
// there is one. It works for a session whose own namespace is gone, too.
func (c *Call) unguarded(fn kv.Func) error {
	if c.s.tx != nil {
		c.s.txState.path = "" // what was resolved may lead elsewhere after this
		return fn(c.s.tx)
	}
	t, err := c.x.kvs.Run(fn)
	c.x.note(t)
	return err
}

func namespaceCreate(c *Call) error {
	p, err := c.path(2)
	if err != nil {
		return err
	}
	ids, err := c.s.srv.catalog.Reserve(len(p))
	if err != nil {
		return err
	}
	return c.OK(c.unguarded(func(t kv.Txn) error {
		_, err := catalog.Create(t, p, ids)
		return err
	}))
}

func namespaceUse(c *Call) error {
	p, err := c.path(2)
	if err != nil {
		return err
	}
	next := Namespace{Path: p.String()}
	if p.IsDefault() {
		next = c.s.srv.namespaces.Default()
	} else if err := c.s.find(c.x, p, &next); err != nil {
		return err
	}
	c.s.use(c.x, next)
	c.W.OK()
	return nil
}

// use makes ns the session's namespace.
func (s *session) use(x *executor, ns Namespace) {
	next := s.choice
	if next.ns.ID != ns.ID || next.ns.databases != ns.databases {
		next.handle = s.srv.handle(ns, s.handle.Number())
	}
	next.ns = ns
	s.choose(x, next)
}

// find resolves a path and the databases behind it: in the interactive transaction,
// which remembers it, or by itself under the present term.
func (s *session) find(x *executor, p catalog.Path, ns *Namespace) (err error) {
	if s.tx != nil {
		ns.term, ns.ticket = nil, base.Ticket{} // what the transaction sees need not come true
		if err = ns.read(s.tx, p); err == nil {
			s.txState.path = ns.Path
		}
		return err
	}
	read := kv.Func(func(t kv.Txn) (err error) {
		if ns.epoch, err = catalog.ReadEpoch(t); err == nil {
			err = ns.read(t, p)
		}
		return err
	})
	held := len(x.kvs.Guards)
	for over := true; over; {
		ns.term = s.srv.catalog.Renew() // before anything is read
		x.kvs.Guards = append(x.kvs.Guards, ns.term.Guard())
		ns.ticket, err = x.kvs.Run(read)
		x.kvs.Guards = x.kvs.Guards[:held]
		x.note(ns.ticket)
		over = false
		if base.Retryable(err) {
			over, _ = ns.term.Over()
		}
	}
	return err
}

func (ns *Namespace) read(t kv.Reader, p catalog.Path) (err error) {
	if ns.ID, err = catalog.Resolve(t, p); err == nil {
		ns.databases, err = catalog.ReadDatabases(t, ns.ID)
	}
	return err
}

// resolveNamespace makes sure that the session's path leads where it did and its
// databases are where they were, or finds out where they are now.
func (s *session) resolveNamespace(x *executor) error {
	switch {
	case s.tx != nil:
		if s.txState.path == s.ns.Path {
			return nil
		}
	case s.ns.term != nil:
		over, t := s.ns.term.Over()
		if !over {
			return nil
		}
		x.note(t)
	}
	ns := s.ns
	p, err := catalog.ParsePath(ns.Path)
	if err != nil {
		return err
	}
	if err := s.find(x, p, &ns); err != nil {
		return err
	}
	s.use(x, ns)
	return nil
}

func namespaceCurrent(c *Call) error {
	c.W.BulkString(c.s.ns.Path)
	return nil
}

func namespaceExists(c *Call) error {
	p, err := c.path(2)
	if err != nil {
		return err
	}
	found := false
	err = c.unguarded(func(t kv.Txn) (err error) {
		found, err = catalog.Exists(t, p)
		return err
	})
	return c.Truth(found, err)
}

// listPage is how many names one transaction of NAMESPACE LIST reads.
const listPage = 1000

func namespaceList(c *Call) error {
	var p catalog.Path
	if len(c.Args) > 3 {
		return c.WrongArity()
	}
	if len(c.Args) == 3 {
		var err error
		if p, err = c.path(2); err != nil {
			return err
		}
	}
	reply := c.W.DeferArray()
	count, after := 0, ""
	for {
		var names []string
		err := c.unguarded(func(t kv.Txn) (err error) {
			names, err = catalog.List(t, p, after, listPage)
			return err
		})
		if err != nil {
			return err
		}
		for _, name := range names {
			c.W.BulkString(name)
		}
		count += len(names)
		if len(names) < listPage {
			break
		}
		after = names[len(names)-1]
	}
	c.W.Close(reply, count)
	return nil
}

func namespaceMove(c *Call) error {
	from, err := c.path(2)
	if err != nil {
		return err
	}
	to, err := c.path(3)
	if err != nil {
		return err
	}
	ids, err := c.s.srv.catalog.Reserve(len(to))
	if err != nil {
		return err
	}
	return c.OK(c.unguarded(func(t kv.Txn) error { return catalog.Move(t, from, to, ids) }))
}

func namespaceRemove(c *Call) error {
	p, err := c.path(2)
	if err != nil {
		return err
	}
	return c.OK(c.unguarded(func(t kv.Txn) error { return catalog.Remove(t, p) }))
}

// namespacePurge waits for each of its transactions, so that it does not load the
// range more than others do.
func namespacePurge(c *Call) error {
	if c.s.tx != nil {
		return command.Error("ERR NAMESPACE PURGE is not allowed within a transaction")
	}
	p, err := c.path(2)
	if err != nil {
		return err
	}
	return c.OK(catalog.Purge(func(fn kv.Func) error { return c.x.kvs.RunAndWait(fn) }, p))
}

// refusal is why the shards do not allow a command.
func refusal(t *catalog.ShardTable, cmd *Command, args [][]byte) error {
	write := cmd.Flags&command.FlagWrite != 0
	check := func(status catalog.ShardStatus, id int) error {
		switch {
		case status == catalog.ShardInoperable:
			return command.Error(fmt.Sprintf("REJECT shard REDIS %d is INOPERABLE: its keys cannot be accessed", id))
		case status == catalog.ShardReadOnly && write:
			return command.Error(fmt.Sprintf("REJECT shard REDIS %d is READONLY: its keys cannot be written", id))
		}
		return nil
	}
	at := cmd.Keys.Positions(args, nil)
	if len(at) == 0 {
		return check(t.Worst())
	}
	for _, i := range at {
		if err := check(t.Status(hashslot.Slot(args[i]))); err != nil {
			return err
		}
	}
	if status, id := t.Worst(); status == catalog.ShardInoperable && cmd.Elsewhere(args) {
		return check(status, id)
	}
	return nil
}
