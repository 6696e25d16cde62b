package redis

import (
	"fmt"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
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
		{Name: "lastsave", Summary: "Returns the Unix timestamp of the last successful save to disk.", Since: "1.0.0", Arity: 1,
			Flags: open | command.FlagFast | command.FlagDangerous, Handler: lastsaveCommand},
		{Name: "role", Summary: "Returns the replication role.", Since: "2.8.12", Arity: 1, Flags: open | command.FlagNoScript | command.FlagFast | command.FlagDangerous, Handler: roleCommand},
		{Name: "lolwut", Summary: "Displays computer art and the Redis version", Since: "5.0.0", Arity: -1, Flags: command.FlagReadonly | command.FlagFast, Handler: lolwutCommand},
		{Name: "wait", Summary: "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
			Since: "3.0.0", Group: command.GroupGeneric, Arity: 3, Flags: command.FlagBlocking, Handler: waitCommand},
		{Name: "waitaof", Summary: "Blocks until all of the preceding write commands sent by the connection are written to the append-only file.",
			Since: "7.2.0", Group: command.GroupGeneric, Arity: 4, Flags: command.FlagBlocking, Handler: waitaofCommand},
		{Name: "debug", Summary: "A container for debugging commands.", Since: "1.0.0", Arity: -2, Flags: admin, Subcommands: []Command{
			{Name: "sleep", Summary: "Suspends the connection for some seconds.", Since: "1.0.0", Group: command.GroupServer, Arity: 3,
				Flags: admin | command.FlagNoMulti, Kind: command.KindConnection, Handler: debugSleep},
			helpFor("debug", "1.0.0", command.GroupServer, "SLEEP <seconds>", "    Suspend this connection for <seconds>. Decimals allowed."),
		}},
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

// configSet checks all names first, so that a mistake changes nothing; a value
// that does not fit puts back what was set before it.
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
	var chosen []setting
	for i := 2; i < len(c.Args); i += 2 {
		name := strings.ToLower(string(command.Truncated(c.Args[i], command.EchoedBytes)))
		row, ok := byName[name]
		if !ok {
			return command.Error(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", command.Truncated(c.Args[i], command.EchoedBytes)))
		}
		if row.set == nil {
			return failed(name, "can't set immutable config")
		}
		for _, other := range chosen {
			if other.name == name {
				return failed(name, "duplicate parameter")
			}
		}
		chosen = append(chosen, row)
	}
	before := make([]string, len(chosen))
	for i, row := range chosen {
		before[i] = row.get(c.s.srv)
		refused := row.set(c.s.srv, string(c.Args[3+2*i]))
		if refused == "" {
			continue
		}
		for j := range i {
			chosen[j].set(c.s.srv, before[j])
		}
		return failed(row.name, refused)
	}
	c.W.OK()
	return nil
}

func configResetstat(c *Call) error {
	c.s.srv.resetStats()
	c.W.OK()
	return nil
}

func configRewrite(*Call) error {
	return command.Error("ERR The server is running without a config file")
}

func moduleList(c *Call) error {
	c.W.Array(0)
	return nil
}

func timeCommand(c *Call) error {
	now := c.s.srv.now().UnixMicro()
	c.W.Array(2)
	c.W.BulkInt(now / 1e6)
	c.W.BulkInt(now % 1e6)
	return nil
}

// lastsaveCommand answers the present: what is acknowledged is on disk.
func lastsaveCommand(c *Call) error {
	c.W.Int(c.s.srv.now().Unix())
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
		return errTimeoutRange
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

func lolwutCommand(c *Call) error {
	var b strings.Builder
	for depth := range 6 {
		b.WriteString(strings.Repeat(" ", 6-depth) + "/" + strings.Repeat("__", depth+2) + "/\n")
	}
	fmt.Fprintf(&b, "\nRedis ver. %s\n", RedisVersion)
	c.W.Verbatim("txt", []byte(b.String()))
	return nil
}
