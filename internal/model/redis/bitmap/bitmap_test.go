package bitmap

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

func rangeOf(a []string) Range {
	switch len(a) {
	case 0:
		return Whole
	case 1:
		return Range{Start: redistest.Number(a[0]), Open: true}
	}
	return Range{Start: redistest.Number(a[0]), End: redistest.Number(a[1]), Bits: len(a) == 3 && a[2] == "BIT"}
}

var words = map[string]Operation{"AND": And, "OR": Or, "XOR": Xor, "NOT": Not}

func showBit(on bool, err error) (string, error) {
	if on {
		return redistest.Integer(1), err
	}
	return redistest.Integer(0), err
}

func field(w *redistest.World, t kv.Txn, a []string) (string, error) {
	var ops []FieldOp
	overflow := Wrap
	for i := 1; i < len(a); {
		o := FieldOp{Overflow: overflow}
		switch a[i] {
		case "OVERFLOW":
			overflow = map[string]Overflow{"WRAP": Wrap, "SAT": Saturate, "FAIL": Fail}[a[i+1]]
			i += 2
			continue
		case "SET":
			o.Action = FieldSet
		case "INCRBY":
			o.Action = FieldIncr
		}
		o.Type = FieldType{a[i+1][0] == 'i', uint8(redistest.Number(a[i+1][1:]))}
		o.Offset = redistest.Number(a[i+2])
		if i += 3; o.Action != FieldGet {
			o.Value = redistest.Number(a[i])
			i++
		}
		ops = append(ops, o)
	}
	results, err := Field(t, w.At, []byte(a[0]), ops, nil)
	parts := make([]string, len(results))
	for i, r := range results {
		if parts[i] = redistest.Integer(r.Value); r.Failed {
			parts[i] = "(nil)"
		}
	}
	return "[" + strings.Join(parts, " ") + "]", err
}

var bitmapType = redistest.ValueType{Kind: redis.TypeString, Commands: map[string]redistest.CommandFunc{
	"SETBIT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return showBit(SetBit(t, w.At, []byte(a[0]), redistest.Number(a[1]), a[2] == "1"))
	},
	"GETBIT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return showBit(GetBit(t, w.At, []byte(a[0]), redistest.Number(a[1])))
	},
	"BITCOUNT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Count(t, w.At, []byte(a[0]), rangeOf(a[1:])))
	},
	"BITPOS": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Pos(t, w.At, []byte(a[0]), a[1] == "1", rangeOf(a[2:])))
	},
	"BITOP": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Op(t, w.At, words[a[0]], []byte(a[1]), redistest.Bytes(a[2:]...)))
	},
	"BITFIELD": field,
}}

func randomCommand(g redistest.Generator) []string {
	k := g.Key()
	offset := func() string { return strconv.Itoa(g.Rand.IntN([]int{9, 40, 300}[g.Rand.IntN(3)])) }
	end := func() string { return strconv.Itoa(g.Rand.IntN(60) - 30) }
	switch g.Rand.IntN(16) {
	case 0, 1, 2, 3:
		return []string{"SETBIT", k, offset(), g.Pick("0", "1", "1")}
	case 4:
		return []string{"GETBIT", k, offset()}
	case 5:
		return []string{"BITCOUNT", k, end(), end(), g.Pick("BIT", "BYTE")}[:[]int{2, 4, 5}[g.Rand.IntN(3)]]
	case 6, 7:
		return []string{"BITPOS", k, g.Pick("0", "1"), end(), end(), g.Pick("BIT", "BYTE")}[:3+g.Rand.IntN(4)]
	case 8:
		return []string{"BITOP", g.Pick("AND", "OR", "XOR"), g.Key(), k, g.Key()}
	case 9:
		return []string{"BITOP", "NOT", g.Key(), k}
	case 10, 11:
		width := func() string { return g.Pick("u1", "u8", "i8", "i13", "u31", "u63", "i64") }
		return []string{"BITFIELD", k, "OVERFLOW", g.Pick("WRAP", "SAT", "FAIL"), "INCRBY", width(), offset(), g.Pick("1", "-1", "100", "-5000"), "GET", width(), offset(),
			"SET", width(), offset(), g.Pick("0", "-1", "12345")}
	case 12:
		return []string{"SETRANGE", k, strconv.Itoa(g.Rand.IntN(30)), strings.Repeat("\xff", g.Rand.IntN(9))}
	case 13:
		return []string{"STRLEN", k}
	case 14:
		return []string{"GET", k}
	}
	return [][]string{{"DEL", k}, {"SET", k, g.Value()}, {"APPEND", k, "\xff\xff"}, {"HSET", k, "f", "v"}}[g.Rand.IntN(4)]
}

