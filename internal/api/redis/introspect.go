package redis

import (
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/glob"
)

// helpFor is the HELP subcommand of a container.
func helpFor(container, since string, group command.Group, lines ...string) Command {
	upper := strings.ToUpper(container)
	text := append([]string{upper + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}, lines...)
	text = append(text, "HELP", "    Print this help.")
	return Command{
		Name: "help", Summary: "Returns helpful text about the different subcommands.", Since: since, Group: group, Arity: 2,
		Flags: command.FlagLoading | command.FlagStale, Kind: command.KindConnection,
		Handler: func(c *Call) error {
			c.W.Array(len(text))
			for _, line := range text {
				c.W.SimpleString(line)
			}
			return nil
		},
	}
}

func commandCommands() []Command {
	const flags = command.FlagLoading | command.FlagStale
	sub := func(name, summary, since string, arity int, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: flags,
			Categories: []string{"connection"}, Kind: command.KindConnection, Handler: h}
	}
	return []Command{{
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
}

func commandCommand(c *Call) error {
	t := c.s.srv.table
	c.W.Array(len(t.Sorted))
	for _, cmd := range t.Sorted {
		c.describe(cmd)
	}
	return nil
}

func commandCount(c *Call) error {
	c.W.Int(int64(len(c.s.srv.table.Sorted)))
	return nil
}

func commandInfo(c *Call) error {
	if len(c.Args) == 2 {
		return commandCommand(c)
	}
	c.W.Array(len(c.Args) - 2)
	for _, name := range c.Args[2:] {
		if cmd := c.s.srv.table.ByFullName(name); cmd != nil {
			c.describe(cmd)
			continue
		}
		c.W.Null()
	}
	return nil
}

// describe writes the ten fields that COMMAND tells about a command.
func (c *Call) describe(cmd *Command) {
	w := c.W
	w.Array(10)
	w.BulkString(cmd.FullName())
	w.Int(int64(cmd.Arity))
	flags := cmd.Flags.Names()
	w.Set(len(flags))
	for _, f := range flags {
		w.SimpleString(f)
	}
	w.Int(int64(cmd.Keys.First))
	w.Int(int64(cmd.Keys.Last))
	w.Int(int64(cmd.Keys.Step))
	categories := cmd.AllCategories()
	w.Set(len(categories))
	for _, name := range categories {
		w.SimpleString("@" + name)
	}
	tips := cmd.Tips()
	w.Set(len(tips))
	for _, tip := range tips {
		w.BulkString(tip)
	}
	c.keySpecs(cmd)
	w.Array(len(cmd.Subcommands))
	for i := range cmd.Subcommands {
		c.describe(&cmd.Subcommands[i])
	}
}

func (c *Call) keySpecs(cmd *Command) {
	specs := cmd.Specs()
	c.W.Set(len(specs))
	for i := range specs {
		c.keySpec(&specs[i])
	}
}

// specPart writes one of the two parts of a spec: its type and some numbers.
func (c *Call) specPart(name, kind string, facts ...any) {
	w := c.W
	w.BulkString(name)
	w.Map(2)
	w.BulkString("type")
	w.BulkString(kind)
	w.BulkString("spec")
	w.Map(len(facts) / 2)
	for _, fact := range facts {
		switch fact := fact.(type) {
		case string:
			w.BulkString(fact)
		case int:
			w.Int(int64(fact))
		}
	}
}

func (c *Call) keySpec(s *command.Spec) {
	c.W.Map(3)
	c.W.BulkString("flags")
	c.accessFlags(s.Access)
	switch {
	case s.Unknown:
		c.specPart("begin_search", "unknown")
	case s.Keyword != "":
		c.specPart("begin_search", "keyword", "keyword", s.Keyword, "startfrom", s.At)
	default:
		c.specPart("begin_search", "index", "index", s.At)
	}
	switch {
	case s.Unknown:
		c.specPart("find_keys", "unknown")
	case s.Counted:
		c.specPart("find_keys", "keynum", "keynumidx", 0, "firstkey", 1, "keystep", s.Step)
	default:
		c.specPart("find_keys", "range", "lastkey", s.Last, "keystep", s.Step, "limit", s.Limit)
	}
}

func (c *Call) accessFlags(flags []string) {
	c.W.Set(len(flags))
	for _, f := range flags {
		c.W.SimpleString(f)
	}
}

func commandDocs(c *Call) error {
	t := c.s.srv.table
	cmds := t.Sorted
	if len(c.Args) > 2 {
		cmds = nil
		for _, name := range c.Args[2:] {
			if cmd := t.ByFullName(name); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}
	c.W.Map(len(cmds))
	for _, cmd := range cmds {
		c.document(cmd)
	}
	return nil
}

// document writes a command's name and the map of what is told about it.
func (c *Call) document(cmd *Command) {
	w := c.W
	w.BulkString(cmd.FullName())
	n := 3
	if len(cmd.Subcommands) > 0 {
		n++
	}
	w.Map(n)
	for _, pair := range [][2]string{{"summary", cmd.Summary}, {"since", cmd.Since}, {"group", string(cmd.Group)}} {
		w.BulkString(pair[0])
		w.BulkString(pair[1])
	}
	if len(cmd.Subcommands) > 0 {
		w.BulkString("subcommands")
		w.Map(len(cmd.Subcommands))
		for i := range cmd.Subcommands {
			c.document(&cmd.Subcommands[i])
		}
	}
}

func commandList(c *Call) error {
	keep := func(*Command) bool { return true }
	switch {
	case len(c.Args) == 2:
	case len(c.Args) == 5 && command.Is(c.Args[2], "filterby"):
		want := string(c.Args[4])
		switch kind := c.Args[3]; {
		case command.Is(kind, "module"):
			keep = func(*Command) bool { return false }
		case command.Is(kind, "aclcat"):
			keep = func(cmd *Command) bool { return slices.Contains(cmd.AllCategories(), strings.ToLower(want)) }
		case command.Is(kind, "pattern"):
			keep = func(cmd *Command) bool { return glob.Match([]byte(want), []byte(cmd.FullName()), true) }
		default:
			return command.ErrSyntax
		}
	default:
		return command.ErrSyntax
	}
	mark := c.W.DeferArray()
	n := 0
	c.s.srv.table.Each(func(cmd *Command) {
		if keep(cmd) {
			c.W.BulkString(cmd.FullName())
			n++
		}
	})
	c.W.Close(mark, n)
	return nil
}

// keysOf finds where the keys are of the command that is spelled out from c.Args[2] on.
func (c *Call) keysOf() (*Command, []int, error) {
	args := c.Args[2:]
	cmd := c.s.srv.table.Resolve(args)
	switch {
	case cmd == nil:
		return nil, nil, command.Error("ERR Invalid command specified")
	case !cmd.ArityFits(len(args)):
		return nil, nil, command.Error("ERR Invalid number of arguments specified for command")
	case cmd.Keys.First == 0 && cmd.Keys.Find == nil:
		return nil, nil, command.Error("ERR The command has no key arguments")
	}
	keys := cmd.Keys.Positions(args, nil)
	if len(keys) == 0 && cmd.Keys.Find != nil {
		return nil, nil, command.Error("ERR Invalid arguments specified for command")
	}
	if len(keys) == 0 {
		return nil, nil, command.Error("ERR The command has no key arguments")
	}
	return cmd, keys, nil
}

func commandGetkeys(c *Call) error {
	_, keys, err := c.keysOf()
	if err != nil {
		return err
	}
	c.W.Array(len(keys))
	for _, at := range keys {
		c.W.Bulk(c.Args[2+at])
	}
	return nil
}

func commandGetkeysAndFlags(c *Call) error {
	cmd, keys, err := c.keysOf()
	if err != nil {
		return err
	}
	args := c.Args[2:]
	c.W.Array(len(keys))
	for _, at := range keys {
		c.W.Array(2)
		c.W.Bulk(args[at])
		c.accessFlags(cmd.AccessAt(args, at))
	}
	return nil
}
