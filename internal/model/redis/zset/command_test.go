package zset

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/test/redistest"
)

func showScore(f float64) string { return redistest.Quote(redisnum.AppendDouble(nil, f)) }

func parseScore(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return f
}

// showScored renders members as an array does in RESP2.
func showScored(members []Scored, scores bool, err error) (string, error) {
	var parts []string
	for _, m := range members {
		if parts = append(parts, redistest.Quote(m.Member)); scores {
			parts = append(parts, showScore(m.Score))
		}
	}
	return "[" + strings.Join(parts, " ") + "]", err
}

func scoreBound(s string) (score float64, excluded bool) {
	if excluded = strings.HasPrefix(s, "("); excluded {
		s = s[1:]
	}
	return parseScore(s), excluded
}

func scoreRange(lo, hi string) (r ScoreRange) {
	r.Min, r.MinExcluded = scoreBound(lo)
	r.Max, r.MaxExcluded = scoreBound(hi)
	return r
}

func lexBound(s string) LexBound {
	switch s[0] {
	case '-':
		return LexBound{Infinite: -1}
	case '+':
		return LexBound{Infinite: 1}
	}
	return LexBound{Member: []byte(s[1:]), Excluded: s[0] == '('}
}

// rangeOptions reads start, stop and the options of ZRANGE.
func rangeOptions(a []string) (o RangeOptions, scores bool) {
	o.Count = -1
	lo, hi := a[0], a[1]
	for i := 2; i < len(a); i++ {
		switch a[i] {
		case "BYSCORE":
			o.By = ByScore
		case "BYLEX":
			o.By = ByLex
		case "REV":
			o.Reverse = true
		case "WITHSCORES":
			scores = true
		case "LIMIT":
			o.Offset, o.Count = redistest.Number(a[i+1]), redistest.Number(a[i+2])
			i += 2
		}
	}
	if o.Reverse && o.By != ByRank {
		lo, hi = hi, lo
	}
	switch o.By {
	case ByRank:
		o.Start, o.Stop = redistest.Number(lo), redistest.Number(hi)
	case ByScore:
		o.Score = scoreRange(lo, hi)
	case ByLex:
		o.Lex = LexRange{lexBound(lo), lexBound(hi)}
	}
	return o, scores
}

// algebraOptions reads the number of keys, the keys, WEIGHTS and AGGREGATE.
func algebraOptions(a []string) (keys [][]byte, o AlgebraOptions, scores bool) {
	n := int(redistest.Number(a[0]))
	keys = redistest.Bytes(a[1 : n+1]...)
	for i := n + 1; i < len(a); i++ {
		switch a[i] {
		case "WEIGHTS":
			for _, w := range a[i+1 : i+1+n] {
				o.Weights = append(o.Weights, parseScore(w))
			}
			i += n
		case "AGGREGATE":
			o.Aggregate = map[string]Aggregate{"SUM": AggregateSum, "MIN": AggregateMin, "MAX": AggregateMax}[a[i+1]]
			i++
		case "WITHSCORES":
			scores = true
		}
	}
	return keys, o, scores
}

func zalgebra(op Algebra) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		keys, o, scores := algebraOptions(a)
		members, err := op(t, w.At, keys, o)
		return showScored(members, scores, err)
	}
}

func zalgebraStore(name string, op Algebra) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		keys, o, _ := algebraOptions(a[1:])
		return redistest.ShowInt(Store(t, w.At, []byte(a[0]), keys, op, o, name))
	}
}

func zrank(reverse bool) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		rank, _, found, err := Rank(t, w.At, []byte(a[0]), []byte(a[1]), reverse)
		if err != nil || !found {
			return "(nil)", err
		}
		return redistest.ShowInt(rank, nil)
	}
}

func zpop(highest bool) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		count := int64(1)
		if len(a) > 1 {
			count = redistest.Number(a[1])
		}
		members, err := Pop(t, w.At, []byte(a[0]), highest, count, nil)
		return showScored(members, true, err)
	}
}

func zremRange(name string, by RangeBy) redistest.CommandFunc {
	words := map[RangeBy][]string{ByRank: nil, ByScore: {"BYSCORE"}, ByLex: {"BYLEX"}}
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, _ := rangeOptions(append([]string{a[1], a[2]}, words[by]...))
		return redistest.ShowInt(RemRange(t, w.At, []byte(a[0]), o, name))
	}
}

