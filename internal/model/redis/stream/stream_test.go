package stream

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

func id(s string) ID {
	id, err := ParseEnd([]byte(s), 0)
	if err != nil {
		panic(err)
	}
	return id
}

func ids(args []string) (all []ID) {
	for _, a := range args {
		all = append(all, id(a))
	}
	return all
}

func showItems(items []Item, err error) (string, error) {
	var b strings.Builder
	for _, x := range items {
		fmt.Fprintf(&b, "%s%s ", x.ID.Append(nil), bytes.Join(x.Fields, []byte("=")))
	}
	return strings.TrimSpace(b.String()), err
}

func showTruth(v bool, err error) (string, error) { return strconv.FormatBool(v), err }

type world = redistest.World

// commands are Redis's, with fewer options: the replies of all of them are held against a
// real server by the door's tests.
var commands = map[string]redistest.CommandFunc{
	"XADD": func(w *world, t kv.Txn, a []string) (string, error) {
		o := AddOptions{}
		var err error
		if o.Auto = a[1] == "*"; !o.Auto {
			o.ID, o.AutoSeq, err = ParseOpenID([]byte(a[1]))
		}
		if err != nil {
			return "", err
		}
		for i := 4; i+1 < len(a); i += 2 {
			n := redistest.Number(a[i+1])
			o.Trim = Trim{By: ByLength, MaxLen: n, About: a[i] == "~"}
		}
		at, _, err := Add(t, w.At, []byte(a[0]), o, redistest.Bytes(a[2:4]...))
		return string(at.Append(nil)), err
	},
	"XTRIM": func(w *world, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(TrimTo(t, w.At, []byte(a[0]), Trim{By: ByID, MinID: id(a[1])}))
	},
	"XLEN": func(w *world, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Len(t, w.At, []byte(a[0])))
	},
	"XDEL": func(w *world, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Del(t, w.At, []byte(a[0]), ids(a[1:])))
	},
	"XRANGE": func(w *world, t kv.Txn, a []string) (string, error) {
		items, _, err := Range(t, w.At, []byte(a[0]), RangeOptions{Start: id(a[1]), End: id(a[2])}, nil)
		return showItems(items, err)
	},
	"XREAD": func(w *world, t kv.Txn, a []string) (string, error) {
		return showItems(Read(t, w.At, []byte(a[0]), id(a[1]), 3, nil))
	},
	"XGROUP": func(w *world, t kv.Txn, a []string) (string, error) {
		key, group := []byte(a[1]), []byte(a[2])
		switch a[0] {
		case "CREATE":
			return redistest.ShowOK(CreateGroup(t, w.At, key, group, GroupOptions{Start: []byte(a[3]), Read: -1, Make: true}))
		case "SETID":
			return redistest.ShowOK(SetGroup(t, w.At, key, group, GroupOptions{Start: []byte(a[3]), Read: -1}))
		case "DESTROY":
			return showTruth(DestroyGroup(t, w.At, key, group))
		case "CREATECONSUMER":
			return showTruth(CreateConsumer(t, w.At, key, group, []byte(a[3])))
		}
		return redistest.ShowInt(DelConsumer(t, w.At, key, group, []byte(a[3])))
	},
	"XREADGROUP": func(w *world, t kv.Txn, a []string) (string, error) {
		o := GroupRead{Group: []byte(a[1]), Consumer: []byte(a[2]), New: a[3] == ">", Count: 2}
		if !o.New {
			o.After = id(a[3])
		}
		return showItems(ReadGroup(t, w.At, []byte(a[0]), o, nil))
	},
	"XACK": func(w *world, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Ack(t, w.At, []byte(a[0]), []byte(a[1]), ids(a[2:])))
	},
	"XCLAIM": func(w *world, t kv.Txn, a []string) (string, error) {
		o := ClaimOptions{Group: []byte(a[1]), Consumer: []byte(a[2]), Times: -1, Force: a[3] == "FORCE"}
		return showItems(Claim(t, w.At, []byte(a[0]), ids(a[4:]), o, nil))
	},
	"XAUTOCLAIM": func(w *world, t kv.Txn, a []string) (string, error) {
		r, err := AutoClaim(t, w.At, []byte(a[0]), ClaimOptions{Group: []byte(a[1]), Consumer: []byte(a[2]), Start: id(a[3]), Count: 2})
		return fmt.Sprint(r.Next, len(r.Items), r.Gone), err
	},
	"XPENDING": func(w *world, t kv.Txn, a []string) (string, error) {
		s, err := PendingSummary(t, w.At, []byte(a[0]), []byte(a[1]))
		return fmt.Sprint(s.Count, s.First, s.Last, len(s.Consumers)), err
	},
}