func TestServerAgreesOnBitmaps(t *testing.T) { redistest.ServerAgrees(t, randomCommand, bitmapType) }

// TestCosts: a bit of a long string is one piece and the header, whatever lies between.
func TestCosts(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(bitmapType)
	w.Do("SETBIT", "b", "4294967295", "1")
	if n := w.Rows(); n != 3 {
		t.Errorf("%d rows", n)
	}
	for _, tc := range []struct {
		command string
		writes  int
		want    string
	}{
		{"SETBIT b 2000000000 1", 2, redistest.Integer(0)}, {"SETBIT b 2000000000 1", 0, redistest.Integer(1)}, {"BITCOUNT b", 0, redistest.Integer(2)},
		{"BITPOS b 1", 0, redistest.Integer(2000000000)}, {"BITPOS b 0", 0, redistest.Integer(0)}, {"STRLEN b", 0, redistest.Integer(512 << 20)},
		{"BITFIELD b SET u8 2000000100 255", 3, "[" + redistest.Integer(0) + "]"}, {"BITOP OR c b b", 4, redistest.Integer(512 << 20)}, {"BITCOUNT c", 0, redistest.Integer(10)},
	} {
		if got := w.Do(strings.Fields(tc.command)...); got != tc.want || w.Last.Writes > tc.writes {
			t.Errorf("%s: %s with %d writes, want %s with %d", tc.command, got, w.Last.Writes, tc.want, tc.writes)
		}
	}
	w.Check()
}

// TestBitsWriteLittle: however long a bitmap is, a bit writes about one piece of it.
func TestBitsWriteLittle(t *testing.T) {
	for _, prepare := range []string{"SETBIT b 7999999 1", "SET b x*60000"} {
		w := redistest.NewWorld(t, redis.Options{}).With(bitmapType)
		w.Do(redistest.Words(t, prepare)...)
		for i := range 100 {
			w.Do("SETBIT", "b", strconv.Itoa(i*4001), "1")
		}
		size := 0
		w.Must(func(t kv.Txn) error {
			size = 0
			_, err := SetBit(&writeSpy{t, &size}, w.At, []byte("b"), 77_777, true)
			return err
		})
		if size > redis.DefaultBitPieceBytes+200 {
			t.Errorf("%s: %d bytes", prepare, size)
		}
		w.Check()
	}
}

// writeSpy counts the bytes that are written.
type writeSpy struct {
	kv.Txn
	bytes *int
}

func (s *writeSpy) Set(k, v []byte) {
	*s.bytes += len(k) + len(v)
	s.Txn.Set(k, v)
}

func TestEvents(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{}).With(bitmapType)
	w.Tells([][2]string{
		{"SETBIT b 1 1", "[n 0 new b $ 0 setbit b]"}, {"SETBIT b 1 1", "[]"}, {"SETBIT b 9 0", "[$ 0 setbit b]"}, {"BITFIELD b SET u8 0 1", "[$ 0 setbit b]"},
		{"BITFIELD b OVERFLOW FAIL INCRBY u2 0 9", "[]"}, {"BITOP OR d b", "[n 0 new d $ 0 set d]"}, {"BITOP OR d none", "[m 0 keymiss none g 0 del d]"},
	})
	if got := w.Do("BITFIELD", "l", "GET", "u8", "0"); got != fmt.Sprintf("[%s]", redistest.Integer(0)) {
		t.Error(got)
	}
}
