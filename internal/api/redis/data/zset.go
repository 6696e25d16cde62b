package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/redisnum"
)

// SortedSets are their commands.
func SortedSets() []Command {
	const (
		read  = command.FlagReadonly
		write = command.FlagWrite | command.FlagDenyOOM
		fast  = command.FlagFast
	)
	rows := []Command{
		{Name: "zadd", Summary: "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.", Since: "1.2.0",
			Arity: -4, Flags: write | fast, Element: 3, Handler: zaddCommand},
		{Name: "zincrby", Summary: "Increments the score of a member in a sorted set.", Since: "1.2.0", Arity: 4, Flags: write | fast, Element: 3, Handler: zincrbyCommand},
		{Name: "zrem", Summary: "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.", Since: "1.2.0",
			Arity: -3, Flags: command.FlagWrite | fast, Element: 2, Handler: zremCommand},
		{Name: "zcard", Summary: "Returns the number of members in a sorted set.", Since: "1.2.0", Arity: 2, Flags: read | fast, Handler: zcardCommand},
		{Name: "zscore", Summary: "Returns the score of a member in a sorted set.", Since: "1.2.0", Arity: 3, Flags: read | fast, Element: 2, Handler: zscoreCommand},
		{Name: "zmscore", Summary: "Returns the score of one or more members in a sorted set.", Since: "6.2.0", Arity: -3, Flags: read | fast, Element: 2, Handler: zmscoreCommand},
		{Name: "zrank", Summary: "Returns the index of a member in a sorted set ordered by ascending scores.", Since: "2.0.0", Arity: -3, Flags: read | fast, Element: 2, Handler: zrankCommand},
		{Name: "zrevrank", Summary: "Returns the index of a member in a sorted set ordered by descending scores.", Since: "2.0.0", Arity: -3, Flags: read | fast, Element: 2, Handler: zrevrankCommand},
		{Name: "zpopmin", Summary: "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
			Since: "5.0.0", Arity: -2, Flags: command.FlagWrite | fast, Handler: zpopminCommand},
		{Name: "zpopmax", Summary: "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
			Since: "5.0.0", Arity: -2, Flags: command.FlagWrite | fast, Handler: zpopmaxCommand},
		{Name: "zmpop", Summary: "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
			Since: "7.0.0", Arity: -4, Flags: command.FlagWrite | command.FlagMovableKeys, Keys: command.Keys{Find: command.CountedKeys(1)}, Handler: zmpopCommand},
		{Name: "zrandmember", Summary: "Returns one or more random members from a sorted set.", Since: "6.2.0", Arity: -2, Flags: read, Handler: zrandmemberCommand},
		{Name: "zscan", Summary: "Iterates over members and scores of a sorted set.", Since: "2.8.0", Arity: -3, Flags: read, Handler: zscanCommand},
	}
	return zsetRows(rows)
}

// zsetRows fills in what all commands of the family share.
func zsetRows(rows []Command) []Command {
	for i := range rows {
		if rows[i].Group = command.GroupSortedSet; rows[i].Keys.First == 0 && rows[i].Keys.Find == nil {
			rows[i].Keys = command.OneKey
		}
	}
	return rows
}

const (
	errZAddNXAndXX  command.Error = "ERR XX and NX options at the same time are not compatible"
	errZAddGTLTNX   command.Error = "ERR GT, LT, and/or NX options at the same time are not compatible"
	errZAddIncrPair command.Error = "ERR INCR option supports a single increment-element pair"
	errMustBePos    command.Error = "ERR value is out of range, must be positive"
)

// parseScore reads a score.
func parseScore(arg []byte) (float64, error) {
	f, ok := redisnum.ParseFloat(arg)
	if !ok || math.IsNaN(f) {
		return 0, model.ErrNotFloat
	}
	return f, nil
}

// zaddOptions reads the options of ZADD, and answers what follows them.
func zaddOptions(args [][]byte) (o zset.AddOptions, changed bool, pairs [][]byte, err error) {
	for ; len(args) > 0; args = args[1:] {
		switch a := args[0]; {
		case command.Is(a, "nx"):
			o.OnlyNew = true
		case command.Is(a, "xx"):
			o.OnlyOld = true
		case command.Is(a, "gt"):
			o.Greater = true
		case command.Is(a, "lt"):
			o.Less = true
		case command.Is(a, "ch"):
			changed = true
		case command.Is(a, "incr"):
			o.Increment = true
		default:
			pairs = args
			args = args[:1]
		}
	}
	switch {
	case len(pairs) == 0 || len(pairs)%2 != 0:
		err = command.ErrSyntax
	case o.OnlyNew && o.OnlyOld:
		err = errZAddNXAndXX
	case o.Greater && o.OnlyNew || o.Less && o.OnlyNew || o.Greater && o.Less:
		err = errZAddGTLTNX
	case o.Increment && len(pairs) > 2:
		err = errZAddIncrPair
	}
	return o, changed, pairs, err
}

func zaddCommand(c *Call) error {
	o, changed, pairs, err := zaddOptions(c.Args[2:])
	if err != nil {
		return err
	}
	members := c.Scored[:0]
	for i := 0; i < len(pairs); i += 2 {
		score, err := parseScore(pairs[i])
		if err != nil {
			return err
		}
		members = append(members, zset.Scored{Member: pairs[i+1], Score: score})
	}
	c.Scored = members
	r, err := zset.Add(c.Txn, c.DB, c.Args[1], members, o)
	switch {
	case err != nil:
		return err
	case o.Increment:
		return c.score(r.Score, r.Done, nil)
	case changed:
		r.Added += r.Updated
	}
	c.W.Int(r.Added)
	return nil
}

