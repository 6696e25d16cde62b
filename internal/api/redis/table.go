package redis

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command. It is reused; a handler keeps nothing of it.
type Call struct {
	data.Call

	cmd *Command
	s   *session
	x   *executor
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
		listBlockCommands, zsetBlockCommands, streamBlockCommands, streamContainers, keyCommands, objectCommands,
		transactionCommands, connectionCommands, clientCommands, commandCommands, serverCommands,
		pubsubCommands, clusterCommands, interactiveCommands, zmapCommands, zmapTypedCommands, namespaceCommands, sessionCommands)
}

// onData are rows of package data as those of a door.
func onData(family func() []data.Command) func() []Command {
	return func() []Command {
		rows := family()
		out := make([]Command, len(rows))
		for i := range rows {
			r := &rows[i]
			handler := r.Handler
			out[i] = Command{Name: r.Name, Summary: r.Summary, Since: r.Since, Group: r.Group, Arity: r.Arity, Flags: r.Flags,
				Categories: r.Categories, Apart: r.Apart, Keys: r.Keys, Kind: r.Kind, Handler: func(c *Call) error { return handler(&c.Call) }}
		}
		return out
	}
}

func newTable() *command.Table[*Call] { return tableOf(families()) }

func tableOf(families []func() []Command) *command.Table[*Call] {
	var rows []Command
	for _, family := range families {
		rows = append(rows, family()...)
	}
	return command.NewTable(rows)
}
