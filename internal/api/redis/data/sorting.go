package data

import (
	"bytes"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/sorting"
)

// Sorting is SORT and SORT_RO.
func Sorting() []Command {
	categories := []string{"set", "sortedset", "list"}
	one := command.Keys{First: 1, Last: 1, Step: 1}
	store := one
	store.Find = sortKeys
	return []Command{
		{Name: "sort", Summary: "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.", Since: "1.0.0", Group: command.GroupGeneric, Arity: -2,
			Flags: command.FlagWrite | command.FlagDenyOOM | command.FlagMovableKeys | command.FlagDangerous, Categories: categories, Apart: true, Keys: store, Handler: sortCommand},
		{Name: "sort_ro", Summary: "Returns the sorted elements of a list, a set, or a sorted set.", Since: "7.0.0", Group: command.GroupGeneric, Arity: -2,
			Flags: command.FlagReadonly | command.FlagMovableKeys | command.FlagDangerous, Categories: categories, Apart: true, Keys: one, Handler: sortCommand},
	}
}

// The errors of who may not read the keys that a pattern names.
const (
	errSortBy  command.Error = "ERR BY option of SORT denied due to insufficient ACL permissions."
	errSortGet command.Error = "ERR GET option of SORT denied due to insufficient ACL permissions."
)

// sortKeys finds SORT's keys: the first one, and the last one that it stores to.
func sortKeys(args [][]byte) []int {
	if len(args) < 2 {
		return nil
	}
	keys := []int{1}
	for i := 2; i < len(args); i++ {
		switch {
		case command.Is(args[i], "limit"):
			i += 2
		case command.Is(args[i], "get"), command.Is(args[i], "by"):
			i++
		case command.Is(args[i], "store") && i+1 < len(args):
			i++
			keys = append(keys[:1], i)
		}
	}
	return keys
}

func sortCommand(c *Call) error {
	o := sorting.Options{Count: -1}
	var to []byte
	for i := 2; i < len(c.Args); i++ {
		more := len(c.Args) - i - 1
		switch arg := c.Args[i]; {
		case command.Is(arg, "asc"):
			o.Desc = false
		case command.Is(arg, "desc"):
			o.Desc = true
		case command.Is(arg, "alpha"):
			o.Alpha = true
		case command.Is(arg, "limit") && more > 1:
			var err error
			if o.Offset, err = command.ParseInt(c.Args[i+1]); err != nil {
				return err
			}
			if o.Count, err = command.ParseInt(c.Args[i+2]); err != nil {
				return err
			}
			i += 2
		case command.Is(arg, "store") && more > 0 && c.Name == "sort":
			i++
			to = c.Args[i]
		case command.Is(arg, "by") && more > 0:
			i++
			if o.By = c.Args[i]; bytes.IndexByte(o.By, '*') >= 0 && !c.ReadsAnyKey() {
				return errSortBy
			}
		case command.Is(arg, "get") && more > 0:
			i++
			if !c.ReadsAnyKey() {
				return errSortGet
			}
			o.Get = append(o.Get, c.Args[i])
		default:
			return command.ErrSyntax
		}
	}
	if to != nil {
		return c.Integer(sorting.Store(c.Txn, c.DB, to, c.Args[1], o))
	}
	return c.Values(sorting.Sort(c.Txn, c.DB, c.Args[1], o))
}
