package data

import (
	"fmt"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/internal/redisnum"
)

// ZMaps are the commands on the ordered map of a namespace.
func ZMaps() []Command {
	const (
		read  = command.FlagReadonly | command.FlagNoScript | command.FlagNoMulti
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagNoScript | command.FlagNoMulti
	)
	rows := []Command{
		{Name: "zset", Summary: "Sets the value of a key of the ordered map.", Arity: 3, Flags: write | command.FlagFast, Handler: zsetCommand},
		{Name: "zget", Summary: "Returns the value of a key of the ordered map.", Arity: 2, Flags: read | command.FlagFast, Handler: zgetCommand},
		{Name: "zdel", Summary: "Deletes a key of the ordered map.", Arity: 2, Flags: write &^ command.FlagDenyOOM, Handler: zdelCommand},
		{Name: "zdelrange", Summary: "Deletes a range of keys of the ordered map.", Arity: 3, Flags: write &^ command.FlagDenyOOM, Handler: zdelrangeCommand},
		{Name: "zgetrange", Summary: "Returns a range of keys of the ordered map with their values.", Arity: -3, Flags: read, Handler: zgetrangeCommand},
		{Name: "zgetkey", Summary: "Returns the key of the ordered map that a selector picks.", Arity: -2, Flags: read, Handler: zgetkeyCommand},
		{Name: "zmutate", Summary: "Does an atomic mutation of a key of the ordered map.", Arity: 4, Flags: write | command.FlagFast, Handler: zmutateCommand},
	}
	for i := range rows {
		rows[i].Since, rows[i].Group = "0.1.0", command.GroupZMap
	}
	return rows
}

// ZMap is the map of the session's namespace.
func (c *Call) ZMap() zmap.Map { return zmap.Open(c.DB.Namespace()) }

// reader is how the session reads.
func (c *Call) reader() kv.Reader { return zmap.View(c.Txn, c.SnapshotReads) }

func zsetCommand(c *Call) error { return c.OK(zmap.Set(c.Txn, c.ZMap(), c.Args[1], c.Args[2])) }

func zgetCommand(c *Call) error { return c.Value(zmap.Get(c.reader(), c.ZMap(), c.Args[1])) }

func zdelCommand(c *Call) error { return c.OK(zmap.Delete(c.Txn, c.ZMap(), c.Args[1])) }

// Bound reads an end of a range; "*" leaves it open.
func Bound(arg []byte, sel zmap.Selector) zmap.Bound {
	if string(arg) == "*" {
		return zmap.Bound{Selector: sel}
	}
	return zmap.Bound{Key: arg, Set: true, Selector: sel}
}

func zdelrangeCommand(c *Call) error {
	return c.OK(zmap.DeleteRange(c.Txn, c.ZMap(), Bound(c.Args[1], 0), Bound(c.Args[2], 0)))
}

// zgetrangeLimit is how many pairs ZGETRANGE returns unless told.
const zgetrangeLimit = 100

func unknownArgument(arg []byte) error {
	return command.Error(fmt.Sprintf("ERR Unknown '%s' argument", command.Truncated(arg, command.EchoedBytes)))
}

func missingValue(keyword, expected string) error {
	return command.Error("ERR " + keyword + " argument must be followed by " + expected)
}

func parseSelector(args [][]byte, i int, keyword string) (zmap.Selector, error) {
	if i+1 >= len(args) {
		return 0, missingValue(keyword, "a valid key selector")
	}
	sel, ok := zmap.ParseSelector(string(command.Truncated(args[i+1], command.EchoedBytes)))
	if !ok {
		return 0, command.Error(fmt.Sprintf("ERR Unknown key selector: '%s'", command.Truncated(args[i+1], command.EchoedBytes)))
	}
	return sel, nil
}

func parseLimit(args [][]byte, i int) (int, error) {
	const expected = "a positive integer"
	if i+1 >= len(args) {
		return 0, missingValue("LIMIT", expected)
	}
	n, ok := redisnum.ParseInt(args[i+1])
	if !ok || n > 1<<31-1 || n < -1<<31 {
		return 0, command.ErrNotInteger
	}
	if n <= 0 {
		return 0, missingValue("LIMIT", expected)
	}
	return int(n), nil
}

// parseRange reads the arguments of ZGETRANGE behind its name.
func parseRange(args [][]byte) (zmap.Range, error) {
	o := zmap.Range{Begin: Bound(args[1], zmap.FirstGreaterOrEqual), End: Bound(args[2], zmap.FirstGreaterThan), Limit: zgetrangeLimit}
	seen := map[string]bool{}
	for i := 3; i < len(args); i++ {
		var keyword string
		var err error
		switch a := args[i]; {
		case command.Is(a, "limit"):
			keyword = "LIMIT"
			o.Limit, err = parseLimit(args, i)
		case command.Is(a, "reverse"):
			keyword, o.Reverse = "REVERSE", true
		case command.Is(a, "begin-key-selector"):
			keyword = "BEGIN-KEY-SELECTOR"
			o.Begin.Selector, err = parseSelector(args, i, keyword)
		case command.Is(a, "end-key-selector"):
			keyword = "END-KEY-SELECTOR"
			o.End.Selector, err = parseSelector(args, i, keyword)
		default:
			return o, unknownArgument(a)
		}
		switch {
		case seen[keyword]:
			return o, command.Error("ERR Duplicate '" + keyword + "' argument")
		case err != nil:
			return o, err
		case keyword != "REVERSE":
			i++
		}
		seen[keyword] = true
	}
	return o, nil
}

// zgetrangeArguments is the most that ZGETRANGE takes, its name included.
const zgetrangeArguments = 10

func zgetrangeCommand(c *Call) error {
	if len(c.Args) > zgetrangeArguments {
		return c.WrongArity()
	}
	o, err := parseRange(c.Args)
	if err != nil {
		return err
	}
	w := c.W
	start, count, full := len(w.Buf), 0, false
	reply := w.DeferArray()
	err = zmap.Scan(c.reader(), c.ZMap(), o, func(key, value []byte) bool {
		w.Array(2)
		w.Bulk(key)
		w.Bulk(value)
		count++
		full = len(w.Buf)-start > limits.KeysReplyBytes
		return !full
	})
	if err != nil {
		return err
	}
	if full {
		return command.ErrReplyTooBig
	}
	w.Close(reply, count)
	return nil
}

func zgetkeyCommand(c *Call) error {
	sel := zmap.FirstGreaterOrEqual
	if len(c.Args) > 4 {
		return c.WrongArity()
	}
	if len(c.Args) > 2 {
		if !command.Is(c.Args[2], "key-selector") {
			return unknownArgument(c.Args[2])
		}
		var err error
		if sel, err = parseSelector(c.Args, 2, "KEY-SELECTOR"); err != nil {
			return err
		}
	}
	return c.Value(zmap.GetKey(c.reader(), c.ZMap(), c.Args[1], sel))
}

func zmutateCommand(c *Call) error {
	op, ok := zmap.ParseMutation(string(command.Truncated(c.Args[3], command.EchoedBytes)))
	if !ok {
		return command.Error(fmt.Sprintf("ERR Unknown mutation type: '%s'", command.Truncated(c.Args[3], command.EchoedBytes)))
	}
	return c.OK(zmap.Mutate(c.Txn, c.ZMap(), op, c.Args[1], c.Args[2]))
}
