package data

import (
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/stream"
)

// StreamContainers are XGROUP and XINFO.
func StreamContainers() []Command {
	const write = command.FlagWrite
	sub := func(name, summary, since string, arity int, flags command.Flags, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupStream, Arity: arity, Flags: flags, Keys: command.SubKey, Handler: h}
	}
	return []Command{
		{Name: "xgroup", Summary: "A container for consumer groups commands.", Since: "5.0.0", Group: command.GroupStream, Arity: -2,
			Subcommands: []Command{
				sub("create", "Creates a consumer group.", "5.0.0", -5, write|command.FlagDenyOOM, xgroupCreate),
				sub("setid", "Sets the last-delivered ID of a consumer group.", "5.0.0", -5, write, xgroupSetID),
				sub("destroy", "Destroys a consumer group.", "5.0.0", 4, write, xgroupDestroy),
				sub("createconsumer", "Creates a consumer in a consumer group.", "6.2.0", 5, write|command.FlagDenyOOM, xgroupCreateConsumer),
				sub("delconsumer", "Deletes a consumer from a consumer group.", "5.0.0", 5, write, xgroupDelConsumer),
				streamHelp("xgroup",
					"CREATE <key> <groupname> <id|$> [option]", "    Create a new consumer group. Options are:", "    * MKSTREAM", "      Create the empty stream if it does not exist.",
					"    * ENTRIESREAD entries_read", "      Set the group's entries_read counter (internal use).", "CREATECONSUMER <key> <groupname> <consumer>",
					"    Create a new consumer in the specified group.", "DELCONSUMER <key> <groupname> <consumer>", "    Remove the specified consumer.",
					"DESTROY <key> <groupname>", "    Remove the specified group.", "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
					"    Set the current group ID and entries_read counter."),
			}},
		{Name: "xinfo", Summary: "A container for stream introspection commands.", Since: "5.0.0", Group: command.GroupStream, Arity: -2,
			Subcommands: []Command{
				sub("stream", "Returns information about a stream.", "5.0.0", -3, command.FlagReadonly, xinfoStream),
				sub("groups", "Returns a list of the consumer groups of a stream.", "5.0.0", 3, command.FlagReadonly, xinfoGroups),
				sub("consumers", "Returns a list of the consumers in a consumer group.", "5.0.0", 4, command.FlagReadonly, xinfoConsumers),
				streamHelp("xinfo",
					"CONSUMERS <key> <groupname>", "    Show consumers of <groupname>.", "GROUPS <key>", "    Show the stream consumer groups.",
					"STREAM <key> [FULL [COUNT <count>]", "    Show information about the stream."),
			}},
	}
}

func streamHelp(container string, lines ...string) Command {
	return Help(container, "5.0.0", command.GroupStream, lines...)
}

// WrongSubcommand is the error of a subcommand's arguments.
func (c *Call) WrongSubcommand() error {
	container, _, _ := strings.Cut(strings.ToUpper(c.Name), "|")
	return command.Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.",
		command.Truncated(c.Args[1], command.EchoedBytes), container))
}

// groupOptions reads [MKSTREAM] [ENTRIESREAD n].
func (c *Call) groupOptions(create bool) (o stream.GroupOptions, err error) {
	o.Start, o.Read = c.Args[4], -1
	for i := 5; i < len(c.Args); i++ {
		switch {
		case create && command.Is(c.Args[i], "mkstream"):
			o.Make = true
		case command.Is(c.Args[i], "entriesread") && i+1 < len(c.Args):
			i++
			if o.Read, err = command.ParseInt(c.Args[i]); err != nil {
				return o, err
			}
			if o.Read < -1 {
				return o, command.Error("ERR value for ENTRIESREAD must be positive or -1")
			}
		default:
			return o, c.WrongSubcommand()
		}
	}
	return o, nil
}

func xgroupCreate(c *Call) error {
	o, err := c.groupOptions(true)
	if err != nil {
		return err
	}
	return c.OK(stream.CreateGroup(c.Txn, c.DB, c.Args[2], c.Args[3], o))
}

func xgroupSetID(c *Call) error {
	o, err := c.groupOptions(false)
	if err != nil {
		return err
	}
	return c.OK(stream.SetGroup(c.Txn, c.DB, c.Args[2], c.Args[3], o))
}

func xgroupDestroy(c *Call) error {
	return c.Truth(stream.DestroyGroup(c.Txn, c.DB, c.Args[2], c.Args[3]))
}

func xgroupCreateConsumer(c *Call) error {
	return c.Truth(stream.CreateConsumer(c.Txn, c.DB, c.Args[2], c.Args[3], c.Args[4]))
}

func xgroupDelConsumer(c *Call) error {
	return c.Integer(stream.DelConsumer(c.Txn, c.DB, c.Args[2], c.Args[3], c.Args[4]))
}

