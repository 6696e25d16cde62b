package redis

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/glob"
	"github.com/stratadb/strata/internal/redisnum"
)

func serverCommands() []Command {
	const (
		open  = command.FlagLoading | command.FlagStale
		admin = command.FlagAdmin | command.FlagNoScript | command.FlagLoading | command.FlagStale
	)
	config := func(name, summary, since string, arity int, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: admin, Kind: command.KindConnection, Handler: h}
	}
	rows := []Command{
		{Name: "config", Summary: "A container for server configuration commands.", Since: "2.0.0", Arity: -2, Subcommands: []Command{
			config("get", "Returns the effective values of configuration parameters.", "2.0.0", -3, configGet),
			config("set", "Sets configuration parameters in-flight.", "2.0.0", -4, configSet),
			config("resetstat", "Resets the server's statistics.", "2.0.0", 2, configResetstat),
			config("rewrite", "Persists the effective configuration to file.", "2.8.0", 2, configRewrite),
			helpFor("config", "5.0.0", command.GroupServer,
				"GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values.",
				"SET <directive> <value>", "    Set the configuration <directive> to <value>.",
				"RESETSTAT", "    Reset statistics reported by the INFO command.",
				"REWRITE", "    Rewrite the configuration file."),
		}},
		{Name: "info", Summary: "Returns information and statistics about the server.", Since: "1.0.0", Arity: -1, Flags: open | command.FlagDangerous, Kind: command.KindPaged, Handler: infoCommand},
		{Name: "time", Summary: "Returns the server time.", Since: "2.6.0", Arity: 1, Flags: open | command.FlagFast, Handler: timeCommand},
		{Name: "role", Summary: "Returns the replication role.", Since: "2.8.12", Arity: 1, Flags: open | command.FlagNoScript | command.FlagFast | command.FlagDangerous, Categories: []string{"admin"}, Handler: roleCommand},
		{Name: "lolwut", Summary: "Displays computer art and the Redis version", Since: "5.0.0", Arity: -1, Flags: command.FlagReadonly | command.FlagFast, Handler: lolwutCommand},
		{Name: "wait", Summary: "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
			Since: "3.0.0", Group: command.GroupGeneric, Arity: 3, Flags: command.FlagBlocking, Categories: []string{"connection"}, Apart: true, Handler: waitCommand},
		{Name: "waitaof", Summary: "Blocks until all of the preceding write commands sent by the connection are written to the append-only file.",
			Since: "7.2.0", Group: command.GroupGeneric, Arity: 4, Flags: command.FlagBlocking, Categories: []string{"connection"}, Apart: true, Handler: waitaofCommand},
		{Name: "shutdown", Summary: "Synchronously saves the database(s) to disk and shuts down the Redis server.", Since: "1.0.0", Arity: -1,
			Flags: admin | command.FlagNoMulti, Handler: shutdownCommand},
		{Name: "module", Summary: "A container for module commands.", Since: "4.0.0", Arity: -2, Subcommands: []Command{
			config("list", "Returns all loaded modules.", "4.0.0", 2, moduleList),
			helpFor("module", "5.0.0", command.GroupServer, "LIST", "    Return a list of loaded modules."),
		}},
	}
	for i := range rows {
		if rows[i].Group == "" {
			rows[i].Group = command.GroupServer
		}
		if rows[i].Kind == command.KindData {
			rows[i].Kind = command.KindConnection
		}
	}
	return rows
}

func configGet(c *Call) error {
	seen := map[string]bool{}
	mark := c.W.DeferMap()
	n := 0
	for _, row := range settingRows() {
		for _, pattern := range c.Args[2:] {
			if !seen[row.name] && glob.Match(pattern, []byte(row.name), true) {
				seen[row.name] = true
				c.W.BulkString(row.name)
				c.W.BulkString(row.get(c.s.srv))
				n++
			}
		}
	}
	c.W.Close(mark, n)
	return nil
}

