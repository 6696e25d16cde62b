package blocking

import (
	"bytes"
	"slices"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/stream"
)

// Streams are the commands on streams.
func Streams() []Command {
	const flags = command.FlagBlocking | command.FlagMovableKeys
	rows := []Command{
		{Name: "xread", Summary: "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.",
			Since: "5.0.0", Arity: -4, Flags: flags | command.FlagReadonly, Keys: command.Keys{Find: streamKeys(1)}, Handler: xreadCommand},
		{Name: "xreadgroup", Summary: "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is available otherwise.",
			Since: "5.0.0", Arity: -7, Flags: flags | command.FlagWrite, Keys: command.Keys{Find: streamKeys(4)}, Handler: xreadgroupCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Kind = command.GroupStream, command.KindPaged
	}
	return rows
}

// streamKeys finds the keys behind STREAMS, the first one from an argument on.
func streamKeys(from int) func(args [][]byte) (found []int) {
	return func(args [][]byte) (found []int) {
		for i := from; i < len(args); i++ {
			if !command.Is(args[i], "streams") {
				continue
			}
			for k := range (len(args) - i - 1) / 2 {
				found = append(found, i+1+k)
			}
			break
		}
		return found
	}
}

// xread is XREAD and XREADGROUP.
type xread struct {
	c         *Call
	keys, ids [][]byte
	count     int64
	block     bool
	timeout   time.Duration
	grouped   bool
	group     stream.GroupRead
	// after is behind what XREAD looks, once resolved.
	after    []stream.ID
	resolved bool
}

const (
	errGroupOption command.Error = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."
	errNoAckOption command.Error = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."
)

func (x *xread) parse() (err error) {
	args := x.c.Args
	named := false
	for i := 1; i < len(args); i++ {
		more := len(args) - i - 1
		switch arg := args[i]; {
		case command.Is(arg, "block") && more > 0:
			i++
			x.block = true
			x.timeout, err = millis(args[i])
		case command.Is(arg, "count") && more > 0:
			i++
			x.count, err = command.ParseInt(args[i])
			x.count = max(x.count, 0)
		case command.Is(arg, "streams") && more > 0:
			if more%2 != 0 {
				return x.unbalanced()
			}
			x.keys, x.ids = args[i+1:i+1+more/2], args[i+1+more/2:]
			if x.grouped && !named {
				return command.Error("ERR Missing GROUP option for XREADGROUP")
			}
			return nil
		case command.Is(arg, "group") && more > 1:
			if !x.grouped {
				return errGroupOption
			}
			x.group.Group, x.group.Consumer, named = args[i+1], args[i+2], true
			i += 2
		case command.Is(arg, "noack"):
			if !x.grouped {
				return errNoAckOption
			}
			x.group.NoAck = true
		default:
			return command.ErrSyntax
		}
		if err != nil {
			return err
		}
	}
	return command.ErrSyntax
}

func (x *xread) unbalanced() error {
	if x.grouped {
		return command.Error("ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.")
	}
	return command.Error("ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.")
}

// resolve looks at the keys and reads the IDs, which may be about the ends of the streams.
func (x *xread) resolve(t kv.Txn) error {
	x.after = x.after[:0]
	for i, key := range x.keys {
		var err error
		var id stream.ID
		if x.grouped {
			id, err = x.groupID(t, key, x.ids[i])
		} else {
			id, err = x.plainID(t, key, x.ids[i])
		}
		if err != nil {
			return err
		}
		x.after = append(x.after, id)
	}
	x.resolved = true
	return nil
}

func (x *xread) groupID(t kv.Txn, key, arg []byte) (id stream.ID, err error) {
	if err := stream.CheckGroup(t, x.c.DB, key, x.group.Group); err != nil {
		return id, err
	}
	switch word := string(arg); word {
	case "$", "+":
		return id, command.Error("ERR The " + word + " ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by " +
			"specifying a proper ID, or use the > ID to get new messages. The " + word + " ID would just return an empty result set.")
	case ">":
		return stream.MaxID, nil
	}
	return stream.ParseID(arg, 0)
}

func (x *xread) plainID(t kv.Txn, key, arg []byte) (id stream.ID, err error) {
	tail, err := stream.TailOf(t, x.c.DB, key)
	if err != nil {
		return id, err
	}
	switch string(arg) {
	case "$":
		return tail.Last, nil
	case "+": // the last entry, and no other one
		if tail.Entry == (stream.ID{}) {
			return tail.Last, nil
		}
		id, _ = tail.Entry.Prev()
		return id, nil
	case ">":
		return id, command.Error("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
	}
	return stream.ParseID(arg, 0)
}

// found is what a stream has.
type found struct {
	key   []byte
	items []stream.Item
}

// serve replies if one of keys has something.
func (x *xread) serve(t kv.Txn, keys [][]byte, waiting bool) (bool, error) {
	if !waiting || !x.resolved {
		if err := x.resolve(t); err != nil {
			return false, err
		}
	}
	var all []found
	for i, key := range x.keys {
		if waiting && !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			continue
		}
		items, history, err := x.one(t, i, waiting)
		if err != nil {
			return false, err
		}
		if len(items) > 0 || history {
			all = append(all, found{key, items})
		}
	}
	if len(all) == 0 {
		return false, nil
	}
	w := x.c.W
	if w.Proto < 3 {
		w.Array(len(all))
	} else {
		w.Map(len(all))
	}
	for _, f := range all {
		if w.Proto < 3 {
			w.Array(2)
		}
		w.Bulk(f.key)
		x.c.StreamItems(f.items)
	}
	return true, nil
}

func (x *xread) one(t kv.Txn, i int, waiting bool) (items []stream.Item, history bool, err error) {
	if !x.grouped {
		items, err = stream.Read(t, x.c.DB, x.keys[i], x.after[i], x.count, nil)
		return items, false, err
	}
	o := x.group
	o.Count, o.Waiting = x.count, waiting
	o.New = string(x.ids[i]) == ">"
	o.After = x.after[i]
	items, err = stream.ReadGroup(t, x.c.DB, x.keys[i], o, nil)
	return items, !o.New, err
}

func xreadCommand(c *Call) error      { return (&xread{c: c}).run() }
func xreadgroupCommand(c *Call) error { return (&xread{c: c, grouped: true}).run() }

func (x *xread) run() error {
	if err := x.parse(); err != nil {
		return err
	}
	c := x.c
	w := &wait{keys: x.keys, kind: model.TypeStream, line: x.group.Group, alone: !x.grouped, strict: x.grouped, nothing: c.W.NullArray, atOnce: c.W.NullArray}
	w.serve = func(t kv.Txn, keys [][]byte) (bool, error) { return x.serve(t, keys, w.waiting) }
	w.check = x.resolve
	if !x.block || x.pastOnly() {
		served, err := c.attempt(w, w.keys, false)
		if err == nil && !served {
			c.W.NullArray()
		}
		return err
	}
	return c.block(w, x.timeout)
}

// pastOnly reports whether XREADGROUP asks for what has been delivered, which is answered at
// once.
func (x *xread) pastOnly() bool {
	return x.grouped && slices.ContainsFunc(x.ids, func(id []byte) bool { return string(id) != ">" })
}
