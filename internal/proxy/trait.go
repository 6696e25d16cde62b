package proxy

import (
	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/migrate/effect"
	"github.com/stratadb/strata/internal/redisnum"
)

// special commands are the session's own business.
type special uint8

const (
	ordinary special = iota
	authenticates
	greets
	selects
	quits
	resets
	begins
	executes
	discards
	watches
	unwatches
	subscribes
	blocks
	manages // CLIENT
	refused
	strataOnly // commands of Strata's own that only Strata can execute
)

// trait is what the proxy knows of a command.
type trait struct {
	name    string // in lower case, with the container's
	arity   func(n int) bool
	keys    command.Keys
	write   bool
	unknown bool
	special special
}

var specials = map[string]special{
	"auth": authenticates, "hello": greets, "select": selects, "quit": quits, "reset": resets,
	"multi": begins, "exec": executes, "discard": discards, "watch": watches, "unwatch": unwatches,
	"subscribe": subscribes, "unsubscribe": subscribes, "psubscribe": subscribes, "punsubscribe": subscribes,
	"ssubscribe": subscribes, "sunsubscribe": subscribes,
	"client|reply": manages, "client|setname": manages, "client|tracking": refused, "client|caching": refused,
	"begin": strataOnly, "commit": strataOnly, "rollback": strataOnly,
}

// commands finds traits.
type commands struct {
	table   *command.Table[*redis.Call]
	scripts *command.Table[struct{}]
	traits  map[*command.Command[*redis.Call]]*trait
	others  map[*command.Command[struct{}]]*trait
	nobody  *trait
}

func newCommands() *commands {
	c := &commands{table: redis.Commands(), scripts: command.NewTable(scriptCommands()), traits: map[*command.Command[*redis.Call]]*trait{},
		others: map[*command.Command[struct{}]]*trait{},
		nobody: &trait{name: "unknown", unknown: true, arity: func(int) bool { return true }}}
	c.table.Each(func(cmd *command.Command[*redis.Call]) { c.traits[cmd] = traitOf(cmd) })
	c.scripts.Each(func(cmd *command.Command[struct{}]) { c.others[cmd] = traitOf(cmd) })
	return c
}

func traitOf[C any](cmd *command.Command[C]) *trait {
	t := &trait{name: cmd.FullName(), arity: cmd.ArityFits, keys: cmd.Keys, write: cmd.Flags&command.FlagWrite != 0}
	t.special = specials[t.name]
	switch {
	case t.special != ordinary:
	case cmd.Flags&command.FlagBlocking != 0 && cmd.Group != command.GroupZMap:
		t.special = blocks
	case cmd.Group == command.GroupZMap, cmd.Group == command.GroupNamespace, cmd.Group == command.GroupSession:
		t.special = strataOnly
	}
	switch effect.Treat(t.name, nil) {
	case effect.Refused:
		t.special = refused
	case effect.Everywhere, effect.Script:
		t.write = true
	}
	return t
}

// scriptCommands execute what is in no table: which keys they have, they say.
func scriptCommands() []command.Command[struct{}] {
	keys := command.Keys{Find: command.CountedKeys(2)}
	type row = command.Command[struct{}]
	counted := func(name string, flags command.Flags) row {
		return row{Name: name, Arity: -3, Flags: flags, Keys: keys}
	}
	plain := func(name string) row { return row{Name: name, Arity: -2} }
	return []row{
		counted("eval", command.FlagWrite), counted("evalsha", command.FlagWrite), counted("fcall", command.FlagWrite),
		counted("eval_ro", command.FlagReadonly), counted("evalsha_ro", command.FlagReadonly), counted("fcall_ro", command.FlagReadonly),
		{Name: "script", Arity: -2, Subcommands: []row{plain("load"), plain("exists"), plain("flush"), plain("kill"), plain("debug"), plain("help")}},
		{Name: "function", Arity: -2, Subcommands: []row{plain("load"), plain("delete"), plain("flush"), plain("restore"), plain("list"),
			plain("dump"), plain("stats"), plain("kill"), plain("help")}},
		{Name: "monitor", Arity: 1}, {Name: "shutdown", Arity: -1}, {Name: "replicaof", Arity: 3}, {Name: "slaveof", Arity: 3}, {Name: "psync", Arity: -3},
		{Name: "sync", Arity: 1}, {Name: "replconf", Arity: -1}, {Name: "failover", Arity: -1}, {Name: "migrate", Arity: -6}, {Name: "restore-asking", Arity: -4},
	}
}

// of is the trait of a command; one that nobody knows has one, too.
func (c *commands) of(args [][]byte) *trait {
	if cmd := c.table.Resolve(args); cmd != nil {
		return c.traits[cmd]
	}
	if cmd := c.scripts.Resolve(args); cmd != nil {
		return c.others[cmd]
	}
	return c.nobody
}

// treatment is how a write of it is treated.
func (t *trait) treatment(args [][]byte) effect.Treatment {
	if !t.write {
		return effect.Local
	}
	return effect.Treat(t.name, args)
}

// database is the number behind a name; of SELECT.
func database(arg []byte) (int, bool) {
	n, ok := redisnum.ParseInt(arg)
	return int(n), ok && n >= 0 && n < 1<<16
}
