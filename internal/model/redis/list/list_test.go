package list

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// listCommand is one of a few keys that are lists, mostly.
func randomCommand(g redistest.Generator) []string {
	k, v := g.Pick("l", "m", "{t}1", "\x00"), g.Pick("a", "b", "c", "", "1", "-129", "a longer element than the others")
	side := func() string { return g.Pick("LEFT", "RIGHT") }
	n := func() string { return strconv.Itoa(g.Rand.IntN(14) - 5) }
	switch g.Rand.IntN(26) {
	case 0, 1, 2:
		return []string{g.Pick("LPUSH", "RPUSH"), k, v, g.Value(), v}[:3+g.Rand.IntN(3)]
	case 3, 4:
		var many []string
		for range 2 + g.Rand.IntN(8) {
			many = append(many, g.Pick("a", "b", "c", "d", "e"))
		}
		return append([]string{g.Pick("LPUSH", "RPUSH"), k}, many...)
	case 5:
		return []string{g.Pick("LPUSHX", "RPUSHX"), k, v}
	case 6:
		return []string{g.Pick("LPOP", "RPOP"), k}
	case 7:
		return []string{g.Pick("LPOP", "RPOP"), k, strconv.Itoa(g.Rand.IntN(5))}
	case 8:
		return []string{"LLEN", k}
	case 9, 10:
		return []string{"LRANGE", k, n(), n()}
	case 11:
		return []string{"LINDEX", k, n()}
	case 12, 13:
		return []string{"LSET", k, n(), v}
	case 14, 15, 16:
		return []string{"LINSERT", k, g.Pick("BEFORE", "AFTER"), g.Pick("a", "b", "c"), v}
	case 17, 18:
		return []string{"LREM", k, strconv.Itoa(g.Rand.IntN(5) - 2), v}
	case 19:
		return []string{"LTRIM", k, strconv.Itoa(g.Rand.IntN(4) - 1), strconv.Itoa(-g.Rand.IntN(4))}
	case 20:
		return []string{"LPOS", k, v, "RANK", g.Pick("1", "2", "-1", "-2"), "COUNT", g.Pick("0", "1", "2"), "MAXLEN", g.Pick("0", "3")}[:3+2*g.Rand.IntN(4)]
	case 21:
		return []string{"LMOVE", k, g.Pick("l", "m", k), side(), side()}
	case 22:
		return []string{"RPOPLPUSH", k, g.Pick("l", "m", k)}
	case 23:
		return []string{"LMPOP", "2", k, g.Pick("l", "m"), side(), "COUNT", g.Pick("1", "2", "9")}[:5+2*g.Rand.IntN(2)]
	case 24:
		return []string{g.Pick("DEL", "TYPE", "PERSIST", "PEXPIRETIME"), k}
	}
	return [][]string{{"RENAME", k, g.Key()}, {"COPY", k, "m", "REPLACE"}, {"SET", "{t}1", v}, {"HSET", "{t}1", v, v}, {"DBSIZE"},
		{"EXPIREAT", k, "99999999999"}, {"SCANTYPE", "list"}}[g.Rand.IntN(7)]
}

func TestServerAgreesOnLists(t *testing.T) { redistest.ServerAgrees(t, randomCommand, listType) }

// plainList is what a list is: a slice.
type plainList []string

