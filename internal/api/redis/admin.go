package redis

import "github.com/stratadb/strata/internal/api/redis/command"

// AdminFamilies is the table of a server for operators: what every connection
// needs, and extra.
func AdminFamilies(extra ...func() []Command) []func() []Command {
	return append([]func() []Command{connectionCommands, clientCommands, commandCommands, clockCommands}, extra...)
}

// clockCommands is TIME alone, without the other commands about the server,
// which concern its data.
func clockCommands() []Command {
	return []Command{{Name: "time", Summary: "Returns the server time.", Since: "2.6.0", Group: command.GroupServer, Arity: 1,
		Flags: command.FlagLoading | command.FlagStale | command.FlagFast, Kind: command.KindConnection, Handler: timeCommand}}
}

// UnknownSubcommand is the error of the containers that are not Redis's, for
// Command.Unknown.
func UnknownSubcommand(name []byte) error { return unknownSubcommand(name) }
