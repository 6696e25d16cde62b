package redis_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

func randomSetCommand(g redistest.Generator) []string {
	key := func() string { return g.Pick("s", "r", "{t}1", "\x00") }
	member := func() string {
		return g.Pick("a", "b", "c", "", "1", "-129", "007", "9223372036854775807", "a longer member than others")
	}
	k, m := key(), member()
	switch g.Rand.IntN(24) {
	case 0, 1, 2, 3:
		many := []string{"SADD", k}
		for range 1 + g.Rand.IntN(8) {
			many = append(many, g.Pick(member(), strconv.Itoa(g.Rand.IntN(20))))
		}
		return many
	case 4, 5:
		return []string{"SREM", k, m, member(), strconv.Itoa(g.Rand.IntN(20))}[:3+g.Rand.IntN(3)]
	case 6:
		return []string{"SMOVE", k, key(), m}
	case 7:
		return []string{"SISMEMBER", k, m}
	case 8:
		return []string{"SMISMEMBER", k, m, member(), "5"}
	case 9, 10:
		return []string{g.Pick("SCARD", "SMEMBERS", "SSCANALL"), k}
	case 11:
		return []string{"SRANDMEMBER", k, strconv.Itoa(g.Rand.IntN(14) - 5)}
	case 12:
		return []string{"SPOP", k, g.Pick("0", "100")} // nothing, or all
	case 13, 14, 15:
		return []string{g.Pick("SINTER", "SUNION", "SDIFF"), k, key(), key()}[:2+g.Rand.IntN(3)]
	case 16, 17, 18:
		return []string{g.Pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), key(), k, key(), key()}[:3+g.Rand.IntN(3)]
	case 19:
		return []string{"SINTERCARD", "2", k, key(), "LIMIT", g.Pick("0", "1", "3")}[:4+2*g.Rand.IntN(2)]
	case 20:
		return []string{g.Pick("DEL", "TYPE", "PERSIST", "PEXPIRETIME"), k}
	}
	return [][]string{{"RENAME", k, g.Key()}, {"COPY", k, "r", "REPLACE"}, {"SET", "{t}1", m}, {"HSET", "{t}1", m, m}, {"DBSIZE"},
		{"EXPIREAT", k, "99999999999"}, {"SCANTYPE", "set"}}[g.Rand.IntN(7)]
}

func TestServerAgreesOnSets(t *testing.T) { redistest.ServerAgrees(t, randomSetCommand) }

// numbers is a set of the multiples of step below n.
func numbers(step, n int) (args []string) {
	for i := 0; i < n; i += step {
		args = append(args, strconv.Itoa(i))
	}
	return args
}

func sortedReply(members []string) string {
	slices.Sort(members)
	for i, m := range members {
		members[i] = strconv.Quote(m)
	}
	return "[" + strings.Join(members, " ") + "]"
}

// TestSetAlgebraLarge: sets that are read once and sets of which members are looked up,
// with and without rows.
func TestSetAlgebraLarge(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	const n = 4000
	steps := map[string]int{"all": 1, "even": 2, "third": 3, "few": 1000, "some": 97}
	for key, step := range steps {
		w.Do(append([]string{"SADD", key}, numbers(step, n)...)...)
	}
	w.Do("SADD", "other", "x", "y", "6")
	steps["other"] = 0
	has := func(key string, i int) bool {
		if key == "other" {
			return i == 6
		}
		return i%steps[key] == 0
	}
	for a := range steps {
		for b := range steps {
			var inter, diff []string
			for i := range n {
				switch {
				case has(a, i) && has(b, i):
					inter = append(inter, strconv.Itoa(i))
				case has(a, i):
					diff = append(diff, strconv.Itoa(i))
				}
			}
			if a == "other" {
				rest := []string{"x", "y"}
				if b == "other" {
					inter = append(inter, rest...)
				} else {
					diff = append(diff, rest...)
				}
			}
			if got, want := w.Do("SINTERCARD", "2", a, b), redistest.Integer(int64(len(inter))); got != want {
				t.Errorf("SINTERCARD %s %s is %s, not %s", a, b, got, want)
			}
			if got, want := w.Do("SINTERCARD", "2", a, b, "LIMIT", "3"), redistest.Integer(int64(min(len(inter), 3))); got != want {
				t.Errorf("SINTERCARD %s %s LIMIT 3 is %s, not %s", a, b, got, want)
			}
			if got, want := w.Do("SINTER", a, b), sortedReply(inter); got != want {
				t.Errorf("SINTER %s %s is %s, not %s", a, b, got, want)
			}
			if got, want := w.Do("SDIFF", a, b), sortedReply(diff); got != want {
				t.Errorf("SDIFF %s %s is %s, not %s", a, b, got, want)
			}
		}
	}
	w.Check()
}

