package command

import "github.com/stratadb/strata/internal/wire/resp"

// Describe writes the ten fields that COMMAND tells about a command.
func Describe[C any](w *resp.Writer, cmd *Command[C]) {
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
	keySpecs(w, cmd.Specs())
	w.Array(len(cmd.Subcommands))
	for i := range cmd.Subcommands {
		Describe(w, &cmd.Subcommands[i])
	}
}

func keySpecs(w *resp.Writer, specs []Spec) {
	w.Set(len(specs))
	for i := range specs {
		keySpec(w, &specs[i])
	}
}

// specPart writes one of the two parts of a spec: its type and some numbers.
func specPart(w *resp.Writer, name, kind string, facts ...any) {
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

func keySpec(w *resp.Writer, s *Spec) {
	w.Map(3)
	w.BulkString("flags")
	AccessFlags(w, s.Access)
	switch {
	case s.Unknown:
		specPart(w, "begin_search", "unknown")
	case s.Keyword != "":
		specPart(w, "begin_search", "keyword", "keyword", s.Keyword, "startfrom", s.At)
	default:
		specPart(w, "begin_search", "index", "index", s.At)
	}
	switch {
	case s.Unknown:
		specPart(w, "find_keys", "unknown")
	case s.Counted:
		specPart(w, "find_keys", "keynum", "keynumidx", 0, "firstkey", 1, "keystep", s.Step)
	default:
		specPart(w, "find_keys", "range", "lastkey", s.Last, "keystep", s.Step, "limit", s.Limit)
	}
}

// AccessFlags writes how a key is used.
func AccessFlags(w *resp.Writer, flags []string) {
	w.Set(len(flags))
	for _, f := range flags {
		w.SimpleString(f)
	}
}

// Document writes a command's name and the map of what is told about it.
func Document[C any](w *resp.Writer, cmd *Command[C]) {
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
			Document(w, &cmd.Subcommands[i])
		}
	}
}

// KeysOf finds the command that args spell out, and where its keys are among them.
func (t *Table[C]) KeysOf(args [][]byte) (*Command[C], []int, error) {
	cmd := t.Resolve(args)
	switch {
	case cmd == nil:
		return nil, nil, Error("ERR Invalid command specified")
	case !cmd.ArityFits(len(args)):
		return nil, nil, Error("ERR Invalid number of arguments specified for command")
	case cmd.Keys.First == 0 && cmd.Keys.Find == nil:
		return nil, nil, Error("ERR The command has no key arguments")
	}
	keys := cmd.Keys.Positions(args, nil)
	if cmd.Flags&FlagNoMandatoryKeys != 0 {
		return cmd, keys, nil
	}
	if len(keys) == 0 && cmd.Keys.Find != nil {
		return nil, nil, Error("ERR Invalid arguments specified for command")
	}
	if len(keys) == 0 {
		return nil, nil, Error("ERR The command has no key arguments")
	}
	return cmd, keys, nil
}
