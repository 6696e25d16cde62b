package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/test/redistest"
)

func TestChecksum(t *testing.T) {
	if sum := checksum([]byte("123456789")); sum != 0xe9c6d914c4b8d9ca {
		t.Errorf("%x", sum)
	}
}

// sealed is a payload of a body.
func sealed(body string) []byte {
	b := append([]byte(body), 9, 0)
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

// TestOld: payloads of old versions, the first two from Redis's documentation.
func TestOld(t *testing.T) {
	zip := "\x1a\x00\x00\x00\x0e\x00\x00\x00\x02\x00\x00\x01a\x03\x0a1234567890\xff"
	for name, c := range map[string]struct {
		payload []byte
		want    Value
	}{
		"string": {[]byte("\x00\xc0\n\x06\x00\xf8r?\xc5\xfb\xfb_("), Value{Kind: redis.TypeString, Text: []byte("10")}},
		"ziplist": {[]byte("\n\x17\x17\x00\x00\x00\x12\x00\x00\x00\x03\x00\x00\xc0\x01\x00\x04\xc0\x02\x00\x04\xc0\x03\x00\xff\x04\x00u#<\xc0;.\xe9\xdd"),
			Value{Kind: redis.TypeList, Elements: redistest.Bytes("1", "2", "3")}},
		"quicklist of ziplists": {sealed("\x0e\x01" + string(byte(len(zip))) + zip), Value{Kind: redis.TypeList, Elements: redistest.Bytes("a", "1234567890")}},
		"hash in a ziplist":     {sealed("\x0d" + string(byte(len(zip))) + zip), Value{Kind: redis.TypeHash, Fields: []redis.TimedField{timed([]byte("a"), []byte("1234567890"), 0)}}},
		"sorted set in one":     {sealed("\x0c" + string(byte(len(zip))) + zip), Value{Kind: redis.TypeZSet, Scored: []zset.Scored{{Member: []byte("a"), Score: 1234567890}}}},
		"scores as text":        {sealed("\x03\x02\x01a\x03-.5\x01b\xfe"), Value{Kind: redis.TypeZSet, Scored: []zset.Scored{{Member: []byte("a"), Score: -0.5}, {Member: []byte("b"), Score: math.Inf(1)}}}},
		"set of numbers":        {sealed("\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\xff\xff\x05\x00"), Value{Kind: redis.TypeSet, Elements: redistest.Bytes("-1", "5")}},
		"packed text":           {sealed("\x00\xc3\x05\x0c\x02abc\xe0\x00\x02"), Value{}},
		"numbers in a ziplist": {sealed("\x0a\x1d\x1d\x00\x00\x00\x0a\x00\x00\x00\x05\x00\x00\xf1\x02\xfd\x02\xfe\x80\x03\xf0\x00\x00\x80\x05\xd0\x00\x00\x01\x00\xff"),
			Value{Kind: redis.TypeList, Elements: redistest.Bytes("0", "12", "-128", "-8388608", "65536")}},
	} {
		got, sound, err := Unmarshal(c.payload)
		if c.want.Kind == redis.TypeNone {
			if !sound || err == nil {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if !sound || err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v sound %v, %v", name, got, sound, err)
		}
	}
}

func TestLZF(t *testing.T) {
	for _, c := range []struct{ packed, want string }{{"\x02abc", "abc"}, {"\x02abc\x20\x02", "abcabc"}, {"\x00x\xe0\x0d\x00", strings.Repeat("x", 23)}} {
		if got, ok := unpackLZF([]byte(c.packed), uint64(len(c.want))); !ok || string(got) != c.want {
			t.Errorf("%q: %q", c.packed, got)
		}
	}
	for _, bad := range []string{"\x02ab", "\x20\x05", "\xe0", "\x00x\x20", "\x00x\xe0\xff\x00"} {
		if got, ok := unpackLZF([]byte(bad), 5); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// examples are values of all types.
func examples() map[string]*Value {
	var elements [][]byte
	var fields []redis.TimedField
	var scored []zset.Scored
	for i := range 100 {
		e := []byte(fmt.Sprint("e", i))
		elements, scored = append(elements, e), append(scored, zset.Scored{Member: e, Score: float64(i) / 4})
		fields = append(fields, timed(e, []byte(strconv.Itoa(i)), int64(i%3)*redistest.Epoch))
	}
	s := &stream.Snapshot{Last: stream.ID{Ms: 99}, MaxDeleted: stream.ID{Ms: 3}, Added: 500}
	for i := range 250 {
		fields := redistest.Bytes("f", strconv.Itoa(i), "g", strings.Repeat("x", i))
		if i%9 == 0 {
			fields = redistest.Bytes("other", "")
		}
		s.Items = append(s.Items, stream.Item{ID: stream.ID{Ms: uint64(i / 5), Seq: uint64(i%5) + 1}, Fields: fields})
	}
	s.First = s.Items[0].ID
	g := stream.GroupSnapshot{Name: []byte("g"), Last: stream.ID{Ms: 5}, Read: -1}
	for i := range 5 {
		g.Pending = append(g.Pending, stream.Pending{ID: stream.ID{Ms: uint64(i)}, Consumer: []byte{'a' + byte(i%2)}, Delivered: redistest.Epoch, Times: int64(i)})
	}
	for i := range 3 {
		c := stream.ConsumerInfo{Name: []byte{'a' + byte(i)}, Seen: redistest.Epoch + 1, Active: redistest.Epoch + 1}
		for _, p := range g.Pending {
			if bytes.Equal(p.Consumer, c.Name) {
				c.Entries, c.Pending = append(c.Entries, p), c.Pending+1
			}
		}
		g.Consumers = append(g.Consumers, c)
	}
	s.Groups = []stream.GroupSnapshot{g, {Name: []byte("h"), Read: 7}}
	return map[string]*Value{
		"text": {Kind: redis.TypeString, Text: bytes.Repeat([]byte("text"), 30_000)}, "list": {Kind: redis.TypeList, Elements: elements}, "set": {Kind: redis.TypeSet, Elements: elements},
		"hash": {Kind: redis.TypeHash, Fields: fields}, "zset": {Kind: redis.TypeZSet, Scored: scored}, "stream": {Kind: redis.TypeStream, Stream: s},
		"empty stream": {Kind: redis.TypeStream, Stream: &stream.Snapshot{Last: stream.ID{Ms: 5}, Added: 1}},
	}
}

// TestThereAndBack: what is restored is whole in every layout, and is dumped as it was.
func TestThereAndBack(t *testing.T) {
	types := []redistest.ValueType{{Kind: redis.TypeList, Check: list.Check}, {Kind: redis.TypeZSet, Check: zset.Check}, {Kind: redis.TypeStream, Check: stream.Check}}
	for layout, o := range redistest.Layouts {
		for name, v := range examples() {
			t.Run(layout+"/"+name, func(t *testing.T) {
				w := redistest.NewWorld(t, o).With(types...)
				w.Now -= 1000 // before fields expire
				w.Do("SET", "k", "x", "EX", "100")
				payload := Marshal(v)
				var again []byte
				w.Must(func(t kv.Txn) error { return Restore(t, w.At, []byte("k"), payload, RestoreOptions{Replace: true}) })
				w.Check()
				w.Must(func(t kv.Txn) (err error) {
					again, err = Dump(t, w.At, []byte("k"))
					again = bytes.Clone(again)
					return err
				})
				got, sound, err := Unmarshal(again)
				if !sound || err != nil || !reflect.DeepEqual(sorted(got), sorted(*v)) {
					t.Errorf("%v %v\n got  %.2000q\n want %.2000q", sound, err, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", *v))
				}
				if ttl := w.Do("PTTL", "k"); ttl != redistest.Integer(-1) {
					t.Errorf("it ends in %s", ttl)
				}
			})
		}
	}
}

// sorted is a value with what has no order in one, and without what dumps do not tell.
func sorted(v Value) Value {
	if v.Kind == redis.TypeSet {
		v.Elements = slices.Clone(v.Elements)
		slices.SortFunc(v.Elements, bytes.Compare)
	}
	v.Fields = slices.Clone(v.Fields)
	slices.SortFunc(v.Fields, func(a, b redis.TimedField) int { return bytes.Compare(a.Field, b.Field) })
	if v.Stream != nil {
		s := *v.Stream
		s.Groups = slices.Clone(s.Groups)
		for i := range s.Groups {
			s.Groups[i].Consumers = slices.Clone(s.Groups[i].Consumers)
			for j := range s.Groups[i].Consumers {
				c := &s.Groups[i].Consumers[j]
				c.Entries, c.Pending = nil, 0
			}
		}
		v.Stream = &s
	}
	return v
}

// TestRefused: what cannot be stored is refused before the old value is gone.
func TestRefused(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	w.Do("SET", "k", "v")
	long := bytes.Repeat([]byte("x"), 1<<14)
	large := bytes.Repeat([]byte("x"), redis.MaxFieldValueBytes+1)
	s := &stream.Snapshot{Last: stream.ID{Ms: 5}, Groups: []stream.GroupSnapshot{{Name: long}}}
	for name, c := range map[string]struct {
		v    *Value
		want error
	}{
		"member": {&Value{Kind: redis.TypeSet, Elements: [][]byte{long}}, redis.ErrKeyTooLong}, "element": {&Value{Kind: redis.TypeList, Elements: [][]byte{large}}, redis.ErrFieldValueTooLong},
		"value": {&Value{Kind: redis.TypeHash, Fields: []redis.TimedField{timed([]byte("f"), large, 0)}}, redis.ErrFieldValueTooLong}, "group": {&Value{Kind: redis.TypeStream, Stream: s}, redis.ErrKeyTooLong},
		"entry":   {&Value{Kind: redis.TypeStream, Stream: &stream.Snapshot{Last: stream.ID{Ms: 5}, Items: []stream.Item{{ID: stream.ID{Ms: 1}, Fields: [][]byte{large, nil}}}}}, stream.ErrTooLarge},
		"nothing": {&Value{Kind: redis.TypeSet}, ErrFormat}, "twice": {&Value{Kind: redis.TypeSet, Elements: redistest.Bytes("a", "a")}, ErrFormat},
		"order": {&Value{Kind: redis.TypeStream, Stream: &stream.Snapshot{Last: stream.ID{Ms: 5}, Items: []stream.Item{{ID: stream.ID{Ms: 2}, Fields: redistest.Bytes("f", "v")},
			{ID: stream.ID{Ms: 1}, Fields: redistest.Bytes("f", "v")}}}}, ErrFormat},
	} {
		err := w.Run(func(t kv.Txn) error {
			return Restore(t, w.At, []byte("k"), Marshal(c.v), RestoreOptions{Replace: true})
		})
		if !errors.Is(err, c.want) || w.Last.Writes > 0 {
			t.Errorf("%s: %v after %d writes", name, err, w.Last.Writes)
		}
	}
	w.Check()
	if got := w.Do("GET", "k"); got != `"v"` {
		t.Error(got)
	}
}

func TestEvents(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	for _, c := range []struct {
		o    RestoreOptions
		want string
	}{{RestoreOptions{TTL: 5}, "[g 0 restore k]"}, {RestoreOptions{Replace: true}, "[g 0 restore k]"}, {RestoreOptions{Replace: true, TTL: 1, Absolute: true}, "[g 0 del k]"}} {
		w.Must(func(t kv.Txn) error {
			return Restore(t, w.At, []byte("k"), Marshal(&Value{Kind: redis.TypeList, Elements: redistest.Bytes("a")}), c.o)
		})
		if got := fmt.Sprint(w.Events); got != c.want {
			t.Errorf("%+v: %s", c.o, got)
		}
	}
}

// FuzzPayload feeds bodies that say anything; what makes sense can be written and read again.
func FuzzPayload(f *testing.F) {
	for _, v := range examples() {
		payload := Marshal(v)
		if len(payload) < 20_000 {
			f.Add(payload[:len(payload)-trailerBytes])
		}
	}
	f.Add([]byte("\n\x17\x17\x00\x00\x00\x12\x00\x00\x00\x03\x00\x00\xc0\x01\x00\x04\xc0\x02\x00\x04\xc0\x03\x00\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, _, err := Unmarshal(sealed(string(body)))
		if err != nil || v.Kind == redis.TypeNone {
			return
		}
		again, sound, err := Unmarshal(Marshal(&v))
		if !sound || err != nil || again.Kind != v.Kind || len(again.Elements) != len(v.Elements) || len(again.Fields) != len(v.Fields) || len(again.Scored) != len(v.Scored) {
			t.Errorf("%x: %+v became %+v, %v", body, v, again, err)
		}
	})
}
