package redis_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/test/redistest"
	"pgregory.net/rapid"
)

// plain is what a database is: a map.
type plain struct {
	keys map[string]*plainKey
	now  int64
}

type plainKey struct {
	hash     bool
	text     string
	fields   map[string]plainField
	expireAt int64
}

type plainField struct {
	value    string
	expireAt int64
}

// settle deletes what is overdue.
func (p *plain) settle() {
	over := func(at int64) bool { return at != 0 && at <= p.now }
	for k, v := range p.keys {
		maps.DeleteFunc(v.fields, func(_ string, f plainField) bool { return over(f.expireAt) })
		if over(v.expireAt) || v.hash && len(v.fields) == 0 {
			delete(p.keys, k)
		}
	}
}

const wrongType = "(error) WRONGTYPE Operation against a key holding the wrong kind of value"

func truth(b bool) string {
	if b {
		return redistest.Integer(1)
	}
	return redistest.Integer(0)
}

// do runs a command and renders the reply as world.do does.
func (p *plain) do(a ...string) string {
	p.settle()
	defer p.settle()
	k := ""
	if len(a) > 1 {
		k = a[1]
	}
	v := p.keys[k]
	if len(a) > 1 && v != nil && strings.HasPrefix(a[0], "H") != v.hash && a[0] != "SET" && !p.generic(a[0]) {
		return wrongType
	}
	if strings.HasPrefix(a[0], "H") {
		return p.hash(a, k, v)
	}
	if p.generic(a[0]) {
		return p.key(a, k, v)
	}
	return p.text(a, k, v)
}

func (p *plain) generic(name string) bool {
	return slices.Contains([]string{"DEL", "RENAME", "COPY", "PEXPIRE", "PERSIST", "PTTL", "KEYS", "DBSIZE", "WAIT", "TYPE", "SCANTYPE"}, name)
}

func (p *plain) key(a []string, k string, v *plainKey) string {
	switch a[0] {
	case "WAIT":
		p.now += redistest.Number(a[1])
		return "OK"
	case "DBSIZE":
		return redistest.Integer(int64(len(p.keys)))
	case "KEYS", "SCANTYPE":
		names := []string{}
		for name, key := range p.keys {
			if a[0] == "KEYS" || key.hash == (a[1] == "hash") {
				names = append(names, redistest.Quote([]byte(name)))
			}
		}
		slices.Sort(names)
		return "[" + strings.Join(names, " ") + "]"
	case "TYPE":
		if v == nil {
			return "none"
		}
		return map[bool]string{true: "hash", false: "string"}[v.hash]
	case "DEL":
		delete(p.keys, k)
		return truth(v != nil)
	case "PTTL":
		if v == nil {
			return redistest.Integer(-2)
		}
		if v.expireAt == 0 {
			return redistest.Integer(-1)
		}
		return redistest.Integer(v.expireAt - p.now)
	case "PERSIST":
		had := v != nil && v.expireAt != 0
		if had {
			v.expireAt = 0
		}
		return truth(had)
	case "PEXPIRE":
		at := p.now + redistest.Number(a[2])
		if v == nil || len(a) > 3 && !plainMet(a[3], v.expireAt, at) {
			return truth(false)
		}
		v.expireAt = at
		return truth(true)
	}
	if a[0] == "COPY" && k == a[2] {
		return "(error) ERR source and destination objects are the same"
	}
	if v == nil {
		if a[0] == "RENAME" {
			return "(error) ERR no such key"
		}
		return truth(false)
	}
	if a[0] == "RENAME" {
		delete(p.keys, k)
		p.keys[a[2]] = v
		return "OK"
	}
	c := *v
	c.fields = maps.Clone(v.fields)
	p.keys[a[2]] = &c
	return truth(true)
}

func plainMet(cond string, old, at int64) bool {
	switch cond {
	case "NX":
		return old == 0
	case "XX":
		return old != 0
	case "GT":
		return old != 0 && at > old
	}
	return old == 0 || at < old
}

