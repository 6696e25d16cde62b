package command

import (
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/glob"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Info replies what COMMAND INFO does of names; without any, of all commands.
func (t *Table[C]) Info(w *resp.Writer, names [][]byte) error {
	if len(names) == 0 {
		w.Array(len(t.Sorted))
		for _, cmd := range t.Sorted {
			Describe(w, cmd)
		}
		return nil
	}
	w.Array(len(names))
	for _, name := range names {
		if cmd := t.ByFullName(name); cmd != nil {
			Describe(w, cmd)
			continue
		}
		w.Null()
	}
	return nil
}

// Docs replies what COMMAND DOCS does of names; without any, of all commands.
func (t *Table[C]) Docs(w *resp.Writer, names [][]byte) error {
	cmds := t.Sorted
	if len(names) > 0 {
		cmds = nil
		for _, name := range names {
			if cmd := t.ByFullName(name); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}
	w.Map(len(cmds))
	for _, cmd := range cmds {
		Document(w, cmd)
	}
	return nil
}

// List replies what COMMAND LIST does, with the words behind it.
func (t *Table[C]) List(w *resp.Writer, words [][]byte) error {
	keep := func(*Command[C]) bool { return true }
	switch {
	case len(words) == 0:
	case len(words) == 3 && Is(words[0], "filterby"):
		want := string(words[2])
		switch kind := words[1]; {
		case Is(kind, "module"):
			keep = func(*Command[C]) bool { return false }
		case Is(kind, "aclcat"):
			keep = func(cmd *Command[C]) bool { return slices.Contains(cmd.AllCategories(), strings.ToLower(want)) }
		case Is(kind, "pattern"):
			keep = func(cmd *Command[C]) bool { return glob.Match([]byte(want), []byte(cmd.FullName()), true) }
		default:
			return ErrSyntax
		}
	default:
		return ErrSyntax
	}
	mark, n := w.DeferArray(), 0
	t.Each(func(cmd *Command[C]) {
		if keep(cmd) {
			w.BulkString(cmd.FullName())
			n++
		}
	})
	w.Close(mark, n)
	return nil
}

// WriteKeys replies the keys of the command that args spell out, and what becomes of them.
func (t *Table[C]) WriteKeys(w *resp.Writer, args [][]byte, flags bool) error {
	cmd, keys, err := t.KeysOf(args)
	if err != nil {
		return err
	}
	w.Array(len(keys))
	for _, at := range keys {
		if flags {
			w.Array(2)
		}
		w.Bulk(args[at])
		if flags {
			AccessFlags(w, cmd.AccessAt(args, at))
		}
	}
	return nil
}
