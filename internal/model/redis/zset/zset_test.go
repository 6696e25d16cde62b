package zset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

func randomCommand(g redistest.Generator) []string {
	key := func() string { return g.Pick("z", "y", "{t}1", "\x00", "set") }
	member := func() string { return g.Pick("a", "b", "c", "d", "", "1", "a longer member than the others are") }
	score := func() string {
		return g.Pick("0", "1", "-1", "2.5", "1000000", "-inf", "inf", strconv.Itoa(g.Rand.IntN(8)))
	}
	sbound := func() string { return g.Pick("", "(") + score() }
	lex := func() string { return g.Pick("-", "+", "[", "(", "[a", "(b", "[c", "(d", "[zz") }
	rank := func() string { return strconv.Itoa(g.Rand.IntN(16) - 6) }
	limit := []string{"LIMIT", g.Pick("0", "1", "3", "-1"), g.Pick("-1", "0", "1", "2", "9")}
	k, m := key(), member()
	switch g.Rand.IntN(34) {
	case 0, 1, 2, 3, 4:
		many := []string{"ZADD", k}
		if g.Rand.IntN(3) == 0 {
			many = append(many, strings.Fields(g.Pick("NX", "XX", "GT", "LT", "CH", "XX GT", "XX LT CH", "NX CH"))...)
		}
		for range 1 + g.Rand.IntN(6) {
			many = append(many, score(), g.Pick(member(), strconv.Itoa(g.Rand.IntN(30))))
		}
		return many
	case 5:
		return []string{"ZADD", k, g.Pick("INCR", "NX", "XX", "GT", "LT"), "INCR", score(), m}
	case 6, 7:
		return []string{"ZREM", k, m, member(), strconv.Itoa(g.Rand.IntN(30))}[:3+g.Rand.IntN(3)]
	case 8:
		return []string{g.Pick("ZCARD", "ZSCANALL"), k}
	case 9:
		return []string{"ZSCORE", k, m}
	case 10:
		return []string{"ZMSCORE", k, m, member(), "5"}
	case 11, 12:
		return []string{g.Pick("ZRANK", "ZREVRANK"), k, g.Pick(m, strconv.Itoa(g.Rand.IntN(30)))}
	case 13:
		return []string{"ZCOUNT", k, sbound(), sbound()}
	case 14, 15, 16:
		return append([]string{"ZRANGE", k, rank(), rank()}, strings.Fields(g.Pick("", "WITHSCORES", "REV", "REV WITHSCORES"))...)
	case 17, 18, 19:
		words := append([]string{"ZRANGE", k, sbound(), sbound(), "BYSCORE"}, strings.Fields(g.Pick("", "WITHSCORES", "REV", "REV WITHSCORES"))...)
		return append(words, limit[:3*g.Rand.IntN(2)]...)
	case 20:
		return append([]string{"ZRANGESTORE", key(), k, sbound(), sbound(), "BYSCORE"}, limit[:3*g.Rand.IntN(2)]...)
	case 21:
		return []string{"ZRANGESTORE", key(), k, rank(), rank()}
	case 22:
		return []string{"ZREMRANGEBYRANK", k, rank(), rank()}
	case 23:
		return []string{"ZREMRANGEBYSCORE", k, sbound(), sbound()}
	case 24, 25:
		return []string{g.Pick("ZPOPMIN", "ZPOPMAX"), k, strconv.Itoa(g.Rand.IntN(6))}[:2+g.Rand.IntN(2)]
	case 26:
		return []string{"ZMPOP", "2", k, key(), g.Pick("MIN", "MAX"), "COUNT", g.Pick("1", "2", "9")}[:5+2*g.Rand.IntN(2)]
	case 27, 28:
		words := []string{g.Pick("ZUNION", "ZINTER"), "2", k, key()}
		words = append(words, []string{"WEIGHTS", g.Pick("1", "2", "-0.5", "inf"), g.Pick("1", "3")}[:3*g.Rand.IntN(2)]...)
		words = append(words, []string{"AGGREGATE", g.Pick("SUM", "MIN", "MAX")}[:2*g.Rand.IntN(2)]...)
		return append(words, "WITHSCORES")
	case 29:
		return []string{g.Pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), key(), "2", k, key()}
	case 30:
		return [][]string{{"ZDIFF", "2", k, key(), "WITHSCORES"}, {"ZINTERCARD", "2", k, key(), "LIMIT", g.Pick("0", "1", "2")}}[g.Rand.IntN(2)]
	case 31: // all scores are the same: what Redis says of others is not told
		return [][]string{{"ZRANGE", "lex", lex(), lex(), "BYLEX"}, {"ZRANGE", "lex", lex(), lex(), "BYLEX", "REV", "LIMIT", "1", "2"},
			{"ZLEXCOUNT", "lex", lex(), lex()}, {"ZREMRANGEBYLEX", "lex", lex(), lex()}, {"ZADD", "lex", "3", m, "3", member()}}[g.Rand.IntN(5)]
	case 32:
		return []string{"SADD", "set", m, member()}
	}
	return [][]string{{"RENAME", k, g.Key()}, {"COPY", k, "y", "REPLACE"}, {"SET", "{t}1", m}, {"DEL", k}, {"DBSIZE"}, {"TYPE", k},
		{"EXPIREAT", k, "99999999999"}, {"PEXPIRETIME", k}, {"SCANTYPE", "zset"}, {"ZRANDMEMBER", k, rank()}}[g.Rand.IntN(10)]
}