func (p *plain) text(a []string, k string, v *plainKey) string {
	old := ""
	if v != nil {
		old = v.text
	}
	put := func(text string) {
		if v == nil {
			v = &plainKey{}
			p.keys[k] = v
		}
		v.text = text
	}
	switch a[0] {
	case "SET":
		n := &plainKey{text: a[2]}
		if len(a) > 3 {
			switch {
			case a[3] == "NX" && v != nil || a[3] == "XX" && v == nil:
				return "(nil)"
			case a[3] == "KEEPTTL" && v != nil:
				n.expireAt = v.expireAt
			case a[3] == "PX":
				n.expireAt = p.now + redistest.Number(a[4])
			}
		}
		p.keys[k] = n
		return "OK"
	case "GET":
		if v == nil {
			return "(nil)"
		}
		return redistest.Quote([]byte(old))
	case "APPEND":
		put(old + a[2])
		return redistest.Integer(int64(len(v.text)))
	case "SETRANGE":
		if a[3] == "" {
			return redistest.Integer(int64(len(old)))
		}
		b := []byte(old)
		for int64(len(b)) < redistest.Number(a[2])+int64(len(a[3])) {
			b = append(b, 0)
		}
		copy(b[redistest.Number(a[2]):], a[3])
		put(string(b))
		return redistest.Integer(int64(len(b)))
	case "GETRANGE":
		from, to := int(redistest.Number(a[2])), int(redistest.Number(a[3]))+1
		if from >= min(to, len(old)) {
			return `""`
		}
		return redistest.Quote([]byte(old[from:min(to, len(old))]))
	}
	n, err := strconv.ParseInt(old, 10, 64)
	if v != nil && (err != nil || strconv.FormatInt(n, 10) != old) {
		return "(error) ERR value is not an integer or out of range"
	}
	put(strconv.FormatInt(n+redistest.Number(a[2]), 10))
	return redistest.Integer(n + redistest.Number(a[2]))
}

func (p *plain) hash(a []string, k string, v *plainKey) string {
	fields := map[string]plainField{}
	if v != nil {
		fields = v.fields
	}
	put := func(f, value string, at int64) bool {
		_, had := fields[f]
		if p.keys[k] == nil {
			p.keys[k] = &plainKey{hash: true, fields: fields}
		}
		fields[f] = plainField{value, at}
		return !had
	}
	switch a[0] {
	case "HSET":
		n := int64(0)
		for i := 2; i+1 < len(a); i += 2 {
			if put(a[i], a[i+1], 0) {
				n++
			}
		}
		return redistest.Integer(n)
	case "HDEL":
		n := int64(len(fields))
		for _, f := range a[2:] {
			delete(fields, f)
		}
		return redistest.Integer(n - int64(len(fields)))
	case "HLEN":
		return redistest.Integer(int64(len(fields)))
	case "HGET":
		f, ok := fields[a[2]]
		if !ok {
			return "(nil)"
		}
		return redistest.Quote([]byte(f.value))
	case "HGETALL", "HSCANALL":
		out := []string{}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			out = append(out, redistest.Quote([]byte(name)), redistest.Quote([]byte(fields[name].value)))
		}
		return "[" + strings.Join(out, " ") + "]"
	case "HINCRBY":
		f, ok := fields[a[2]]
		n, err := strconv.ParseInt(f.value, 10, 64)
		if ok && (err != nil || strconv.FormatInt(n, 10) != f.value) {
			return "(error) ERR hash value is not an integer"
		}
		put(a[2], strconv.FormatInt(n+redistest.Number(a[3]), 10), f.expireAt)
		return redistest.Integer(n + redistest.Number(a[3]))
	}
	return p.fieldTimes(a, fields)
}

func (p *plain) fieldTimes(a []string, fields map[string]plainField) string {
	codes := []int64{}
	for _, arg := range redistest.FieldArgs(a) {
		name := string(arg)
		f, ok := fields[name]
		code := int64(1)
		switch {
		case !ok:
			code = -2
		case a[0] == "HPEXPIRE":
			at := p.now + redistest.Number(a[2])
			switch {
			case a[3] != "FIELDS" && !plainMet(a[3], f.expireAt, at):
				code = 0
			case at <= p.now:
				code = 2
				delete(fields, name)
			default:
				fields[name] = plainField{f.value, at}
			}
		case f.expireAt == 0:
			code = -1
		case a[0] == "HPERSIST":
			fields[name] = plainField{f.value, 0}
		default:
			code = f.expireAt - p.now
		}
		codes = append(codes, code)
	}
	return fmt.Sprint(codes)
}