var zsetCommands = map[string]redistest.CommandFunc{
	"ZADD": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		var o AddOptions
		changed, rest := false, a[1:]
		for ; len(rest) > 0; rest = rest[1:] {
			if at := strings.Index(" NX XX GT LT CH INCR ", " "+rest[0]+" "); at < 0 || rest[0] == "" {
				break
			}
			o.OnlyNew, o.OnlyOld = o.OnlyNew || rest[0] == "NX", o.OnlyOld || rest[0] == "XX"
			o.Greater, o.Less = o.Greater || rest[0] == "GT", o.Less || rest[0] == "LT"
			o.Increment, changed = o.Increment || rest[0] == "INCR", changed || rest[0] == "CH"
		}
		var members []Scored
		for i := 0; i+1 < len(rest); i += 2 {
			members = append(members, Scored{[]byte(rest[i+1]), parseScore(rest[i])})
		}
		r, err := Add(t, w.At, []byte(a[0]), members, o)
		switch {
		case err != nil:
			return "", err
		case o.Increment && !r.Done:
			return "(nil)", nil
		case o.Increment:
			return showScore(r.Score), nil
		case changed:
			r.Added += r.Updated
		}
		return redistest.ShowInt(r.Added, nil)
	},
	"ZREM": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Rem(t, w.At, []byte(a[0]), redistest.Bytes(a[1:]...)))
	},
	"ZCARD": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Card(t, w.At, []byte(a[0])))
	},
	"ZSCORE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		score, found, err := Score(t, w.At, []byte(a[0]), []byte(a[1]))
		if err != nil || !found {
			return "(nil)", err
		}
		return showScore(score), nil
	},
	"ZMSCORE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		scores, err := MScore(t, w.At, []byte(a[0]), redistest.Bytes(a[1:]...), nil)
		parts := make([]string, len(scores))
		for i, s := range scores {
			if parts[i] = showScore(s); math.IsNaN(s) {
				parts[i] = "(nil)"
			}
		}
		return "[" + strings.Join(parts, " ") + "]", err
	},
	"ZRANK": zrank(false), "ZREVRANK": zrank(true), "ZPOPMIN": zpop(false), "ZPOPMAX": zpop(true),
	"ZCOUNT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, _ := rangeOptions([]string{a[1], a[2], "BYSCORE"})
		return redistest.ShowInt(Count(t, w.At, []byte(a[0]), o))
	},
	"ZLEXCOUNT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, _ := rangeOptions([]string{a[1], a[2], "BYLEX"})
		return redistest.ShowInt(Count(t, w.At, []byte(a[0]), o))
	},
	"ZRANGE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, scores := rangeOptions(a[1:])
		members, err := Range(t, w.At, []byte(a[0]), o, nil)
		return showScored(members, scores, err)
	},
	"ZRANGESTORE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, _ := rangeOptions(a[2:])
		return redistest.ShowInt(RangeStore(t, w.At, []byte(a[0]), []byte(a[1]), o))
	},
	"ZREMRANGEBYRANK":  zremRange("zremrangebyrank", ByRank),
	"ZREMRANGEBYSCORE": zremRange("zremrangebyscore", ByScore),
	"ZREMRANGEBYLEX":   zremRange("zremrangebylex", ByLex),
	"ZMPOP": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		n, count := redistest.Number(a[0]), int64(1)
		if int64(len(a)) > n+2 {
			count = redistest.Number(a[n+3])
		}
		key, members, err := MPop(t, w.At, redistest.Bytes(a[1:n+1]...), a[n+1] == "MAX", count, nil)
		if err != nil || key == nil {
			return "(nil)", err
		}
		var parts []string
		for _, m := range members {
			parts = append(parts, "["+redistest.Quote(m.Member)+" "+showScore(m.Score)+"]")
		}
		return "[" + redistest.Quote(key) + " [" + strings.Join(parts, " ") + "]]", nil
	},
	"ZUNION": zalgebra(Union), "ZINTER": zalgebra(Inter), "ZDIFF": zalgebra(Diff),
	"ZUNIONSTORE": zalgebraStore("zunionstore", Union), "ZINTERSTORE": zalgebraStore("zinterstore", Inter),
	"ZDIFFSTORE": zalgebraStore("zdiffstore", Diff),
	"ZINTERCARD": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		n, limit := redistest.Number(a[0]), int64(0)
		if int64(len(a)) > n+1 {
			limit = redistest.Number(a[n+2])
		}
		return redistest.ShowInt(InterCard(t, w.At, redistest.Bytes(a[1:n+1]...), limit))
	},
	"ZRANDMEMBER": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		members, err := RandMember(t, w.At, []byte(a[0]), redistest.Number(a[1]), w.Rand, nil)
		return redistest.ShowInt(len(members), err)
	},
	"ZSCANALL": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		var members []Scored
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var err error
			if cursor, members, err = Scan(t, w.At, []byte(a[0]), cursor, redis.ScanOptions{Count: 2}, members); err != nil {
				return "", err
			}
		}
		return showScored(inOrder(members), true, nil)
	},
}

var zsetType = redistest.ValueType{Kind: redis.TypeZSet, Commands: zsetCommands, Check: Check}