func xinfoStream(c *Call) error {
	args := c.Args[3:]
	if len(args) == 0 {
		i, err := stream.StreamInfo(c.Txn, c.DB, c.Args[2])
		if err == nil {
			c.streamInfo(&i)
		}
		return err
	}
	count := int64(10)
	found, err := stream.Has(c.Txn, c.DB, c.Args[2])
	switch {
	case err != nil:
		return err
	case !found: // says who looks
	case len(args) != 1 && len(args) != 3 || !command.Is(args[0], "full") || len(args) == 3 && !command.Is(args[1], "count"):
		return c.WrongSubcommand()
	case len(args) == 3:
		if count, err = command.ParseInt(args[2]); err != nil {
			return err
		}
		if count < 0 {
			count = 10
		}
	}
	i, err := stream.FullInfo(c.Txn, c.DB, c.Args[2], count)
	if err == nil {
		c.fullStreamInfo(&i)
	}
	return err
}

func (c *Call) named(name string, n int64) {
	c.W.BulkString(name)
	c.W.Int(n)
}

func (c *Call) namedID(name string, id stream.ID) {
	c.W.BulkString(name)
	c.StreamID(id)
}

// known writes a number that is -1 if nobody knows it.
func (c *Call) known(name string, n int64) {
	c.W.BulkString(name)
	if n < 0 {
		c.W.Null()
		return
	}
	c.W.Int(n)
}

func (c *Call) streamFacts(i *stream.Info) {
	c.named("length", i.Len)
	c.named("radix-tree-keys", i.Nodes())
	c.named("radix-tree-nodes", i.Nodes()+1)
	c.namedID("last-generated-id", i.Last)
	c.namedID("max-deleted-entry-id", i.MaxDeleted)
	c.named("entries-added", i.Added)
	c.namedID("recorded-first-entry-id", i.First)
}

func (c *Call) streamInfo(i *stream.Info) {
	c.W.Map(10)
	c.streamFacts(i)
	c.named("groups", i.Groups)
	for _, edge := range []struct {
		name string
		item *stream.Item
	}{{"first-entry", &i.FirstItem}, {"last-entry", &i.LastItem}} {
		c.W.BulkString(edge.name)
		if i.Len == 0 {
			c.W.Null()
			continue
		}
		c.StreamItem(edge.item)
	}
}

func (c *Call) fullStreamInfo(i *stream.Info) {
	c.W.Map(9)
	c.streamFacts(i)
	c.W.BulkString("entries")
	c.StreamItems(i.Items)
	c.W.BulkString("groups")
	c.W.Array(len(i.AllGroups))
	for j := range i.AllGroups {
		g := &i.AllGroups[j]
		c.W.Map(7)
		c.W.BulkString("name")
		c.W.Bulk(g.Name)
		c.namedID("last-delivered-id", g.Last)
		c.known("entries-read", g.Read)
		c.known("lag", g.Lag)
		c.named("pel-count", g.Pending)
		c.W.BulkString("pending")
		c.pendingEntries(g.Entries, true)
		c.W.BulkString("consumers")
		c.W.Array(len(g.AllConsumers))
		for k := range g.AllConsumers {
			x := &g.AllConsumers[k]
			c.W.Map(5)
			c.W.BulkString("name")
			c.W.Bulk(x.Name)
			c.named("seen-time", x.Seen)
			c.named("active-time", x.Active)
			c.named("pel-count", x.Pending)
			c.W.BulkString("pending")
			c.pendingEntries(x.Entries, false)
		}
	}
}

func (c *Call) pendingEntries(entries []stream.Pending, consumers bool) {
	c.W.Array(len(entries))
	for _, p := range entries {
		n := 3
		if consumers {
			n = 4
		}
		c.W.Array(n)
		c.StreamID(p.ID)
		if consumers {
			c.W.Bulk(p.Consumer)
		}
		c.W.Int(p.Delivered)
		c.W.Int(p.Times)
	}
}

func xinfoGroups(c *Call) error {
	groups, err := stream.Groups(c.Txn, c.DB, c.Args[2])
	if err != nil {
		return err
	}
	c.W.Array(len(groups))
	for i := range groups {
		g := &groups[i]
		c.W.Map(6)
		c.W.BulkString("name")
		c.W.Bulk(g.Name)
		c.named("consumers", g.Consumers)
		c.named("pending", g.Pending)
		c.namedID("last-delivered-id", g.Last)
		c.known("entries-read", g.Read)
		c.known("lag", g.Lag)
	}
	return nil
}

func xinfoConsumers(c *Call) error {
	consumers, err := stream.Consumers(c.Txn, c.DB, c.Args[2], c.Args[3])
	if err != nil {
		return err
	}
	now := c.Txn.NowMillis()
	c.W.Array(len(consumers))
	for i := range consumers {
		x := &consumers[i]
		inactive := int64(-1)
		if x.Active >= 0 {
			inactive = now - x.Active
		}
		c.W.Map(4)
		c.W.BulkString("name")
		c.W.Bulk(x.Name)
		c.named("pending", x.Pending)
		c.named("idle", max(now-x.Seen, 0))
		c.named("inactive", inactive)
	}
	return nil
}