func TestServerAgreesOnSortedSets(t *testing.T) { redistest.ServerAgrees(t, randomCommand, zsetType) }

// plainZSet is what a sorted set is: a sorted slice.
type plainZSet []Scored

func (p plainZSet) index(member string) int {
	return slices.IndexFunc(p, func(m Scored) bool { return string(m.Member) == member })
}

func (p *plainZSet) set(member string, score float64) {
	p.drop(member)
	*p = inOrder(append(*p, Scored{[]byte(member), score}))
}

func (p *plainZSet) drop(member string) {
	if i := p.index(member); i >= 0 {
		*p = slices.Delete(*p, i, i+1)
	}
}

// TestZSetModel compares random changes, which make and remove levels of nodes, with a
// sorted slice: all ranks, both ways, and what is between.
func TestZSetModel(t *testing.T) {
	for _, children := range []int{2, 3, 8} {
		t.Run(strconv.Itoa(children), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1, RankNodeChildren: children}).With(zsetType)
				var p plainZSet
				for range rapid.IntRange(1, 25).Draw(rt, "steps") {
					var members []Scored
					for range rapid.IntRange(1, 30).Draw(rt, "members") {
						members = append(members, Scored{[]byte(strconv.Itoa(rapid.IntRange(0, 150).Draw(rt, "member"))),
							float64(rapid.IntRange(-3, 40).Draw(rt, "score"))})
					}
					switch rapid.IntRange(0, 3).Draw(rt, "what") {
					case 0, 1:
						w.Must(func(t kv.Txn) error {
							_, err := Add(t, w.At, []byte("z"), members, AddOptions{})
							return err
						})
						for _, m := range members {
							p.set(string(m.Member), m.Score)
						}
					case 2:
						for _, m := range members {
							w.Do("ZREM", "z", string(m.Member))
							p.drop(string(m.Member))
						}
					case 3:
						n := rapid.IntRange(1, 40).Draw(rt, "pop")
						if n = min(n, len(p)); rapid.Bool().Draw(rt, "highest") {
							w.Do("ZPOPMAX", "z", strconv.Itoa(n))
							p = p[:len(p)-n]
						} else {
							w.Do("ZPOPMIN", "z", strconv.Itoa(n))
							p = p[n:]
						}
					}
					w.Check()
				}
				compareZSet(rt, w, p)
			})
		})
	}
}

