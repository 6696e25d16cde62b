package redis

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
	"github.com/stratadb/strata/internal/model/redis/rank"
)

func (g generator) zsetCommand() []string {
	key := func() string { return g.pick("z", "y", "{t}1", "\x00", "set") }
	member := func() string { return g.pick("a", "b", "c", "d", "", "1", "a longer member than the others are") }
	score := func() string {
		return g.pick("0", "1", "-1", "2.5", "1000000", "-inf", "inf", strconv.Itoa(g.r.IntN(8)))
	}
	sbound := func() string { return g.pick("", "(") + score() }
	lex := func() string { return g.pick("-", "+", "[", "(", "[a", "(b", "[c", "(d", "[zz") }
	rank := func() string { return strconv.Itoa(g.r.IntN(16) - 6) }
	limit := []string{"LIMIT", g.pick("0", "1", "3", "-1"), g.pick("-1", "0", "1", "2", "9")}
	k, m := key(), member()
	switch g.r.IntN(34) {
	case 0, 1, 2, 3, 4:
		many := []string{"ZADD", k}
		if g.r.IntN(3) == 0 {
			many = append(many, strings.Fields(g.pick("NX", "XX", "GT", "LT", "CH", "XX GT", "XX LT CH", "NX CH"))...)
		}
		for range 1 + g.r.IntN(6) {
			many = append(many, score(), g.pick(member(), strconv.Itoa(g.r.IntN(30))))
		}
		return many
	case 5:
		return []string{"ZADD", k, g.pick("INCR", "NX", "XX", "GT", "LT"), "INCR", score(), m}
	case 6, 7:
		return []string{"ZREM", k, m, member(), strconv.Itoa(g.r.IntN(30))}[:3+g.r.IntN(3)]
	case 8:
		return []string{g.pick("ZCARD", "ZSCANALL"), k}
	case 9:
		return []string{"ZSCORE", k, m}
	case 10:
		return []string{"ZMSCORE", k, m, member(), "5"}
	case 11, 12:
		return []string{g.pick("ZRANK", "ZREVRANK"), k, g.pick(m, strconv.Itoa(g.r.IntN(30)))}
	case 13:
		return []string{"ZCOUNT", k, sbound(), sbound()}
	case 14, 15, 16:
		return append([]string{"ZRANGE", k, rank(), rank()}, strings.Fields(g.pick("", "WITHSCORES", "REV", "REV WITHSCORES"))...)
	case 17, 18, 19:
		words := append([]string{"ZRANGE", k, sbound(), sbound(), "BYSCORE"}, strings.Fields(g.pick("", "WITHSCORES", "REV", "REV WITHSCORES"))...)
		return append(words, limit[:3*g.r.IntN(2)]...)
	case 20:
		return append([]string{"ZRANGESTORE", key(), k, sbound(), sbound(), "BYSCORE"}, limit[:3*g.r.IntN(2)]...)
	case 21:
		return []string{"ZRANGESTORE", key(), k, rank(), rank()}
	case 22:
		return []string{"ZREMRANGEBYRANK", k, rank(), rank()}
	case 23:
		return []string{"ZREMRANGEBYSCORE", k, sbound(), sbound()}
	case 24, 25:
		return []string{g.pick("ZPOPMIN", "ZPOPMAX"), k, strconv.Itoa(g.r.IntN(6))}[:2+g.r.IntN(2)]
	case 26:
		return []string{"ZMPOP", "2", k, key(), g.pick("MIN", "MAX"), "COUNT", g.pick("1", "2", "9")}[:5+2*g.r.IntN(2)]
	case 27, 28:
		words := []string{g.pick("ZUNION", "ZINTER"), "2", k, key()}
		words = append(words, []string{"WEIGHTS", g.pick("1", "2", "-0.5", "inf"), g.pick("1", "3")}[:3*g.r.IntN(2)]...)
		words = append(words, []string{"AGGREGATE", g.pick("SUM", "MIN", "MAX")}[:2*g.r.IntN(2)]...)
		return append(words, "WITHSCORES")
	case 29:
		return []string{g.pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), key(), "2", k, key()}
	case 30:
		return [][]string{{"ZDIFF", "2", k, key(), "WITHSCORES"}, {"ZINTERCARD", "2", k, key(), "LIMIT", g.pick("0", "1", "2")}}[g.r.IntN(2)]
	case 31: // all scores are the same: what Redis says of others is not told
		return [][]string{{"ZRANGE", "lex", lex(), lex(), "BYLEX"}, {"ZRANGE", "lex", lex(), lex(), "BYLEX", "REV", "LIMIT", "1", "2"},
			{"ZLEXCOUNT", "lex", lex(), lex()}, {"ZREMRANGEBYLEX", "lex", lex(), lex()}, {"ZADD", "lex", "3", m, "3", member()}}[g.r.IntN(5)]
	case 32:
		return []string{"SADD", "set", m, member()}
	}
	return [][]string{{"RENAME", k, g.key()}, {"COPY", k, "y", "REPLACE"}, {"SET", "{t}1", m}, {"DEL", k}, {"DBSIZE"}, {"TYPE", k},
		{"EXPIREAT", k, "99999999999"}, {"PEXPIRETIME", k}, {"SCANTYPE", "zset"}, {"ZRANDMEMBER", k, rank()}}[g.r.IntN(10)]
}

