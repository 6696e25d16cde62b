package redis

import (
	"strconv"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/redisnum"
)

// attributes are what a session chose with SESSION.ATTRIBUTE. The zero value
// holds the defaults.
type attributes struct {
	replyJSON bool
	inputJSON bool
	hexIDs    bool
	limit     int64 // 0: limitDefault
	// staleMillis is how old a state commands that only read may be answered from; 0: the newest,
	// or what READONLY allows.
	staleMillis int64
}

// limitDefault is how many entries a query returns.
const limitDefault = 100

// errParameters is the error of the commands that count their own arguments.
const errParameters command.Error = "ERR invalid number of parameters"

func sessionCommands() []Command {
	const flags = command.FlagNoScript | command.FlagFast
	return []Command{
		{Name: "session.attribute", Summary: "Lists and sets the session's attributes.", Since: "0.1.0", Group: command.GroupSession,
			Arity: -2, Flags: flags | command.FlagNoMulti, Categories: []string{"connection"}, Kind: command.KindConnection, Handler: sessionAttributeCommand},
		{Name: "session.close", Summary: "Gives the session its initial state back and keeps the connection.", Since: "0.1.0",
			Group: command.GroupSession, Arity: 1, Flags: flags | command.FlagImmediate, Categories: []string{"connection"}, Kind: command.KindConnection, Handler: sessionCloseCommand},
	}
}

func sessionAttributeCommand(c *Call) error {
	switch {
	case command.Is(c.Args[1], "list"):
		return c.listAttributes()
	case command.Is(c.Args[1], "set"):
		if len(c.Args) != 4 {
			return errParameters
		}
		if err := c.s.attrs.set(c.Args[2], c.Args[3]); err != nil {
			return err
		}
		c.W.OK()
		return nil
	}
	return command.Error("ERR Invalid subcommand status: " + string(command.Truncated(c.Args[1], command.EchoedBytes)))
}

// word chooses between two.
func word(second bool, one, two string) string {
	if second {
		return two
	}
	return one
}

// listAttributes lists those that every session has, and what it chose besides.
func (c *Call) listAttributes() error {
	a := &c.s.attrs
	w := c.W
	n := 4
	if a.staleMillis > 0 {
		n++
	}
	w.Map(n)
	w.BulkString("reply_type")
	w.BulkString(word(a.replyJSON, "bson", "json"))
	w.BulkString("input_type")
	w.BulkString(word(a.inputJSON, "bson", "json"))
	w.BulkString("limit")
	w.Int(a.queryLimit())
	w.BulkString("object_id_format")
	w.BulkString(word(a.hexIDs, "bytes", "hex"))
	if a.staleMillis > 0 {
		w.BulkString("stale_reads_ms")
		w.Int(a.staleMillis)
	}
	return nil
}

func (a *attributes) queryLimit() int64 {
	if a.limit == 0 {
		return limitDefault
	}
	return a.limit
}

func (a *attributes) set(name, value []byte) error {
	choose := func(to *bool, one, two, mistake string) error {
		switch {
		case command.Is(value, one):
			*to = false
		case command.Is(value, two):
			*to = true
		default:
			return command.Error("ERR " + mistake + ": " + string(command.Truncated(value, command.EchoedBytes)))
		}
		return nil
	}
	switch strings.ToLower(string(command.Truncated(name, command.EchoedBytes))) {
	case "reply_type":
		return choose(&a.replyJSON, "bson", "json", "Invalid reply type")
	case "input_type":
		return choose(&a.inputJSON, "bson", "json", "Invalid input type")
	case "object_id_format":
		return choose(&a.hexIDs, "bytes", "hex", "Invalid versionstamp format")
	case "limit":
		n, ok := redisnum.ParseInt(value)
		if !ok {
			return command.ErrNotInteger
		}
		if n <= 0 {
			return command.Error("ERR 'limit' must be greater than 0")
		}
		a.limit = n
		return nil
	case "stale_reads_ms":
		n, ok := redisnum.ParseInt(value)
		if !ok {
			return command.ErrNotInteger
		}
		if n < 0 || n > staleMillisMax {
			return command.Error("ERR 'stale_reads_ms' must be between 0 and " + strconv.Itoa(staleMillisMax))
		}
		a.staleMillis = n
		return nil
	}
	return command.Error("ERR Invalid session attribute: '" + string(command.Truncated(name, command.EchoedBytes)) + "'")
}

func sessionCloseCommand(c *Call) error {
	c.s.resetState(c.x)
	c.W.OK()
	return nil
}

// resetState forgets transactions, watched keys, attributes and namespace.
func (s *session) resetState(x *executor) {
	s.dropTransaction()
	s.attrs, s.snapshotReads, s.txState, s.past = attributes{}, false, txState{}, past{}
	ns := s.srv.namespaces.Default()
	s.choose(x, choice{proto: s.proto, ns: ns, handle: s.srv.handle(ns, 0)})
}