func compareZSet(t *rapid.T, w *redistest.World, p plainZSet) {
	w.Must(func(tx kv.Txn) error {
		for i, m := range p {
			rank, score, found, err := Rank(tx, w.At, []byte("z"), m.Member, false)
			if err != nil || !found || rank != int64(i) || score != m.Score {
				t.Fatalf("%s is at %d with %v (%t, %v), not at %d with %v", m.Member, rank, score, found, err, i, m.Score)
			}
			got, err := Range(tx, w.At, []byte("z"), RangeOptions{Start: int64(i), Stop: int64(i)}, nil)
			if err != nil || len(got) != 1 || string(got[0].Member) != string(m.Member) {
				t.Fatalf("at %d is %v (%v), not %s", i, got, err, m.Member)
			}
		}
		for i := 0; i < len(p); i += 7 {
			o := RangeOptions{By: ByScore, Score: ScoreRange{Min: p[i].Score, Max: math.Inf(1), MinExcluded: i%2 == 0}, Offset: int64(i % 5), Count: 9}
			var want []Scored
			for _, m := range p {
				if m.Score > p[i].Score || i%2 == 1 && m.Score == p[i].Score {
					want = append(want, m)
				}
			}
			all := int64(len(want))
			want = want[min(i%5, len(want)):]
			want = want[:min(9, len(want))]
			got, err := Range(tx, w.At, []byte("z"), o, nil)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%+v: %v (%v), not %v", o, got, err, want)
			}
			o.Offset, o.Count = 0, -1
			if n, err := Count(tx, w.At, []byte("z"), o); err != nil || n != all {
				t.Fatalf("%+v: %d (%v), not %d", o, n, err, all)
			}
		}
		return nil
	})
}

// TestZSetCosts: ranks of large sets read few rows, and a change writes few.
func TestZSetCosts(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{RankNodeChildren: 32}).With(zsetType)
	const n = 10_000
	for from := 0; from < n; from += 1000 {
		var members []Scored
		for i := from; i < from+1000; i++ {
			members = append(members, Scored{[]byte(strconv.Itoa(i * 7919 % n)), float64(i * 7919 % n)})
		}
		w.Must(func(t kv.Txn) error {
			_, err := Add(t, w.At, []byte("z"), members, AddOptions{})
			return err
		})
	}
	w.Check()
	for range 200 {
		i := int64(w.Rand.IntN(n))
		reads := 0
		if err := w.Run(func(t kv.Txn) error {
			rank, _, _, err := Rank(redistest.CountLookups(t, &reads), w.At, []byte("z"), []byte(strconv.Itoa(int(i))), false)
			if err == nil && rank != i {
				err = fmt.Errorf("%d is at %d", i, rank)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if reads > 80 { // half of two nodes, and the leaf
			t.Fatalf("a rank read %d rows", reads)
		}
	}
	for _, tc := range []struct {
		command string
		writes  int
	}{{"ZADD z 5 x", 5}, {"ZADD z 500.5 5", 8}, {"ZADD z 7 x", 8}, {"ZREM z x", 5}, {"ZADD z 500.5 5", 0}, {"DEL z", 3}} {
		if w.Do(strings.Fields(tc.command)...); w.Last.Writes > tc.writes {
			t.Errorf("%s: %d writes, want %d at most", tc.command, w.Last.Writes, tc.writes)
		}
	}
	w.Check()
}

// TestZSetDrains: a queue of which the front goes and to whose end comes more leaves no nodes
// behind.
func TestZSetDrains(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1, RankNodeChildren: 4}).With(zsetType)
	for i := range 3000 {
		w.Do("ZADD", "z", strconv.Itoa(i), strconv.Itoa(i))
		if i > 50 {
			w.Do("ZPOPMIN", "z")
		}
	}
	w.Check()
	rows := 0
	w.Must(func(t kv.Txn) error {
		var z zset
		if err := z.open(t, w.At, []byte("z")); err != nil {
			return err
		}
		span := base.Span{Start: z.Part(t, redis.PartOrder, 0), End: z.Part(t, redis.PartOrder+1, 0)}
		return t.Scan(span, kv.ScanOptions{}, func(_, _ []byte) bool { rows++; return true })
	})
	if rows > 100 {
		t.Errorf("%d rows are left of the order of 51 members", rows)
	}
	w.Do("DEL", "z")
	long := strings.Repeat("x", 1<<10) // a leaf has one of these
	for i := range 60 {
		w.Do("ZADD", "z", "1", long+strconv.Itoa(i), "1", strconv.Itoa(i))
	}
	w.Check()
	for i := range 119 {
		w.Do([]string{"ZPOPMIN", "ZPOPMAX"}[i%2], "z")
		w.Check()
	}
}

