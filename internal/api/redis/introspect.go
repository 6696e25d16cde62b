package redis

import "github.com/stratadb/strata/internal/api/redis/command"

func commandCommands() []Command {
	const flags = command.FlagLoading | command.FlagStale
	sub := func(name, summary, since string, arity int, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: flags,
			Kind: command.KindConnection, Handler: h}
	}
	rows := []Command{{
		Name: "command", Summary: "Returns detailed information about all commands.", Since: "2.8.13", Group: command.GroupServer, Arity: -1,
		Flags: flags, Categories: []string{"connection"}, Kind: command.KindConnection, Handler: commandCommand,
		Subcommands: []Command{
			sub("count", "Returns a count of commands.", "2.8.13", 2, commandCount),
			sub("info", "Returns information about one, multiple or all commands.", "2.8.13", -2, commandInfo),
			sub("docs", "Returns documentary information about one, multiple or all commands.", "7.0.0", -2, commandDocs),
			sub("list", "Returns a list of command names.", "7.0.0", -2, commandList),
			sub("getkeys", "Extracts the key names from an arbitrary command.", "2.8.13", -3, commandGetkeys),
			sub("getkeysandflags", "Extracts the key names and access flags for an arbitrary command.", "7.0.0", -4, commandGetkeysAndFlags),
			helpFor("command", "5.0.0", command.GroupServer,
				"(no subcommand)", "    Return details about all Redis commands.",
				"COUNT", "    Return the total number of commands in this Redis server.",
				"LIST", "    Return a list of all commands in this Redis server.",
				"INFO [<command-name> ...]", "    Return details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
				"DOCS [<command-name> ...]", "    Return documentation details about multiple Redis commands.", "    If no command names are given, documentation details for all", "    commands are returned.",
				"GETKEYS <full-command>", "    Return the keys from a full Redis command.",
				"GETKEYSANDFLAGS <full-command>", "    Return the keys and the access flags from a full Redis command."),
		},
	}}
	for i := range rows[0].Subcommands {
		rows[0].Subcommands[i].Categories = []string{"connection"}
	}
	return rows
}

func commandCommand(c *Call) error { return c.s.srv.table.Info(c.W, nil) }

func commandCount(c *Call) error {
	c.W.Int(int64(len(c.s.srv.table.Sorted)))
	return nil
}

func commandInfo(c *Call) error { return c.s.srv.table.Info(c.W, c.Args[2:]) }

func commandDocs(c *Call) error { return c.s.srv.table.Docs(c.W, c.Args[2:]) }

func commandList(c *Call) error { return c.s.srv.table.List(c.W, c.Args[2:]) }

func commandGetkeys(c *Call) error { return c.s.srv.table.WriteKeys(c.W, c.Args[2:], false) }

func commandGetkeysAndFlags(c *Call) error { return c.s.srv.table.WriteKeys(c.W, c.Args[2:], true) }