func TestServerAgreesOnSortedSets(t *testing.T) { serverAgrees(t, generator.zsetCommand) }

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
				w := newWorld(t, Options{HashInlineFields: 1, RankNodeChildren: children})
				var p plainZSet
				for range rapid.IntRange(1, 25).Draw(rt, "steps") {
					var members []Scored
					for range rapid.IntRange(1, 30).Draw(rt, "members") {
						members = append(members, Scored{[]byte(strconv.Itoa(rapid.IntRange(0, 150).Draw(rt, "member"))),
							float64(rapid.IntRange(-3, 40).Draw(rt, "score"))})
					}
					switch rapid.IntRange(0, 3).Draw(rt, "what") {
					case 0, 1:
						w.must(func(t kv.Txn) error {
							_, err := ZAdd(t, w.at, []byte("z"), members, ZAddOptions{})
							return err
						})
						for _, m := range members {
							p.set(string(m.Member), m.Score)
						}
					case 2:
						for _, m := range members {
							w.do("ZREM", "z", string(m.Member))
							p.drop(string(m.Member))
						}
					case 3:
						n := rapid.IntRange(1, 40).Draw(rt, "pop")
						if n = min(n, len(p)); rapid.Bool().Draw(rt, "highest") {
							w.do("ZPOPMAX", "z", strconv.Itoa(n))
							p = p[:len(p)-n]
						} else {
							w.do("ZPOPMIN", "z", strconv.Itoa(n))
							p = p[n:]
						}
					}
					w.check()
				}
				compareZSet(rt, w, p)
			})
		})
	}
}

func compareZSet(t *rapid.T, w *world, p plainZSet) {
	w.must(func(tx kv.Txn) error {
		for i, m := range p {
			rank, score, found, err := ZRank(tx, w.at, []byte("z"), m.Member, false)
			if err != nil || !found || rank != int64(i) || score != m.Score {
				t.Fatalf("%s is at %d with %v (%t, %v), not at %d with %v", m.Member, rank, score, found, err, i, m.Score)
			}
			got, err := ZRange(tx, w.at, []byte("z"), ZRangeOptions{Start: int64(i), Stop: int64(i)}, nil)
			if err != nil || len(got) != 1 || string(got[0].Member) != string(m.Member) {
				t.Fatalf("at %d is %v (%v), not %s", i, got, err, m.Member)
			}
		}
		for i := 0; i < len(p); i += 7 {
			o := ZRangeOptions{By: ByScore, Score: ScoreRange{Min: p[i].Score, Max: math.Inf(1), MinExcluded: i%2 == 0}, Offset: int64(i % 5), Count: 9}
			var want []Scored
			for _, m := range p {
				if m.Score > p[i].Score || i%2 == 1 && m.Score == p[i].Score {
					want = append(want, m)
				}
			}
			all := int64(len(want))
			want = want[min(i%5, len(want)):]
			want = want[:min(9, len(want))]
			got, err := ZRange(tx, w.at, []byte("z"), o, nil)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%+v: %v (%v), not %v", o, got, err, want)
			}
			o.Offset, o.Count = 0, -1
			if n, err := ZCount(tx, w.at, []byte("z"), o); err != nil || n != all {
				t.Fatalf("%+v: %d (%v), not %d", o, n, err, all)
			}
		}
		return nil
	})
}

