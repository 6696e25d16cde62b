package redis

import (
	"time"

	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/api/redis/scripting"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command. It is reused; a handler keeps nothing of it.
type Call struct {
	data.Call

	cmd *Command
	s   *session
	x   *executor
	at  time.Time // what TIME answers in a script; zero: the present
}

// be makes the call one of cmd.
func (c *Call) be(cmd *Command) { c.cmd, c.Name = cmd, cmd.FullName() }

// families are the functions that return the rows of the table, those of package data
// first. A new family is a line here, or there.
func families() (list []func() []Command) {
	for _, rows := range data.Families() {
		list = append(list, onData(rows))
	}
	return append(list,
		onScripts(scripting.Scripts), onScripts(scripting.Functions), scriptCommands, onWaiting(blocking.Lists), onWaiting(blocking.SortedSets), onWaiting(blocking.Streams), keyCommands, memoryCommands,
		transactionCommands, connectionCommands, clientCommands, commandCommands, serverCommands, saveCommands, aclCommands, watcherCommands, debugCommands,
		pubsubCommands, clusterCommands, interactiveCommands, zmapCommands, namespaceCommands, sessionCommands)
}

// onData are rows of package data as those of a door.
func onData(family func() []data.Command) func() []Command {
	return func() []Command { return rowsOf(family(), dataOf) }
}

func dataOf(c *Call) *data.Call { return &c.Call }

// rowsOf are rows of another package; of makes what its handlers take.
func rowsOf[C any](rows []command.Command[C], of func(c *Call) C) []Command {
	var out []Command // none stays nil: no subcommands
	for i := range rows {
		out = append(out, rowOf(&rows[i], of))
	}
	return out
}

func rowOf[C any](r *command.Command[C], of func(c *Call) C) Command {
	var handler func(c *Call) error
	if do := r.Handler; do != nil {
		handler = func(c *Call) error { return do(of(c)) }
	}
	return Command{Name: r.Name, Summary: r.Summary, Since: r.Since, Group: r.Group, Arity: r.Arity, Flags: r.Flags, Categories: r.Categories,
		Apart: r.Apart, Keys: r.Keys, Element: r.Element, Kind: r.Kind, Subcommands: rowsOf(r.Subcommands, of), Unknown: r.Unknown, Handler: handler}
}

// helpFor is the HELP subcommand of a container.
func helpFor(container, since string, group command.Group, lines ...string) Command {
	help := data.Help(container, since, group, lines...)
	return rowOf(&help, dataOf)
}

// Commands is the table, for who passes commands on: its rows are not to be called.
func Commands() *command.Table[*Call] { return newTable() }

func newTable() *command.Table[*Call] { return tableOf(families()) }

func tableOf(families []func() []Command) *command.Table[*Call] {
	var rows []Command
	for _, family := range families {
		rows = append(rows, family()...)
	}
	return command.NewTable(rows)
}