// TestSetPop: what SPOP returns is gone, nothing else is, and the choice is no order.
func TestSetPop(t *testing.T) {
	for name, o := range redistest.Layouts {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWorld(t, o)
			const n = 3000
			w.Do(append([]string{"SADD", "s"}, numbers(1, n)...)...)
			seen := map[string]bool{}
			first := ""
			for _, count := range []int64{1, 5, 100, 1500, 1, 2000} {
				var got []redis.FieldValue
				w.Must(func(t kv.Txn) (err error) {
					got, err = redis.SPop(t, w.At, []byte("s"), count, w.Rand, nil)
					for i := range got {
						got[i].Field = slices.Clone(got[i].Field)
					}
					return err
				})
				want := min(int(count), n-len(seen))
				for _, m := range got {
					if seen[string(m.Field)] {
						t.Fatalf("%s is returned again", m.Field)
					}
					if seen[string(m.Field)] = true; first == "" {
						first = string(m.Field)
					}
				}
				if len(got) != want {
					t.Fatalf("SPOP %d returned %d", count, len(got))
				}
				if got, want := w.Do("SCARD", "s"), redistest.Integer(int64(n-len(seen))); got != want {
					t.Fatalf("%s are left, not %s", got, want)
				}
				w.Check()
			}
			if w.Do("EXISTS", "s") != redistest.Integer(0) {
				t.Error("an empty set exists")
			}
			if fmt.Sprint(w.Events) == "" || first == "0" {
				t.Errorf("the first one is %s", first)
			}
		})
	}
}

// TestSetSamples: one SPOP after the other takes every member once, whatever else happens to
// the set, in an order that is not that of the members, and reads few rows for it.
func TestSetSamples(t *testing.T) {
	const n = 2000
	w := redistest.NewWorld(t, redis.Options{Samples: new(redis.Samples)})
	left, read := map[string]bool{}, 0
	add := func(step, n int) {
		w.Do(append([]string{"SADD", "s"}, numbers(step, n)...)...)
		for _, m := range numbers(step, n) {
			left[m] = true
		}
	}
	pop := func() (member string) {
		w.Must(func(t kv.Txn) error {
			got, err := redis.SPop(redistest.CountReads(t, &read), w.At, []byte("s"), 1, w.Rand, nil)
			if err == nil && len(got) == 1 {
				member = string(got[0].Field)
			}
			return err
		})
		if !left[member] {
			t.Fatalf("%q is taken, which is no member", member)
		}
		delete(left, member)
		return member
	}
	add(1, n)
	seen := map[string]bool{}
	for range 40 {
		w.Do("DEL", "s")
		clear(left)
		add(1, n)
		for range 3 {
			seen[pop()] = true
		}
	}
	if len(seen) < 60 { // a sample lives on, and its members may come again
		t.Errorf("120 members of %d are %d different ones", n, len(seen))
	}
	read = 0
	for i := 0; len(left) > 0; i++ {
		switch {
		case i%5 == 4 && len(left) > 1:
			for m := range left { // of one that may be in the sample
				w.Do("SREM", "s", m)
				delete(left, m)
				break
			}
		case i%300 == 299:
			add(i, i+20)
		}
		pop()
		if got, want := w.Do("SCARD", "s"), redistest.Integer(int64(len(left))); got != want {
			t.Fatalf("%s are left, not %s", got, want)
		}
	}
	if w.Check(); read > 3*n {
		t.Errorf("%d rows were read for %d members", read, n)
	}
}