func (p plainList) show() string {
	parts := make([]string, len(p))
	for i, v := range p {
		parts[i] = strconv.Quote(v)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// TestListModel compares edits with those of a slice.
func TestListModel(t *testing.T) {
	for name, o := range redistest.Layouts {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := redistest.NewWorld(t, o).With(listType)
				var p plainList
				var log []string
				do := func(cmd ...string) string {
					log = append(log, strings.Join(cmd, " "))
					return w.Do(cmd...)
				}
				for range rapid.IntRange(1, 50).Draw(rt, "steps") {
					v := rapid.SampledFrom([]string{"a", "b", "c", "long enough to matter"}).Draw(rt, "value")
					i := rapid.IntRange(0, len(p)).Draw(rt, "index")
					switch rapid.IntRange(0, 7).Draw(rt, "command") {
					case 0:
						do("LPUSH", "l", v, "x", v)
						p = append(plainList{v, "x", v}, p...)
					case 1:
						do("RPUSH", "l", v)
						p = append(p, v)
					case 2:
						do("LPOP", "l")
						p = p[min(1, len(p)):]
					case 3:
						do("RPOP", "l", "2")
						p = p[:max(len(p)-2, 0)]
					case 4:
						do("LINSERT", "l", "AFTER", v, "y")
						if at := slices.Index(p, v); at >= 0 {
							p = slices.Insert(slices.Clone(p), at+1, "y")
						}
					case 5:
						do("LINSERT", "l", "BEFORE", v, "z")
						if at := slices.Index(p, v); at >= 0 {
							p = slices.Insert(slices.Clone(p), at, "z")
						}
					case 6:
						do("LREM", "l", "1", v)
						if at := slices.Index(p, v); at >= 0 {
							p = slices.Delete(slices.Clone(p), at, at+1)
						}
					case 7:
						do("LTRIM", "l", strconv.Itoa(i/2), "-2")
						p = p[min(i/2, len(p)):]
						p = p[:max(len(p)-1, 0)]
					}
					if got := w.Do("LRANGE", "l", "0", "-1"); got != p.show() {
						rt.Fatalf("%s\n  here  %s\n  model %s", strings.Join(log, "\n"), got, p.show())
					}
					if i < len(p) {
						if got := w.Do("LINDEX", "l", strconv.Itoa(i)); got != strconv.Quote(p[i]) {
							rt.Fatalf("%s\n  element %d is %s of %s", strings.Join(log, "\n"), i, got, p.show())
						}
					}
					w.Check()
				}
			})
		})
	}
}

// TestListRoom: however often something is inserted at one place, there is room, and what
// is moved for it stays little.
func TestListRoom(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{ListNodeElements: 1}).With(listType)
	var p plainList
	for i := range 40 {
		v := "e" + strconv.Itoa(i)
		w.Do("RPUSH", "l", v)
		p = append(p, v)
	}
	writes := 0
	for i := range 400 {
		v, word, at := "i"+strconv.Itoa(i), "AFTER", slices.Index(p, "e20")+1
		if i%3 == 0 {
			word, at = "BEFORE", at-1
		}
		w.Do("LINSERT", "l", word, "e20", v)
		writes += w.Last.Writes
		p = slices.Insert(p, at, v)
	}
	if got := w.Do("LRANGE", "l", "0", "-1"); got != p.show() {
		t.Errorf("here  %s\nmodel %s", got, p.show())
	}
	w.Check()
	if writes > 400*12 {
		t.Errorf("400 inserts have made %d writes", writes)
	}
	for i := range 30 {
		v := strconv.Itoa(i)
		w.Do("LINSERT", "l", "AFTER", p[len(p)-2], v)
		p = slices.Insert(p, len(p)-1, v)
	}
	if got := w.Do("LRANGE", "l", "0", "-1"); got != p.show() {
		t.Errorf("here  %s\nmodel %s", got, p.show())
	}
	w.Check()
}

// TestListCosts: how many rows commands on a long list write, and read.
func TestListCosts(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(listType)
	args := []string{"RPUSH", "l"}
	for i := range 1000 {
		args = append(args, strconv.Itoa(i))
	}
	w.Do(args...)
	for _, tc := range []struct {
		command string
		writes  int
	}{
		{"LPUSH l x", 1}, {"RPUSH l x y", 1}, {"LPOP l", 1}, {"RPOP l", 1}, {"LPOP l 100", 2}, {"LTRIM l 10 -10", 1}, {"LTRIM l 100 -100", 3}, {"LSET l 500 x", 2},
		{"LREM l 1 x", 2}, {"LINSERT l BEFORE 300 y", 2}, {"LMOVE l l LEFT RIGHT", 2}, {"LPOP l", 1}, {"DEL l", 3},
	} {
		if w.Do(strings.Fields(tc.command)...); w.Last.Writes != tc.writes {
			t.Errorf("%s: %d writes, want %d", tc.command, w.Last.Writes, tc.writes)
		}
	}
}

// TestListEncoding: what OBJECT ENCODING says is not how it is stored.
func TestListEncoding(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(listType)
	for range 200 {
		w.Do("RPUSH", "l", "0123456789")
	}
	encoding := func() (name string) {
		w.Must(func(t kv.Txn) (err error) {
			name, err = redis.ObjectEncoding(t, w.At, []byte("l"))
			return err
		})
		return name
	}
	if got := encoding(); got != "listpack" {
		t.Error(got)
	}
	w.Do("LPUSH", "l", strings.Repeat("x", 6000))
	if got := encoding(); got != "quicklist" {
		t.Error(got)
	}
	w.Check()
}