var streamType = redistest.ValueType{Kind: redis.TypeStream, Commands: commands, Check: Check}

func newWorld(tb testing.TB) *world { return redistest.NewWorld(tb, redis.Options{}).With(streamType) }

// TestStaysWhole: whatever commands do, one after the other and many in a transaction, what
// is stored fits together.
func TestStaysWhole(t *testing.T) {
	for _, many := range []int{1, 20} {
		w := newWorld(t)
		r := rand.New(rand.NewPCG(3, uint64(many)))
		pick := func(of ...string) string { return of[r.IntN(len(of))] }
		for step := 0; step < 6000; step += many {
			var commands [][]string
			for range many {
				k, g, c, at := pick("s", "t"), pick("g", "h"), pick("a", "b"), strconv.Itoa(r.IntN(60))
				commands = append(commands, [][]string{
					{"XADD", k, strconv.Itoa(step*40/6000+r.IntN(20)) + "-*", "f", "v"}, {"XADD", k, strconv.Itoa(r.IntN(60)) + "-1", "f", "v"}, {"XADD", k, "60-*", "f", "v", "=", "30"},
					{"XDEL", k, at, at + "-1", strconv.Itoa(r.IntN(60)) + "-1"}, {"XTRIM", k, strconv.Itoa(r.IntN(20))}, {"XGROUP", "CREATE", k, g, at}, {"XGROUP", "SETID", k, g, at},
					{"XGROUP", pick("DESTROY", "none", "none"), k, g, c}, {"XGROUP", "DELCONSUMER", k, g, c}, {"XREADGROUP", k, g, c, ">"}, {"XREADGROUP", k, g, c, ">"}, {"XREADGROUP", k, g, c, at},
					{"XACK", k, g, at + "-1", strconv.Itoa(r.IntN(60)) + "-1"}, {"XCLAIM", k, g, c, pick("", "FORCE"), at + "-1"}, {"XAUTOCLAIM", k, g, c, at}, {"XPENDING", k, g},
					{"COPY", k, pick("s", "t"), "REPLACE"}, {pick("DEL", "EXISTS", "EXISTS"), k}, {"XRANGE", k, "-", "+"},
				}[r.IntN(19)])
			}
			if many == 1 {
				w.Do(commands[0]...)
			} else {
				w.Transaction(commands)
			}
			w.Check()
		}
	}
}

// TestCosts: how many rows commands on a long stream write.
func TestCosts(t *testing.T) {
	w := newWorld(t)
	for range 1000 {
		w.Do("XADD", "s", "*", "f", "v")
		w.Now++
	}
	for _, tc := range []struct {
		command string
		writes  int
	}{
		{"XADD s * f v", 2}, {"XADD s * f v = 1000", 3}, {"XADD s * f v ~ 950", 2}, {"XADD s * f v ~ 900", 3}, {"XRANGE s - +", 0}, {"XGROUP CREATE s g 0", 2}, {"XREADGROUP s g c >", 7},
		{"XREADGROUP s g c >", 7}, {"XREADGROUP s g c 0", 5}, {"XGROUP CREATE s new $", 2}, {"XREADGROUP s new c >", 3}, {"XREADGROUP s new c >", 1}, {"XGROUP DESTROY s g", 5}, {"DEL s", 3},
	} {
		w.Now++
		if got := w.Do(strings.Fields(tc.command)...); strings.HasPrefix(got, "(error)") || w.Last.Writes != tc.writes {
			t.Errorf("%s: %d writes, want %d: %.80s", tc.command, w.Last.Writes, tc.writes, got)
		}
	}
	w.Check()
}

