package data

import (
	"bytes"
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/redisnum"
)

// SortedSetRanges are their commands.
func SortedSetRanges() []Command {
	const read = command.FlagReadonly
	// by is a command whose kind of range and direction its name says.
	by := func(by zset.RangeBy, reverse bool) func(c *Call) error {
		return func(c *Call) error { return c.zrange(zset.RangeOptions{By: by, Reverse: reverse}, true) }
	}
	count := func(by zset.RangeBy) func(c *Call) error { return func(c *Call) error { return c.zcount(by) } }
	remove := func(by zset.RangeBy) func(c *Call) error { return func(c *Call) error { return c.zremRange(by) } }
	return zsetRows([]Command{
		{Name: "zrange", Summary: "Returns members in a sorted set within a range of indexes.", Since: "1.2.0", Arity: -4, Flags: read, Handler: zrangeCommand},
		{Name: "zrangestore", Summary: "Stores a range of members from sorted set in a key.", Since: "6.2.0", Arity: -5, Flags: command.FlagWrite | command.FlagDenyOOM,
			Keys: command.TwoKeys, Handler: zrangestoreCommand},
		{Name: "zrevrange", Summary: "Returns members in a sorted set within a range of indexes in reverse order.", Since: "1.2.0", Arity: -4, Flags: read,
			Handler: by(zset.ByRank, true)},
		{Name: "zrangebyscore", Summary: "Returns members in a sorted set within a range of scores.", Since: "1.0.5", Arity: -4, Flags: read,
			Handler: by(zset.ByScore, false)},
		{Name: "zrevrangebyscore", Summary: "Returns members in a sorted set within a range of scores in reverse order.", Since: "2.2.0", Arity: -4, Flags: read,
			Handler: by(zset.ByScore, true)},
		{Name: "zrangebylex", Summary: "Returns members in a sorted set within a lexicographical range.", Since: "2.8.9", Arity: -4, Flags: read,
			Handler: by(zset.ByLex, false)},
		{Name: "zrevrangebylex", Summary: "Returns members in a sorted set within a lexicographical range in reverse order.", Since: "2.8.9", Arity: -4, Flags: read,
			Handler: by(zset.ByLex, true)},
		{Name: "zcount", Summary: "Returns the count of members in a sorted set that have scores within a range.", Since: "2.0.0", Arity: 4, Flags: read | command.FlagFast,
			Handler: count(zset.ByScore)},
		{Name: "zlexcount", Summary: "Returns the number of members in a sorted set within a lexicographical range.", Since: "2.8.9", Arity: 4, Flags: read | command.FlagFast,
			Handler: count(zset.ByLex)},
		{Name: "zremrangebyrank", Summary: "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
			Since: "2.0.0", Arity: 4, Flags: command.FlagWrite, Handler: remove(zset.ByRank)},
		{Name: "zremrangebyscore", Summary: "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
			Since: "1.2.0", Arity: 4, Flags: command.FlagWrite, Handler: remove(zset.ByScore)},
		{Name: "zremrangebylex", Summary: "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
			Since: "2.8.9", Arity: 4, Flags: command.FlagWrite, Handler: remove(zset.ByLex)},
	})
}

const (
	errRangeFloat      command.Error = "ERR min or max is not a float"
	errRangeLex        command.Error = "ERR min or max not valid string range item"
	errLimitOfRanks    command.Error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
	errScoresOfMembers command.Error = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"
)