// TestListDamage: a check finds what does not fit together.
func TestListDamage(t *testing.T) {
	for name, damage := range map[string]func(w *redistest.World, t kv.Txn, l *list){
		"a node is gone":       func(_ *redistest.World, t kv.Txn, l *list) { t.Clear(l.listNodeRow(t, l.first+listStride)) },
		"the first is gone":    func(_ *redistest.World, t kv.Txn, l *list) { t.Clear(l.listNodeRow(t, l.first)) },
		"one is between":       func(_ *redistest.World, t kv.Txn, l *list) { l.putNode(t, l.first+1, redistest.Bytes("x")) },
		"an element is longer": func(_ *redistest.World, t kv.Txn, l *list) { l.putNode(t, l.first, redistest.Bytes("longer")) },
		"a node has more":      func(_ *redistest.World, t kv.Txn, l *list) { l.putNode(t, l.first, redistest.Bytes("a", "b")) },
		"a node is empty":      func(_ *redistest.World, t kv.Txn, l *list) { t.Set(l.listNodeRow(t, l.first), []byte{0, 0}) },
		"a key is too short":   func(_ *redistest.World, t kv.Txn, l *list) { t.Set(l.Part(t, redis.PartListNode, 3), nil) },
		"a part of a hash":     func(_ *redistest.World, t kv.Txn, l *list) { t.Set(l.FieldRow(t, []byte("f")), []byte{0}) },
		"a header counts more": func(_ *redistest.World, t kv.Txn, l *list) { l.n, l.loose = l.n+1, true; l.save(t) },
		"an end counts more":   func(_ *redistest.World, t kv.Txn, l *list) { l.n, l.ends[1].n = l.n+1, l.ends[1].n+1; l.save(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWorld(t, redis.Options{ListNodeElements: 1}).With(listType)
			w.Do("RPUSH", "l", "a", "b", "c", "d", "e")
			w.Finds(func(t kv.Txn) error {
				var l list
				if err := l.open(t, w.At, []byte("l")); err != nil {
					return err
				}
				damage(w, t, &l)
				return nil
			})
		})
	}
}

func FuzzListBody(f *testing.F) {
	f.Add([]byte{0, 2, 1, 'a', 0}, byte(encListEnds))
	f.Add(bytes.Repeat([]byte{1}, listFixed), byte(encListLoose))
	f.Fuzz(func(t *testing.T, body []byte, enc byte) {
		h := redis.Header{Kind: redis.TypeList, Enc: redis.Encoding(enc), Body: body}
		if h.Validate() != nil {
			return
		}
		l := list{Entry: redis.Entry{Found: true, Header: h}}
		if l.decode() != nil {
			return
		}
		for _, end := range l.ends {
			els, err := end.elements(nil)
			if err == nil && len(els) != int(end.n) {
				t.Errorf("%d elements, %d counted", len(els), end.n)
			}
			if n, err := decodeListNode(1, end.b); err == nil {
				_, _ = n.elements(nil)
			}
		}
	})
}

// TestListLargeElements: elements as long as a row allows stand alone, wherever they come.
func TestListLargeElements(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(listType)
	large := strings.Repeat("x", redis.MaxFieldValueBytes)
	for _, cmd := range [][]string{{"RPUSH", "l", large + "x"}, {"LSET", "m", "0", large + "x"}, {"LINSERT", "m", "AFTER", "a", large + "x"}} {
		w.Do("DEL", "m")
		w.Do("RPUSH", "m", "a")
		if got := w.Do(cmd...); got != "(error) "+redis.ErrFieldValueTooLong.Error() {
			t.Errorf("%s: %.100s", cmd[0], got)
		}
	}
	var p plainList
	for i := range 300 {
		v := strconv.Itoa(i)
		if i%100 == 50 {
			v = large
		}
		w.Do("RPUSH", "l", v)
		p = append(p, v)
	}
	w.Check()
	for _, i := range []int{0, 1, 60, 120, 121, 298, 299} {
		w.Do("LSET", "l", strconv.Itoa(i), large)
		p[i] = large
		w.Check()
	}
	for _, pivot := range []string{"3", "100", "122", "297"} {
		w.Do("LINSERT", "l", "AFTER", pivot, large)
		p = slices.Insert(p, slices.Index(p, pivot)+1, large)
		w.Check()
	}
	for i, want := range p {
		if got := w.Do("LINDEX", "l", strconv.Itoa(i)); got != strconv.Quote(want) {
			t.Fatalf("element %d is %.20s, not %.20s", i, got, want)
		}
	}
	if got := w.Do("LREM", "l", "0", large); got != "(integer) "+strconv.Itoa(3+7+4) {
		t.Error(got)
	}
	w.Check()
}
