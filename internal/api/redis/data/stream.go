package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/stream"
)

// Streams are their commands but for those on groups and those that block.
func Streams() []Command {
	const write = command.FlagWrite | command.FlagFast
	rows := []Command{
		{Name: "xadd", Summary: "Appends a new message to a stream. Creates the key if it doesn't exist.", Since: "5.0.0", Arity: -5, Flags: write | command.FlagDenyOOM, Handler: xaddCommand},
		{Name: "xlen", Summary: "Return the number of messages in a stream.", Since: "5.0.0", Arity: 2, Flags: command.FlagReadonly | command.FlagFast, Handler: xlenCommand},
		{Name: "xrange", Summary: "Returns the messages from a stream within a range of IDs.", Since: "5.0.0", Arity: -4, Flags: command.FlagReadonly, Handler: xrangeCommand},
		{Name: "xrevrange", Summary: "Returns the messages from a stream within a range of IDs in reverse order.", Since: "5.0.0", Arity: -4, Flags: command.FlagReadonly, Handler: xrangeCommand},
		{Name: "xdel", Summary: "Returns the number of messages after removing them from a stream.", Since: "5.0.0", Arity: -3, Flags: write, Handler: xdelCommand},
		{Name: "xtrim", Summary: "Deletes messages from the beginning of a stream.", Since: "5.0.0", Arity: -4, Flags: command.FlagWrite, Handler: xtrimCommand},
		{Name: "xsetid", Summary: "An internal command for replicating stream values.", Since: "5.0.0", Arity: -3, Flags: write | command.FlagDenyOOM, Handler: xsetidCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Keys = command.GroupStream, command.OneKey
	}
	return rows
}

const errTrimBoth command.Error = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"

// trimOption reads MAXLEN or MINID at args[0]; used is how many arguments it takes, 0 if it
// is neither.
func trimOption(args [][]byte, o *stream.Trim) (used int, err error) {
	by := stream.ByID
	switch {
	case len(args) < 2:
		return 0, nil
	case command.Is(args[0], "maxlen"):
		by = stream.ByLength
	case !command.Is(args[0], "minid"):
		return 0, nil
	}
	if o.By != stream.NoTrim {
		return 2, errTrimBoth
	}
	o.By, used = by, 2
	if mark := string(args[1]); len(args) > 2 && (mark == "~" || mark == "=") {
		o.About, used = mark == "~", 3
	}
	value := args[used-1]
	if by == stream.ByID {
		o.MinID, err = stream.ParseID(value, 0)
		return used, err
	}
	if o.MaxLen, err = command.ParseInt(value); err == nil && o.MaxLen < 0 {
		err = command.Error("ERR The MAXLEN argument must be >= 0.")
	}
	return used, err
}

// trimOptions reads the options of XADD and XTRIM; word is told of each other argument and
// answers whether it is the last one. at is where the options end.
func trimOptions(args [][]byte, o *stream.Trim, word func(arg []byte) (last bool, err error)) (at int, err error) {
	limited := false
	for at = 2; at < len(args); at++ {
		used, err := trimOption(args[at:], o)
		switch {
		case err != nil:
			return at, err
		case used > 0:
			at += used - 1
			continue
		case command.Is(args[at], "limit") && at+1 < len(args):
			at++
			if o.Limit, err = command.ParseInt(args[at]); err != nil {
				return at, err
			}
			if o.Limit < 0 {
				return at, command.Error("ERR The LIMIT argument must be >= 0.")
			}
			limited = true
			continue
		}
		last, err := word(args[at])
		if err != nil {
			return at, err
		}
		if last {
			break
		}
	}
	switch {
	case o.Limit != 0 && o.By == stream.NoTrim:
		return at, command.Error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case limited && !o.About:
		return at, command.Error("ERR syntax error, LIMIT cannot be used without the special ~ option")
	case o.About && !limited:
		o.Limit = stream.DefaultLimit
	}
	return at, nil
}

func xaddCommand(c *Call) error {
	var o stream.AddOptions
	at, err := trimOptions(c.Args, &o.Trim, func(arg []byte) (last bool, err error) {
		switch {
		case string(arg) == "*":
			o.Auto = true
			return true, nil
		case command.Is(arg, "nomkstream"):
			o.Existing = true
			return false, nil
		}
		o.ID, o.AutoSeq, err = stream.ParseOpenID(arg)
		return true, err
	})
	if err != nil {
		return err
	}
	fields := c.Args[min(at+1, len(c.Args)):]
	if len(fields) < 2 || len(fields)%2 != 0 {
		return c.WrongArity()
	}
	id, added, err := stream.Add(c.Txn, c.DB, c.Args[1], o, fields)
	switch {
	case err != nil:
		return err
	case added:
		c.StreamID(id)
	default:
		c.W.Null()
	}
	return nil
}

// StreamID writes an ID.
func (c *Call) StreamID(id stream.ID) {
	var text [44]byte
	c.W.Bulk(id.Append(text[:0]))
}

// StreamItem writes an entry.
func (c *Call) StreamItem(x *stream.Item) {
	c.W.Array(2)
	c.StreamID(x.ID)
	if x.Fields == nil {
		c.W.NullArray()
		return
	}
	c.W.Array(len(x.Fields))
	for _, f := range x.Fields {
		c.W.Bulk(f)
	}
}

// StreamItems writes entries.
func (c *Call) StreamItems(items []stream.Item) {
	c.W.Array(len(items))
	for i := range items {
		c.StreamItem(&items[i])
	}
}

// streamIDs writes the IDs of entries.
func (c *Call) streamIDs(items []stream.Item) {
	c.W.Array(len(items))
	for i := range items {
		c.StreamID(items[i].ID)
	}
}

func xlenCommand(c *Call) error { return c.Integer(stream.Len(c.Txn, c.DB, c.Args[1])) }

// interval reads the ends of a range; one behind ( is excluded.
func interval(start, end []byte) (from, to stream.ID, err error) {
	if from, err = intervalEnd(start, 0, stream.ID.Next, "ERR invalid start ID for the interval"); err == nil {
		to, err = intervalEnd(end, ^uint64(0), stream.ID.Prev, "ERR invalid end ID for the interval")
	}
	return from, to, err
}

func intervalEnd(arg []byte, seq uint64, step func(stream.ID) (stream.ID, bool), none command.Error) (id stream.ID, err error) {
	if len(arg) < 2 || arg[0] != '(' {
		return stream.ParseEnd(arg, seq)
	}
	if id, err = stream.ParseID(arg[1:], seq); err != nil {
		return id, err
	}
	id, some := step(id)
	if !some {
		return id, none
	}
	return id, nil
}

func xrangeCommand(c *Call) error {
	o := stream.RangeOptions{Reverse: c.Name == "xrevrange"}
	start, end := c.Args[2], c.Args[3]
	if o.Reverse {
		start, end = end, start
	}
	var err error
	if o.Start, o.End, err = interval(start, end); err != nil {
		return err
	}
	empty := false
	for i := 4; i < len(c.Args); i += 2 {
		if !command.Is(c.Args[i], "count") || i+1 == len(c.Args) {
			return command.ErrSyntax
		}
		if o.Count, err = command.ParseInt(c.Args[i+1]); err != nil {
			return err
		}
		o.Count = max(o.Count, 0)
		empty = o.Count == 0
	}
	if empty {
		found, err := stream.Has(c.Txn, c.DB, c.Args[1])
		switch {
		case err != nil:
			return err
		case found:
			c.W.NullArray()
		default:
			c.W.Array(0)
		}
		return nil
	}
	items, _, err := stream.Range(c.Txn, c.DB, c.Args[1], o, nil)
	if err == nil {
		c.StreamItems(items)
	}
	return err
}

func streamIDsOf(args [][]byte) ([]stream.ID, error) {
	ids := make([]stream.ID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = stream.ParseID(arg, 0); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func xdelCommand(c *Call) error {
	ids, parseErr := streamIDsOf(c.Args[2:])
	if parseErr != nil {
		found, err := stream.Has(c.Txn, c.DB, c.Args[1])
		if err == nil && found {
			err = parseErr
		}
		return c.Integer(0, err)
	}
	return c.Integer(stream.Del(c.Txn, c.DB, c.Args[1], ids))
}

func xtrimCommand(c *Call) error {
	var o stream.Trim
	if _, err := trimOptions(c.Args, &o, func([]byte) (bool, error) { return false, command.ErrSyntax }); err != nil {
		return err
	}
	return c.Integer(stream.TrimTo(c.Txn, c.DB, c.Args[1], o))
}

func xsetidCommand(c *Call) error {
	o := stream.SetIDOptions{Added: -1}
	var err error
	if o.Last, err = stream.ParseID(c.Args[2], 0); err != nil {
		return err
	}
	for i := 3; i < len(c.Args); i += 2 {
		more := i+1 < len(c.Args)
		switch {
		case more && command.Is(c.Args[i], "entriesadded"):
			if o.Added, err = command.ParseInt(c.Args[i+1]); err == nil && o.Added < 0 {
				err = command.Error("ERR entries_added must be positive")
			}
		case more && command.Is(c.Args[i], "maxdeletedid"):
			if o.MaxDeleted, err = stream.ParseID(c.Args[i+1], 0); err == nil && o.Last.Compare(o.MaxDeleted) < 0 {
				err = command.Error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
			}
		default:
			err = command.ErrSyntax
		}
		if err != nil {
			return err
		}
	}
	return c.OK(stream.SetID(c.Txn, c.DB, c.Args[1], o))
}