// TestZSetScores: scores keep their order and their bits.
func TestZSetScores(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	last := math.Inf(-1)
	list := []float64{math.Inf(1), math.Inf(-1), 0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64}
	for range 1000 {
		if f := math.Float64frombits(rnd.Uint64()); !math.IsNaN(f) {
			list = append(list, f)
		}
	}
	slices.Sort(list)
	for i, f := range list {
		if scoreOf(scoreKey(f)) != f || i > 0 && (scoreKey(last) >= scoreKey(f)) != (last >= f) {
			t.Fatalf("%v after %v: %x after %x", f, last, scoreKey(f), scoreKey(last))
		}
		last = f
	}
}

// TestZSetEvents: the events of Redis, in their order.
func TestZSetEvents(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(zsetType)
	w.Tells([][2]string{
		{"ZADD z 1 a 2 b", "[n 0 new z z 0 zadd z]"},
		{"ZADD z 1 a", "[]"},
		{"ZADD z INCR 1 a", "[z 0 zincr z]"},
		{"ZREM z nobody", "[]"},
		{"ZREM z a", "[z 0 zrem z]"},
		{"ZUNIONSTORE u 1 z", "[n 0 new u z 0 zunionstore u]"},
		{"ZRANGESTORE u none 0 1", "[m 0 keymiss none g 0 del u]"},
		{"ZPOPMIN z", "[z 0 zpopmin z g 0 del z]"},
	})
}

// TestZSetDamage: a check finds what does not fit together.
func TestZSetDamage(t *testing.T) {
	for name, damage := range map[string]func(t kv.Txn, z *zset){
		"a member is gone":      func(t kv.Txn, z *zset) { t.Clear(z.memberRow([]byte("5"))) },
		"a score is gone":       func(_ kv.Txn, z *zset) { _ = z.order.Remove(bound{scoreKey(5), []byte("5")}.place(z.t)) },
		"a score is another":    func(t kv.Txn, z *zset) { t.Set(z.memberRow([]byte("5")), make([]byte, 8)) },
		"a leaf is gone":        func(t kv.Txn, z *zset) { t.Clear(append(z.Part(t, redis.PartOrder, 0), 0)) },
		"a node is gone":        func(t kv.Txn, z *zset) { t.Clear(append(z.Part(t, redis.PartOrder, 0), 1)) },
		"a count is gone":       func(t kv.Txn, z *zset) { t.Clear(append(z.Part(t, redis.PartOrder, 0), 0x11)) },
		"a level too much":      func(t kv.Txn, z *zset) { t.Set(append(z.Part(t, redis.PartOrder, 0), 9), []byte{1, 'x'}) },
		"a row of another kind": func(t kv.Txn, z *zset) { t.Set(z.FieldRow(t, []byte("f")), []byte{0}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1, RankNodeChildren: 4}).With(zsetType)
			for i := range 200 {
				w.Do("ZADD", "z", strconv.Itoa(i), strconv.Itoa(i))
			}
			w.Finds(func(t kv.Txn) error {
				var z zset
				if err := z.open(t, w.At, []byte("z")); err != nil {
					return err
				}
				damage(t, &z)
				return z.order.Flush()
			})
		})
	}
}

func FuzzZSetBody(f *testing.F) {
	f.Add([]byte{0, 1, 1, 'a', 63, 240, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		elems, err := decodeMembers(body)
		if err == nil && len(elems) == 0 {
			t.Error("an empty one")
		}
	})
}