// configSet changes all of the settings or none.
func configSet(c *Call) error {
	if len(c.Args)%2 != 0 {
		return c.WrongArity()
	}
	byName := map[string]setting{}
	for _, row := range settingRows() {
		byName[row.name] = row
	}
	failed := func(name, why string) error {
		return command.Error(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, why))
	}
	chosen := map[string]bool{}
	var applies []func()
	var edits []func(e *auth.Edit) error
	for i := 2; i < len(c.Args); i += 2 {
		name, value := strings.ToLower(string(command.Truncated(c.Args[i], command.EchoedBytes))), string(c.Args[i+1])
		row, ok := byName[name]
		switch {
		case !ok:
			return command.Error(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", command.Truncated(c.Args[i], command.EchoedBytes)))
		case row.parse == nil:
			return failed(name, "can't set immutable config")
		case chosen[name]:
			return failed(name, "duplicate parameter")
		case row.users != nil && c.Txn != nil:
			return failed(name, "not within a transaction")
		}
		chosen[name] = true
		apply, refused := row.parse(c.s.srv, value)
		if refused != "" {
			return failed(name, refused)
		}
		applies = append(applies, apply)
		if row.users != nil {
			edits = append(edits, func(e *auth.Edit) error { return row.users(e, value) })
		}
	}
	for _, edit := range edits {
		if err := c.s.changeUsers(edit); err != nil {
			return err
		}
	}
	for _, apply := range applies {
		apply()
	}
	c.W.OK()
	return nil
}

func configResetstat(c *Call) error {
	c.s.srv.resetStats()
	c.W.OK()
	return nil
}

// configRewrite writes what CONFIG SET can change of the settings that the file knows.
func configRewrite(c *Call) error {
	srv := c.s.srv
	if srv.o.Rewrite == nil {
		return command.Error("ERR The server is running without a config file")
	}
	values := map[string]any{}
	for _, row := range settingRows() {
		if row.file != nil {
			name, value := row.file(srv)
			values[name] = value
		}
	}
	if err := srv.o.Rewrite(values); err != nil {
		srv.log.Error("configuration file not rewritten", slog.Any("error", err))
		return command.Error("ERR Rewriting config file: " + command.OneLine(err.Error()))
	}
	c.W.OK()
	return nil
}

// shutdownCommand stops the node, as SIGTERM does. Whatever the options say: what is acknowledged is
// on disk, nobody is waited for, and a stop that has begun is not taken back.
func shutdownCommand(c *Call) error {
	abort := false
	for _, a := range c.Args[1:] {
		switch {
		case command.Is(a, "abort"):
			abort = true
		case command.Is(a, "nosave"), command.Is(a, "save"), command.Is(a, "now"), command.Is(a, "force"):
		default:
			return command.ErrSyntax
		}
	}
	switch {
	case abort && len(c.Args) > 2:
		return command.ErrSyntax
	case abort:
		return command.Error("ERR No shutdown in progress.")
	case c.s.srv.o.Stop == nil:
		return command.Error("ERR Errors trying to SHUTDOWN. Check logs.")
	}
	c.s.srv.log.Info("SHUTDOWN", slog.String("client", c.s.conn.RemoteAddr().String()))
	c.s.srv.o.Stop()
	c.s.closing = true // without a reply, as Redis does
	return nil
}

func moduleList(c *Call) error {
	c.W.Array(0)
	return nil
}

func timeCommand(c *Call) error {
	at := c.at
	if at.IsZero() {
		at = c.s.srv.now()
	}
	now := at.UnixMicro()
	c.W.Array(2)
	c.W.BulkInt(now / 1e6)
	c.W.BulkInt(now % 1e6)
	return nil
}

func roleCommand(c *Call) error {
	c.W.Array(3)
	c.W.BulkString("master")
	c.W.Int(0)
	c.W.Array(0)
	return nil
}

// waitCommand need not wait: a write is on a quorum's disks before its reply, and
// there are no asynchronous replicas to count.
func waitCommand(c *Call) error {
	if _, err := command.ParseInt(c.Args[1]); err != nil {
		return err
	}
	if err := checkTimeout(c.Args[2]); err != nil {
		return err
	}
	c.W.Int(0)
	return nil
}

func checkTimeout(arg []byte) error {
	ms, ok := redisnum.ParseInt(arg)
	if !ok {
		return command.ErrTimeout
	}
	if ms < 0 {
		return command.Error("ERR timeout is negative")
	}
	return nil
}

func waitaofCommand(c *Call) error {
	local, err := command.ParseInt(c.Args[1])
	if err != nil {
		return err
	}
	if local < 0 || local > 1 {
		return command.Error("ERR value is out of range, value must between 0 and 1")
	}
	replicas, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	if replicas < 0 {
		return command.Error("ERR value is out of range, must be positive")
	}
	if err := checkTimeout(c.Args[3]); err != nil {
		return err
	}
	c.W.Array(2)
	c.W.Int(1)
	c.W.Int(0)
	return nil
}

func lolwutCommand(c *Call) error {
	var b strings.Builder
	for depth := range 6 {
		b.WriteString(strings.Repeat(" ", 6-depth) + "/" + strings.Repeat("__", depth+2) + "/\n")
	}
	fmt.Fprintf(&b, "\nRedis ver. %s\n", RedisVersion)
	c.W.Verbatim("txt", []byte(b.String()))
	return nil
}
