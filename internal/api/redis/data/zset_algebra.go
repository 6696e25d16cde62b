package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/redisnum"
)

// SortedSetAlgebra are their commands.
func SortedSetAlgebra() []Command {
	union := func(op zset.Algebra) func(c *Call) error { return func(c *Call) error { return c.zalgebra(op) } }
	store := func(op zset.Algebra) func(c *Call) error { return func(c *Call) error { return c.zstore(op) } }
	counted := command.Keys{Find: command.CountedKeys(1)}
	stored := command.Keys{First: 1, Last: 1, Step: 1, Find: func(args [][]byte) []int {
		from := command.CountedKeys(2)(args)
		if from == nil {
			return nil
		}
		return append([]int{1}, from...)
	}}
	const (
		read  = command.FlagReadonly | command.FlagMovableKeys
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagMovableKeys
	)
	return zsetRows([]Command{
		{Name: "zunion", Summary: "Returns the union of multiple sorted sets.", Since: "6.2.0", Arity: -3, Flags: read, Keys: counted, Handler: union(zset.Union)},
		{Name: "zinter", Summary: "Returns the intersect of multiple sorted sets.", Since: "6.2.0", Arity: -3, Flags: read, Keys: counted, Handler: union(zset.Inter)},
		{Name: "zdiff", Summary: "Returns the difference between multiple sorted sets.", Since: "6.2.0", Arity: -3, Flags: read, Keys: counted, Handler: union(zset.Diff)},
		{Name: "zintercard", Summary: "Returns the number of members of the intersect of multiple sorted sets.", Since: "7.0.0", Arity: -3, Flags: read, Keys: counted,
			Handler: zintercardCommand},
		{Name: "zunionstore", Summary: "Stores the union of multiple sorted sets in a key.", Since: "2.0.0", Arity: -4, Flags: write, Keys: stored, Handler: store(zset.Union)},
		{Name: "zinterstore", Summary: "Stores the intersect of multiple sorted sets in a key.", Since: "2.0.0", Arity: -4, Flags: write, Keys: stored, Handler: store(zset.Inter)},
		{Name: "zdiffstore", Summary: "Stores the difference of multiple sorted sets in a key.", Since: "6.2.0", Arity: -4, Flags: write, Keys: stored, Handler: store(zset.Diff)},
	})
}

const errWeight command.Error = "ERR weight value is not a float"

// algebra is what ZUNION and its kin ask for.
type algebra struct {
	keys       [][]byte
	o          zset.AlgebraOptions
	withScores bool
	limit      int64
}

// algebraArgs reads arguments from the number of keys on. Which options there are depends on
// the command.
func (c *Call) algebraArgs(args [][]byte, store bool) (a algebra, err error) {
	n, err := command.ParseInt(args[0])
	switch {
	case err != nil:
		return a, err
	case n < 1:
		return a, command.Error("ERR at least 1 input key is needed for '" + c.Name + "' command")
	case n > int64(len(args)-1):
		return a, command.ErrSyntax
	}
	a.keys, args = args[1:1+n], args[1+n:]
	card, diff := c.Name == "zintercard", c.Name == "zdiff" || c.Name == "zdiffstore"
	for len(args) > 0 {
		used := 1
		switch word := args[0]; {
		case !card && !diff && command.Is(word, "weights") && int64(len(args)) > n:
			used += int(n)
			a.o.Weights, err = weights(args[1:used])
		case !card && !diff && command.Is(word, "aggregate") && len(args) > 1:
			used++
			a.o.Aggregate, err = aggregate(args[1])
		case !card && !store && command.Is(word, "withscores"):
			a.withScores = true
		case card && command.Is(word, "limit") && len(args) > 1:
			used++
			a.limit, err = command.AtLeast(args[1], 0, "ERR LIMIT can't be negative")
		default:
			err = command.ErrSyntax
		}
		if err != nil {
			return a, err
		}
		args = args[used:]
	}
	return a, nil
}

func weights(args [][]byte) (list []float64, err error) {
	for _, arg := range args {
		w, ok := redisnum.ParseFloat(arg)
		if !ok || math.IsNaN(w) {
			return nil, errWeight
		}
		list = append(list, w)
	}
	return list, nil
}

func aggregate(arg []byte) (zset.Aggregate, error) {
	switch {
	case command.Is(arg, "sum"):
		return zset.AggregateSum, nil
	case command.Is(arg, "min"):
		return zset.AggregateMin, nil
	case command.Is(arg, "max"):
		return zset.AggregateMax, nil
	}
	return 0, command.ErrSyntax
}

func (c *Call) zalgebra(op zset.Algebra) error {
	a, err := c.algebraArgs(c.Args[1:], false)
	if err != nil {
		return err
	}
	members, err := op(c.Txn, c.DB, a.keys, a.o)
	if err != nil {
		return err
	}
	c.scoredList(members, a.withScores)
	return nil
}

func (c *Call) zstore(op zset.Algebra) error {
	a, err := c.algebraArgs(c.Args[2:], true)
	if err != nil {
		return err
	}
	return c.Integer(zset.Store(c.Txn, c.DB, c.Args[1], a.keys, op, a.o, c.Name))
}

func zintercardCommand(c *Call) error {
	a, err := c.algebraArgs(c.Args[1:], false)
	if err != nil {
		return err
	}
	return c.Integer(zset.InterCard(c.Txn, c.DB, a.keys, a.limit))
}