// rangeArgs reads a range: two ends, and options. fixed says that kind and direction are
// told by the command.
func rangeArgs(args [][]byte, o zset.RangeOptions, fixed, store bool) (_ zset.RangeOptions, withScores bool, err error) {
	o.Count = -1
	limited := false
	for i := 2; i < len(args); i++ {
		left := len(args) - i - 1
		switch a := args[i]; {
		case !store && command.Is(a, "withscores"):
			withScores = true
		case command.Is(a, "limit") && left >= 2:
			if o.Offset, err = command.ParseInt(args[i+1]); err == nil {
				o.Count, err = command.ParseInt(args[i+2])
			}
			if err != nil {
				return o, false, err
			}
			limited = true
			i += 2
		case !fixed && command.Is(a, "rev"):
			o.Reverse = true
		case !fixed && command.Is(a, "bylex"):
			o.By = zset.ByLex
		case !fixed && command.Is(a, "byscore"):
			o.By = zset.ByScore
		default:
			return o, false, command.ErrSyntax
		}
	}
	switch {
	case limited && o.By == zset.ByRank:
		return o, false, errLimitOfRanks
	case withScores && o.By == zset.ByLex:
		return o, false, errScoresOfMembers
	}
	return o, withScores, rangeEnds(args[0], args[1], &o)
}

// rangeEnds reads the ends of a range; a reverse one by scores or members begins with the
// higher one.
func rangeEnds(lo, hi []byte, o *zset.RangeOptions) (err error) {
	if o.Reverse && o.By != zset.ByRank {
		lo, hi = hi, lo
	}
	switch o.By {
	case zset.ByScore:
		r := &o.Score
		if r.Min, r.MinExcluded, err = scoreEnd(lo); err == nil {
			r.Max, r.MaxExcluded, err = scoreEnd(hi)
		}
	case zset.ByLex:
		if o.Lex.Min, err = lexEnd(lo); err == nil {
			o.Lex.Max, err = lexEnd(hi)
		}
	default:
		if o.Start, err = command.ParseInt(lo); err == nil {
			o.Stop, err = command.ParseInt(hi)
		}
	}
	return err
}

func scoreEnd(arg []byte) (score float64, excluded bool, err error) {
	if excluded = bytes.HasPrefix(arg, []byte("(")); excluded {
		arg = arg[1:]
	}
	score, ok := redisnum.ParseFloat(arg)
	if !ok || math.IsNaN(score) {
		return 0, false, errRangeFloat
	}
	return score, excluded, nil
}

func lexEnd(arg []byte) (zset.LexBound, error) {
	switch {
	case len(arg) == 1 && arg[0] == '-':
		return zset.LexBound{Infinite: -1}, nil
	case len(arg) == 1 && arg[0] == '+':
		return zset.LexBound{Infinite: 1}, nil
	case len(arg) > 0 && (arg[0] == '[' || arg[0] == '('):
		return zset.LexBound{Member: arg[1:], Excluded: arg[0] == '('}, nil
	}
	return zset.LexBound{}, errRangeLex
}

func zrangeCommand(c *Call) error { return c.zrange(zset.RangeOptions{}, false) }

func (c *Call) zrange(o zset.RangeOptions, fixed bool) error {
	o, withScores, err := rangeArgs(c.Args[2:], o, fixed, false)
	if err != nil {
		return err
	}
	members, err := zset.Range(c.Txn, c.DB, c.Args[1], o, c.Scored[:0])
	if err != nil {
		return err
	}
	c.scoredList(members, withScores)
	return nil
}

func zrangestoreCommand(c *Call) error {
	o, _, err := rangeArgs(c.Args[3:], zset.RangeOptions{}, false, true)
	if err != nil {
		return err
	}
	return c.Integer(zset.RangeStore(c.Txn, c.DB, c.Args[1], c.Args[2], o))
}

func (c *Call) zcount(by zset.RangeBy) error {
	o := zset.RangeOptions{By: by, Count: -1}
	if err := rangeEnds(c.Args[2], c.Args[3], &o); err != nil {
		return err
	}
	return c.Integer(zset.Count(c.Txn, c.DB, c.Args[1], o))
}

func (c *Call) zremRange(by zset.RangeBy) error {
	o := zset.RangeOptions{By: by, Count: -1}
	if err := rangeEnds(c.Args[2], c.Args[3], &o); err != nil {
		return err
	}
	return c.Integer(zset.RemRange(c.Txn, c.DB, c.Args[1], o, c.Name))
}