// TestZSetCosts: ranks of large sets read few rows, and a change writes few.
func TestZSetCosts(t *testing.T) {
	w := newWorld(t, Options{RankNodeChildren: 32})
	const n = 10_000
	for from := 0; from < n; from += 1000 {
		var members []Scored
		for i := from; i < from+1000; i++ {
			members = append(members, Scored{[]byte(strconv.Itoa(i * 7919 % n)), float64(i * 7919 % n)})
		}
		w.must(func(t kv.Txn) error {
			_, err := ZAdd(t, w.at, []byte("z"), members, ZAddOptions{})
			return err
		})
	}
	w.check()
	for range 200 {
		i := int64(w.rnd.IntN(n))
		reads := 0
		if err := w.run(func(t kv.Txn) error {
			rank, _, _, err := ZRank(&readSpy{t, &reads}, w.at, []byte("z"), []byte(strconv.Itoa(int(i))), false)
			if err == nil && rank != i {
				err = fmt.Errorf("%d is at %d", i, rank)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if reads > 160 { // of three levels and the members
			t.Fatalf("a rank read %d rows", reads)
		}
	}
	for _, tc := range []struct {
		command string
		writes  int
	}{{"ZADD z 5 x", 5}, {"ZADD z 500.5 5", 8}, {"ZADD z 7 x", 8}, {"ZREM z x", 5}, {"ZADD z 500.5 5", 0}, {"DEL z", 3}} {
		if w.do(strings.Fields(tc.command)...); w.last.writes > tc.writes {
			t.Errorf("%s: %d writes, want %d at most", tc.command, w.last.writes, tc.writes)
		}
	}
	w.check()
}

// readSpy counts the rows that are read.
type readSpy struct {
	kv.Txn
	rows *int
}

func (s *readSpy) Snapshot() kv.Reader { return &readerSpy{s.Txn.Snapshot(), s.rows} }

type readerSpy struct {
	kv.Reader
	rows *int
}

func (s *readerSpy) Scan(span base.Span, o kv.ScanOptions, visit func(key, value []byte) bool) error {
	return s.Reader.Scan(span, o, func(key, value []byte) bool {
		*s.rows++
		return visit(key, value)
	})
}

// TestZSetDrains: a queue of which the front goes and to whose end comes more leaves no nodes
// behind.
func TestZSetDrains(t *testing.T) {
	w := newWorld(t, Options{HashInlineFields: 1, RankNodeChildren: 4})
	for i := range 3000 {
		w.do("ZADD", "z", strconv.Itoa(i), strconv.Itoa(i))
		if i > 50 {
			w.do("ZPOPMIN", "z")
		}
	}
	w.check()
	rows := 0
	w.must(func(t kv.Txn) error {
		var z zset
		if err := z.open(t, w.at, []byte("z")); err != nil {
			return err
		}
		for level := 1; level <= z.levels; level++ {
			if err := z.tree().Nodes(level, nil, nil, kv.ScanOptions{}, func(*rank.Node) bool { rows++; return true }); err != nil {
				return err
			}
		}
		return nil
	})
	if rows > 100 {
		t.Errorf("%d nodes are left for 51 members", rows)
	}
	w.do("DEL", "z")
	long := strings.Repeat("x", edgeBytes) // what a header has of these is the same
	for i := range 60 {
		w.do("ZADD", "z", "1", long+strconv.Itoa(i), "1", strconv.Itoa(i))
	}
	w.check()
	for i := range 119 {
		w.do([]string{"ZPOPMIN", "ZPOPMAX"}[i%2], "z")
		w.check()
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
	w := newWorld(t, Options{})
	w.tells([][2]string{
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
		"a score is gone":       func(t kv.Txn, z *zset) { t.Clear(z.scoreRow(bound{scoreKey(5), []byte("5")})) },
		"a score is another":    func(t kv.Txn, z *zset) { t.Set(z.memberRow([]byte("5")), make([]byte, 8)) },
		"a node is gone":        func(t kv.Txn, z *zset) { t.Clear(append(z.part(t, partNode, 0), 1)) },
		"a node counts more":    func(_ kv.Txn, z *zset) { z.tree().Put(1, &rank.Node{Elements: 99, Children: 99}) },
		"a level too much":      func(_ kv.Txn, z *zset) { z.tree().Put(9, &rank.Node{Elements: z.n, Children: 1}) },
		"a row of another kind": func(t kv.Txn, z *zset) { t.Set(z.fieldRow(t, []byte("f")), []byte{0}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{HashInlineFields: 1, RankNodeChildren: 4})
			for i := range 40 {
				w.do("ZADD", "z", strconv.Itoa(i), strconv.Itoa(i))
			}
			w.finds(func(t kv.Txn) error {
				var z zset
				if err := z.open(t, w.at, []byte("z")); err != nil {
					return err
				}
				damage(t, &z)
				return nil
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