// TestWaitingWritesNothing: who asks again, and finds nothing again, changes nothing.
func TestWaitingWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.Do("XGROUP", "CREATE", "s", "g", "0")
	for _, tc := range []struct {
		waiting bool
		writes  int
	}{{true, 0}, {false, 3}, {true, 0}, {false, 1}} { // a consumer, who was seen then
		w.Now++
		w.Must(func(t kv.Txn) error {
			_, err := ReadGroup(t, w.At, []byte("s"), GroupRead{Group: []byte("g"), Consumer: []byte("c"), New: true, Waiting: tc.waiting}, nil)
			return err
		})
		if w.Last.Writes != tc.writes {
			t.Errorf("waiting %v: %d writes, not %d", tc.waiting, w.Last.Writes, tc.writes)
		}
	}
	w.Check()
}

// TestReads: a command reads what it answers, wherever that stands.
func TestReads(t *testing.T) {
	w := newWorld(t)
	for i := range 2000 {
		w.Do("XADD", "s", strconv.Itoa(i+1), "f", "v")
	}
	w.Do("XGROUP", "CREATE", "s", "g", "0")
	for _, tc := range []struct {
		command string
		rows    int
	}{
		{"XREAD s 1000", 3}, {"XRANGE s 1500 1509", 10}, {"XADD s 3000 f v = 1990", 12}, {"XADD s 3001 f v = 10", 10}, {"XREADGROUP s g c >", 2}, {"XREADGROUP s g c 0", 2}, {"XACK s g 2992 2993", 2}, {"XPENDING s g", 4},
	} {
		reads := 0
		args := strings.Fields(tc.command)
		w.Must(func(t kv.Txn) error {
			reads = 0
			_, err := commands[args[0]](w, redistest.CountReads(t, &reads), args[1:])
			return err
		})
		if reads > tc.rows {
			t.Errorf("%s has read %d rows", tc.command, reads)
		}
	}
}

func TestEvents(t *testing.T) {
	newWorld(t).Tells([][2]string{
		{"XADD s 1-1 f v", "[n 0 new s t 0 xadd s]"}, {"XADD s 2-1 f v = 1", "[t 0 xadd s t 0 xtrim s]"}, {"XADD s 2-1 f v", "[]"}, {"XGROUP CREATE s g 0", "[t 0 xgroup-create s]"},
		{"XREADGROUP s g c >", "[t 0 xgroup-createconsumer s]"}, {"XREADGROUP s g c >", "[]"}, {"XGROUP SETID s g 0", "[t 0 xgroup-setid s]"}, {"XGROUP DELCONSUMER s g c", "[t 0 xgroup-delconsumer s]"},
		{"XGROUP DESTROY s g", "[t 0 xgroup-destroy s]"}, {"XDEL s 2-1", "[t 0 xdel s]"}, {"XDEL s 2-1", "[]"},
	})
}

// TestClock: IDs grow when the clock does not, and when it goes back.
func TestClock(t *testing.T) {
	w := newWorld(t)
	want := []string{}
	for i, at := range []int64{5, 5, 3, 6} {
		w.Now = redistest.Epoch + at
		want = append(want, []string{"5-0", "5-1", "5-2", "6-0"}[i])
		if got := w.Do("XADD", "s", "*", "f", "v"); got != fmt.Sprintf("%d%s", (redistest.Epoch+5)/10, want[i]) {
			t.Errorf("%d: %s", at, got)
		}
	}
}