// drawCommand draws a command that both sides know.
func drawCommand(t *rapid.T) []string {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "word") }
	n := func(from, to int) string { return strconv.Itoa(rapid.IntRange(from, to).Draw(t, "n")) }
	k := pick("a", "b", "{a}c", "\x00", "")
	f, f2 := pick("f", "g", "h", "i", "\x00"), pick("f", "g", "x1", "x2", "x3", "")
	v := pick("", "1", "22", "abc", "hello", "a longer value than that")
	ms := pick("0", "1", "5", "10", "30")
	switch pick("set", "text", "hash", "hash", "field", "field", "key", "wait") {
	case "set":
		return append([]string{"SET", k, v}, strings.Fields(pick("", "NX", "XX", "KEEPTTL", "PX 5", "PX 20", "PX 1"))...)
	case "text":
		return [][]string{{"GET", k}, {"APPEND", k, v}, {"SETRANGE", k, n(0, 20), v}, {"GETRANGE", k, n(0, 20), n(0, 20)},
			{"INCRBY", k, n(-5, 5)}}[rapid.IntRange(0, 4).Draw(t, "text")]
	case "hash":
		return [][]string{{"HSET", k, f, v}, {"HSET", k, f, v, f2, v}, {"HDEL", k, f}, {"HDEL", k, f, f2}, {"HGETALL", k},
			{"HLEN", k}, {"HGET", k, f}, {"HINCRBY", k, f, n(-5, 5)}, {"HSCANALL", k, "*"}}[rapid.IntRange(0, 8).Draw(t, "hash")]
	case "field":
		if c := pick("", "NX", "XX", "GT", "LT"); c != "" {
			return []string{"HPEXPIRE", k, ms, c, "FIELDS", "2", f, f2}
		}
		return [][]string{{"HPEXPIRE", k, ms, "FIELDS", "2", f, f2}, {"HPTTL", k, "FIELDS", "2", f, f2},
			{"HPERSIST", k, "FIELDS", "1", f}}[rapid.IntRange(0, 2).Draw(t, "field")]
	case "wait":
		return []string{"WAIT", ms}
	}
	k2 := pick("a", "b", "d")
	if c := pick("", "NX", "XX", "GT", "LT"); c != "" {
		return []string{"PEXPIRE", k, ms, c}
	}
	return [][]string{{"DEL", k}, {"RENAME", k, k2}, {"COPY", k, k2, "REPLACE"}, {"PEXPIRE", k, ms}, {"PERSIST", k}, {"PTTL", k},
		{"KEYS", "*"}, {"DBSIZE"}, {"TYPE", k}, {"SCANTYPE", pick("string", "hash")}}[rapid.IntRange(0, 9).Draw(t, "key")]
}

// TestModel compares random commands, time passing in between, with a plain map.
func TestModel(t *testing.T) {
	for name, o := range redistest.Layouts {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := redistest.NewWorld(t, o)
				p := &plain{keys: map[string]*plainKey{}, now: w.Now}
				var log []string
				for range rapid.IntRange(1, 60).Draw(rt, "steps") {
					cmd := drawCommand(rt)
					if name == "lazy" && cmd[0] == "HLEN" {
						continue // it counts fields that wait for their deletion
					}
					if cmd[0] == "DBSIZE" {
						w.Sweep(3)
					}
					log = append(log, fmt.Sprintf("%q", cmd))
					got, want := w.Do(cmd...), p.do(cmd...)
					if got != want {
						rt.Fatalf("%s\n  here  %s\n  model %s", strings.Join(log, "\n"), got, want)
					}
					w.Check()
				}
				w.Now += 1000
				p.now += 1000
				w.Sweep(2)
				if got, want := w.Do("DBSIZE"), p.do("DBSIZE"); got != want {
					rt.Fatalf("%s\nswept: %s, model %s", strings.Join(log, "\n"), got, want)
				}
				w.Check()
			})
		})
	}
}