// TestSetEvents: the events of Redis, in their order.
func TestSetEvents(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	w.Tells([][2]string{
		{"SADD s a b", "[n 0 new s s 0 sadd s]"},
		{"SADD s a", "[]"},
		{"SREM s z", "[]"},
		{"SREM s a", "[s 0 srem s]"},
		{"SMOVE s r b", "[s 0 srem s g 0 del s n 0 new r s 0 sadd r]"},
		{"SUNIONSTORE u r", "[n 0 new u s 0 sunionstore u]"},
		{"SUNIONSTORE u r", "[s 0 sunionstore u]"},
		{"SINTERSTORE u r none", "[m 0 keymiss none g 0 del u]"},
		{"SPOP r 1", "[s 0 spop r g 0 del r]"},
	})
}

// TestSetEncoding: what OBJECT ENCODING says is not how it is stored.
func TestSetEncoding(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	encoding := func() (name string) {
		w.Must(func(t kv.Txn) (err error) {
			name, err = redis.ObjectEncoding(t, w.At, []byte("s"))
			return err
		})
		return name
	}
	for _, step := range []struct {
		want    string
		command []string
	}{
		{"intset", []string{"SADD", "s", "1", "2", "-3"}},
		{"intset", append([]string{"SADD", "s"}, numbers(1, 500)...)},
		{"hashtable", append([]string{"SADD", "s"}, numbers(1, 600)...)},
		{"hashtable", append([]string{"SREM", "s"}, numbers(2, 600)...)},
		{"", []string{"DEL", "s"}},
		{"listpack", []string{"SADD", "s", "1", "a"}},
		{"listpack", []string{"SREM", "s", "a"}},
		{"hashtable", []string{"SADD", "s", strings.Repeat("x", 65)}},
		{"", []string{"DEL", "s"}},
		{"listpack", append([]string{"SADD", "s", "a"}, numbers(1, 127)...)},
		{"hashtable", []string{"SADD", "s", "b"}},
		{"", []string{"DEL", "s"}},
		{"hashtable", append([]string{"SADD", "s"}, numbers(1, 513)...)},
	} {
		w.Do(step.command...)
		if got := encoding(); got != step.want {
			t.Errorf("after %.40q: %s, not %s", step.command, got, step.want)
		}
		w.Check()
	}
}

// TestSetDamage: a check finds what does not fit together.
func TestSetDamage(t *testing.T) {
	for name, damage := range map[string]func(t kv.Txn, x *redis.Entry){
		"a row is gone":   func(t kv.Txn, x *redis.Entry) { t.Clear(x.FieldRow(t, []byte("a"))) },
		"a row too much":  func(t kv.Txn, x *redis.Entry) { t.Set(x.FieldRow(t, []byte("z")), []byte{0}) },
		"a row of a list": func(t kv.Txn, x *redis.Entry) { t.Set(x.Part(t, redis.PartListNode, 8), nil) },
		"a member that ends": func(t kv.Txn, x *redis.Entry) {
			t.Set(x.FieldRow(t, []byte("a")), binary.BigEndian.AppendUint64([]byte{1}, redistest.Epoch))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWorld(t, redis.Options{HashInlineFields: 1})
			w.Do("SADD", "s", "a", "b", "c")
			w.Finds(func(t kv.Txn) error {
				var x redis.Entry
				if err := x.LookupAs(t, w.At, []byte("s"), redis.TypeSet); err != nil {
					return err
				}
				damage(t, &x)
				return nil
			})
		})
	}
}
