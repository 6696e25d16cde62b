package redis

import (
	"log/slog"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/netloop"
	"github.com/stratadb/strata/internal/redisnum"
)

// debugCommands are what tests of clients and operators use of DEBUG. As with Redis's
// enable-debug-command local, only clients of the same machine may: that is harmless, for none of
// them stops anybody else.
func debugCommands() []Command {
	const admin = command.FlagAdmin | command.FlagNoScript | command.FlagLoading | command.FlagStale
	sub := func(name, summary string, arity int, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: "1.0.0", Group: command.GroupServer, Arity: arity, Flags: admin | command.FlagNoMulti,
			Kind: command.KindConnection, Handler: locally(h)}
	}
	return []Command{{
		Name: "debug", Summary: "A container for debugging commands.", Since: "1.0.0", Group: command.GroupServer, Arity: -2, Flags: admin,
		Subcommands: []Command{
			sub("change-repl-id", "Changes the replication id.", 2, debugChangeReplID),
			sub("error", "Replies with an error.", 3, func(c *Call) error { return command.Error(command.OneLine(string(c.Args[2]))) }),
			sub("log", "Writes a line to the log.", 3, debugLog),
			{Name: "object", Summary: "Tells how a value is stored.", Since: "1.0.0", Group: command.GroupServer, Arity: 3, Flags: admin | command.FlagReadonly,
				Keys: command.SubKey, Handler: locally(func(c *Call) error { return data.DebugObject(&c.Call) })},
			sub("reload", "Does nothing: what is acknowledged is on disk.", -2, okCommand),
			sub("set-active-expire", "Stops and resumes the deletion of expired keys in the background.", 3, debugActiveExpire),
			sub("sleep", "Suspends the connection for some seconds.", 3, debugSleep),
			helpFor("debug", "1.0.0", command.GroupServer,
				"CHANGE-REPL-ID", "    Change the replication IDs of the instance.",
				"ERROR <string>", "    Return a Redis protocol error with <string> as message.",
				"LOG <message>", "    Write <message> to the server log.",
				"OBJECT <key>", "    Show low level info about <key> and associated value.",
				"RELOAD [option ...]", "    Does nothing: what is acknowledged is on disk.",
				"SET-ACTIVE-EXPIRE <0|1>", "    Setting it to 0 disables expiring keys (and hash-fields) in background", "    when they are not accessed (otherwise the Redis behavior).",
				"SLEEP <seconds>", "    Suspend this connection for <seconds>. Decimals allowed."),
		},
	}}
}

// locally refuses a command to clients of other machines.
func locally(handler func(c *Call) error) func(c *Call) error {
	return func(c *Call) error {
		if !netloop.Loopback(c.s.conn.RemoteAddr()) {
			return command.Error("ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local " +
				"connection, otherwise you need to set this option in the configuration file, and then restart the server.")
		}
		return handler(c)
	}
}

// debugSleep suspends this connection only.
func debugSleep(c *Call) error {
	seconds, ok := redisnum.ParseFloat(c.Args[2])
	if !ok || seconds < 0 || seconds > 1e6 {
		return command.Error("ERR value is not a valid float")
	}
	c.s.wait(c.x, time.Duration(seconds*float64(time.Second)), nil)
	c.W.OK()
	return nil
}

func debugChangeReplID(c *Call) error {
	id := newRunID()
	c.s.srv.replID.Store(&id)
	c.W.OK()
	return nil
}

func debugLog(c *Call) error {
	c.s.srv.log.Warn("DEBUG LOG", slog.String("text", string(c.Args[2])))
	c.W.OK()
	return nil
}

func debugActiveExpire(c *Call) error {
	n, err := command.ParseInt(c.Args[2])
	if err == nil {
		c.s.srv.passive.Store(n == 0)
		c.W.OK()
	}
	return err
}