// TestDamage: a check finds what does not fit together.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(s *stream, g *group){
		"an entry is gone":             func(s *stream, _ *group) { s.t.Clear(s.entryRow(id("2"))) },
		"the first is gone":            func(s *stream, _ *group) { s.t.Clear(s.entryRow(id("1"))) },
		"an entry too much":            func(s *stream, _ *group) { s.t.Set(s.entryRow(id("9")), []byte{2, 0, 0}) },
		"an entry of nothing":          func(s *stream, _ *group) { s.t.Set(s.entryRow(id("2")), []byte{}) },
		"more are counted":             func(s *stream, _ *group) { s.n++; s.save() },
		"a group is gone":              func(s *stream, g *group) { s.t.Clear(s.groupRow(g.name)) },
		"a group counts more":          func(_ *stream, g *group) { g.pending++; g.save() },
		"a group begins elsewhere":     func(_ *stream, g *group) { g.low = id("2"); g.save() },
		"a consumer is gone":           func(s *stream, g *group) { s.t.Clear(g.consumerRow([]byte("c"))) },
		"pending no more":              func(s *stream, g *group) { s.t.Clear(g.pendingRow(id("1"))) },
		"pending nowhere":              func(s *stream, g *group) { s.t.Clear(g.ownedRow(0, id("1"))) },
		"a row of another type":        func(s *stream, _ *group) { s.t.Set(s.FieldRow(s.t, []byte("f")), []byte{0}) },
		"pending in a group not there": func(s *stream, g *group) { g.number = 99; s.t.Set(g.pendingRow(id("1")), make([]byte, 20)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 3 {
				w.Do("XADD", "s", strconv.Itoa(i+1), "f", "v")
			}
			w.Do("XGROUP", "CREATE", "s", "g", "0")
			w.Do("XREADGROUP", "s", "g", "c", ">")
			w.Finds(func(t kv.Txn) error {
				var s stream
				if err := s.open(t, w.At, []byte("s")); err != nil {
					return err
				}
				g, err := s.group([]byte("g"))
				if err == nil {
					damage(&s, g)
				}
				return err
			})
		})
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	if got := w.Do("XADD", "s", "1", "f", strings.Repeat("v", redis.MaxFieldValueBytes)); got != "(error) "+ErrTooLarge.Error() {
		t.Errorf("%.100s", got)
	}
	w.Do("XADD", "s", "1", "f", "v")
	w.Do("XGROUP", "CREATE", "s", "g", "0")
	long := strings.Repeat("n", 1<<14)
	for _, command := range [][]string{{"XGROUP", "CREATE", "s", long, "0"}, {"XREADGROUP", "s", "g", long, ">"}, {"XGROUP", "CREATECONSUMER", "s", "g", long}} {
		if got := w.Do(command...); got != "(error) "+redis.ErrKeyTooLong.Error() {
			t.Errorf("%.100s", got)
		}
	}
	w.Check()
}

func TestIDs(t *testing.T) {
	for _, tc := range []struct {
		id, next, prev string
	}{{"1-1", "1-2", "1-0"}, {"1-0", "1-1", "0-18446744073709551615"}, {"5-18446744073709551615", "6-0", "5-18446744073709551614"}} {
		next, _ := id(tc.id).Next()
		prev, _ := id(tc.id).Prev()
		if next != id(tc.next) || prev != id(tc.prev) {
			t.Errorf("%s is between %v and %v", tc.id, prev, next)
		}
	}
	if _, some := MaxID.Next(); some {
		t.Error("something is behind the last ID")
	}
	if _, some := (ID{}).Prev(); some {
		t.Error("something is before the first ID")
	}
}

func FuzzID(f *testing.F) {
	for _, s := range []string{"1-1", "5-*", "-", "0", "18446744073709551615-18446744073709551615", "+5", "1-+1", "--"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := ParseID(b, math.MaxUint64); err == nil {
			again, err := ParseID(x.Append(nil), 0)
			if err != nil || again != x {
				t.Errorf("%q is %v, which is %v, %v", b, x, again, err)
			}
		}
		_, _, _ = ParseOpenID(b)
	})
}

func FuzzRows(f *testing.F) {
	f.Add(appendStrings(nil, redistest.Bytes("f", "v")))
	f.Add(make([]byte, groupBytes))
	f.Add(make([]byte, bodyBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		corrupt := func(err error) {
			if err != nil && !errors.Is(err, base.ErrCorruption) {
				t.Error(err)
			}
		}
		fields, err := decodeStrings(b)
		if err == nil && !bytes.Equal(appendStrings(nil, fields), b) && len(b) < 128 && b[0] < 128 {
			if again, err := decodeStrings(appendStrings(nil, fields)); err != nil || len(again) != len(fields) {
				t.Errorf("%x", b)
			}
		}
		corrupt(err)
		s := stream{Entry: redis.Entry{Found: true, Header: redis.Header{Enc: encRows, Body: b}}}
		corrupt(s.decode())
		g, err := s.decodeGroup(nil, b)
		corrupt(err)
		if err == nil {
			_, err = g.decodeConsumer(nil, b)
			corrupt(err)
		}
		_, err = decodePending(ID{}, b)
		corrupt(err)
	})
}