// score finishes a handler whose result is a score.
func (c *Call) score(score float64, found bool, err error) error {
	return c.orNull(found, err, func() { c.W.Double(score) })
}

func zincrbyCommand(c *Call) error {
	by, err := parseScore(c.Args[2])
	if err != nil {
		return err
	}
	r, err := zset.Add(c.Txn, c.DB, c.Args[1], []zset.Scored{{Member: c.Args[3], Score: by}}, zset.AddOptions{Increment: true})
	return c.score(r.Score, true, err)
}

func zremCommand(c *Call) error  { return c.Integer(zset.Rem(c.Txn, c.DB, c.Args[1], c.Args[2:])) }
func zcardCommand(c *Call) error { return c.Integer(zset.Card(c.Txn, c.DB, c.Args[1])) }

func zscoreCommand(c *Call) error {
	return c.score(zset.Score(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func zmscoreCommand(c *Call) error {
	scores, err := zset.MScore(c.Txn, c.DB, c.Args[1], c.Args[2:], nil)
	if err != nil {
		return err
	}
	c.W.Array(len(scores))
	for _, s := range scores {
		if math.IsNaN(s) {
			c.W.Null()
		} else {
			c.W.Double(s)
		}
	}
	return nil
}

func zrankCommand(c *Call) error    { return c.rank(false) }
func zrevrankCommand(c *Call) error { return c.rank(true) }

func (c *Call) rank(reverse bool) error {
	withScore := len(c.Args) == 4
	switch {
	case len(c.Args) > 4:
		return c.WrongArity()
	case withScore && !command.Is(c.Args[3], "withscore"):
		return command.ErrSyntax
	}
	rank, score, found, err := zset.Rank(c.Txn, c.DB, c.Args[1], c.Args[2], reverse)
	switch {
	case err != nil:
		return err
	case !found && withScore:
		c.W.NullArray()
	case !found:
		c.W.Null()
	case withScore:
		c.W.Array(2)
		c.W.Int(rank)
		c.W.Double(score)
	default:
		c.W.Int(rank)
	}
	return nil
}

// scoredList writes members, with scores in pairs of their own in RESP3 and in one flat
// array in RESP2.
func (c *Call) scoredList(members []zset.Scored, withScores bool) {
	c.Scored = members
	n := len(members)
	nested := withScores && c.W.Proto >= 3
	if withScores && !nested {
		n *= 2
	}
	c.W.Array(n)
	for i := range members {
		if nested {
			c.W.Array(2)
		}
		c.W.Bulk(members[i].Member)
		if withScores {
			c.W.Double(members[i].Score)
		}
	}
}

func zpopminCommand(c *Call) error { return c.zpop(false) }
func zpopmaxCommand(c *Call) error { return c.zpop(true) }

func (c *Call) zpop(highest bool) error {
	count := int64(1)
	switch {
	case len(c.Args) > 3:
		return command.ErrSyntax
	case len(c.Args) == 3:
		var err error
		if count, err = command.AtLeast(c.Args[2], 0, errMustBePos); err != nil {
			return err
		}
	}
	popped, err := zset.Pop(c.Txn, c.DB, c.Args[1], highest, count, c.Scored[:0])
	if err != nil {
		return err
	}
	if len(c.Args) == 3 {
		c.scoredList(popped, true)
		return nil
	}
	c.Scored = popped
	c.W.Array(2 * len(popped))
	for i := range popped {
		c.W.Bulk(popped[i].Member)
		c.W.Double(popped[i].Score)
	}
	return nil
}

// ScoredPairs writes members as pairs, in any protocol.
func (c *Call) ScoredPairs(members []zset.Scored) {
	c.Scored = members
	c.W.Array(len(members))
	for i := range members {
		c.W.Array(2)
		c.W.Bulk(members[i].Member)
		c.W.Double(members[i].Score)
	}
}

func zmpopCommand(c *Call) error {
	m, err := ParseMPop(c.Args[1:], "min", "max")
	if err != nil {
		return err
	}
	key, popped, err := zset.MPop(c.Txn, c.DB, m.Keys, m.Last, m.Count, c.Scored[:0])
	switch {
	case err != nil:
		return err
	case key == nil:
		c.W.NullArray()
		return nil
	}
	c.W.Array(2)
	c.W.Bulk(key)
	c.ScoredPairs(popped)
	return nil
}

func zrandmemberCommand(c *Call) error {
	count, withScores := int64(1), len(c.Args) == 4
	if len(c.Args) > 2 {
		var err error
		if count, err = command.ParseInt(c.Args[2]); err != nil {
			return err
		}
		if len(c.Args) > 4 || withScores && !command.Is(c.Args[3], "withscores") {
			return command.ErrSyntax
		}
	}
	found, err := zset.RandMember(c.Txn, c.DB, c.Args[1], count, c.Rand, c.Scored[:0])
	switch {
	case err != nil:
		return err
	case len(c.Args) > 2:
		c.scoredList(found, withScores)
		return nil
	case len(found) == 0:
		c.W.Null()
	default:
		c.W.Bulk(found[0].Member)
	}
	c.Scored = found
	return nil
}

func zscanCommand(c *Call) error {
	cursor, o, err := memberScan(c.Args)
	if err != nil {
		return err
	}
	next, found, err := zset.Scan(c.Txn, c.DB, c.Args[1], cursor, o, c.Scored[:0])
	if err != nil {
		return err
	}
	c.Scored = found
	c.W.Array(2)
	c.Cursor(next)
	c.W.Array(2 * len(found))
	var digits [32]byte
	for i := range found {
		c.W.Bulk(found[i].Member)
		c.W.Bulk(redisnum.AppendDouble(digits[:0], found[i].Score))
	}
	return nil
}
