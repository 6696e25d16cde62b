package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// world is a namespace over the reference engine with a clock that tests move.
type world struct {
	tb      testing.TB
	db      *kv.DB
	session *kv.Session
	now     int64 // ms
	dbs     [Databases]*DB
	at      *DB
	rnd     *rand.Rand
	last    *rowSpy
	events  []string
}

const epoch = 1_700_000_000_000

func newWorld(tb testing.TB, o Options) *world {
	w := &world{tb: tb, now: epoch, rnd: rand.New(rand.NewPCG(1, 2))}
	db := kv.New(kvmem.New(func() base.Stamp { return base.Stamp(w.now * 1000) }), func() time.Time { return time.UnixMilli(w.now) })
	w.db, w.session = db, db.NewSession()
	for i := range w.dbs {
		d, err := Open(7, uint8(i), o)
		if err != nil {
			tb.Fatal(err)
		}
		w.dbs[i] = d
	}
	for i, d := range w.dbs {
		w.dbs[i] = d.WithEvents(w)
	}
	w.at = w.dbs[0]
	return w
}

// rowSpy counts the writes of a transaction.
type rowSpy struct {
	kv.Txn
	writes int
}

func (s *rowSpy) Set(k, v []byte)         { s.writes++; s.Txn.Set(k, v) }
func (s *rowSpy) Clear(k []byte)          { s.writes++; s.Txn.Clear(k) }
func (s *rowSpy) ClearRange(sp base.Span) { s.writes++; s.Txn.ClearRange(sp) }
func (s *rowSpy) Atomic(op base.MutationOp, key, operand []byte) {
	s.writes++
	s.Txn.Atomic(op, key, operand)
}

// Event implements Events.
func (w *world) Event(db uint8, class EventClass, name string, key []byte) {
	w.events = append(w.events, fmt.Sprintf("%c %d %s %s", class, db, name, key))
}

// expired reports whether the last transaction deleted what was overdue, which a
// command may do and then fail.
func (w *world) expired() bool {
	for _, e := range w.events {
		if strings.Contains(e, "expired") {
			return true
		}
	}
	return false
}

func (w *world) run(f func(t kv.Txn) error) error {
	ticket, err := w.session.Run(kv.Func(func(t kv.Txn) error {
		w.last, w.events = &rowSpy{Txn: t}, nil
		return f(w.last)
	}))
	if err == nil {
		err = ticket.Wait()
	}
	return err
}

// check looks for contradictions in what is stored. It takes one transaction:
// each moves the engine's clock by a microsecond or two.
func (w *world) check() {
	w.tb.Helper()
	err := w.run(func(t kv.Txn) error {
		for _, db := range w.dbs[:3] {
			r, err := CheckDB(t.Snapshot(), db)
			if err != nil {
				return err
			}
			for _, p := range r.Problems {
				w.tb.Errorf("db %d: %s", db.Number(), p)
			}
		}
		return nil
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	if w.tb.Failed() {
		w.tb.FailNow()
	}
}

// finds expects that a check of the database finds what damage does to it.
func (w *world) finds(damage func(t kv.Txn) error) {
	w.tb.Helper()
	w.check()
	w.must(damage)
	w.must(func(t kv.Txn) error {
		r, err := CheckDB(t.Snapshot(), w.at)
		if len(r.Problems) == 0 {
			w.tb.Error("nothing was found")
		}
		return err
	})
}

// tells runs commands and compares their events.
func (w *world) tells(cases [][2]string) {
	w.tb.Helper()
	for _, tc := range cases {
		w.do(strings.Fields(tc[0])...)
		if got := fmt.Sprint(w.events); got != tc[1] {
			w.tb.Errorf("%s: %s, not %s", tc[0], got, tc[1])
		}
	}
}

func bs(args ...string) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = []byte(a)
	}
	return out
}

// do runs a command as a door would and renders the reply.
func (w *world) do(args ...string) (reply string) {
	err := w.run(func(t kv.Txn) (err error) {
		reply, err = w.command(t, strings.ToUpper(args[0]), args[1:])
		return err
	})
	var mistake *Error
	if errors.As(err, &mistake) {
		if w.last.writes > 0 && !w.expired() {
			w.tb.Errorf("%q failed with %v after %d writes", args, err, w.last.writes)
		}
		return "(error) " + mistake.Error()
	}
	if err != nil {
		w.tb.Fatalf("%q: %v", args, err)
	}
	return reply
}

func num(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func showInt[T int | int64](n T, err error) (string, error) {
	return fmt.Sprintf("(integer) %d", n), err
}

func showBool(b bool, err error) (string, error) {
	if b {
		return "(integer) 1", err
	}
	return "(integer) 0", err
}

func quote(v []byte) string {
	if v == nil {
		return "(nil)"
	}
	return strconv.QuoteToASCII(string(v))
}

func show(v []byte, err error) (string, error) { return quote(v), err }

func showList(vs [][]byte, err error) (string, error) {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = quote(v)
	}
	return "[" + strings.Join(parts, " ") + "]", err
}

func showSorted(vs [][]byte, err error) (string, error) {
	sort.Slice(vs, func(i, j int) bool { return string(vs[i]) < string(vs[j]) })
	return showList(vs, err)
}

func showInts(ns []int64, err error) (string, error) { return fmt.Sprint(ns), err }

func showOK(err error) (string, error) { return "OK", err }

// expiryOptions reads the options that SET, GETEX and their kin share.
func expiryOptions(args []string) (x Expiry, rest []string) {
	kinds := map[string]ExpiryKind{"EX": ExpirySeconds, "PX": ExpiryMillis, "EXAT": ExpiryAt, "PXAT": ExpiryAtMilli}
	for i := 0; i < len(args); i++ {
		switch a := strings.ToUpper(args[i]); a {
		case "EX", "PX", "EXAT", "PXAT":
			x = Expiry{kinds[a], num(args[i+1])}
			i++
		case "KEEPTTL":
			x.Kind = ExpiryKeep
		case "PERSIST":
			x.Kind = ExpiryPersist
		default:
			rest = append(rest, args[i:]...)
			return x, rest
		}
	}
	return x, rest
}

func expireConditions(args []string) (c ExpireCondition, rest []string) {
	bits := map[string]ExpireCondition{"NX": ExpireNX, "XX": ExpireXX, "GT": ExpireGT, "LT": ExpireLT}
	for len(args) > 0 && bits[args[0]] != 0 {
		c |= bits[args[0]]
		args = args[1:]
	}
	return c, args
}

var expireKinds = map[string]ExpiryKind{
	"EXPIRE": ExpirySeconds, "PEXPIRE": ExpiryMillis, "EXPIREAT": ExpiryAt, "PEXPIREAT": ExpiryAtMilli,
}

func unitOf(name string) TimeUnit {
	if strings.HasPrefix(name, "P") || strings.HasPrefix(name, "HP") {
		return UnitMillis
	}
	return UnitSeconds
}

func (w *world) command(t kv.Txn, name string, a []string) (string, error) {
	if strings.HasPrefix(name, "H") {
		return w.hashCommand(t, name, a)
	}
	if f, ok := stringCommands[name]; ok {
		return f(w, t, a)
	}
	if f, ok := listCommands[name]; ok {
		return f(w, t, a)
	}
	if f, ok := setCommands[name]; ok {
		return f(w, t, a)
	}
	if f, ok := zsetCommands[name]; ok {
		return f(w, t, a)
	}
	return w.keyCommand(t, name, a)
}

func (w *world) setCommand(t kv.Txn, a []string) (string, error) {
	o := SetOptions{}
	conditions := map[string]Condition{"NX": IfAbsent, "XX": IfPresent, "IFEQ": IfEqual, "IFNE": IfUnequal}
	for rest := a[2:]; len(rest) > 0; {
		x, r := expiryOptions(rest)
		if x.Kind != ExpiryNone {
			o.Expiry = x
		}
		if rest = r; len(rest) == 0 {
			break
		}
		switch rest[0] {
		case "GET":
			o.Get = true
		case "IFEQ", "IFNE":
			o.Compare = []byte(rest[1])
			o.Condition = conditions[rest[0]]
			rest = rest[1:]
		default:
			o.Condition = conditions[rest[0]]
		}
		rest = rest[1:]
	}
	r, err := Set(t, w.at, []byte(a[0]), []byte(a[1]), o)
	if o.Get {
		return show(r.Old, err)
	}
	if !r.Stored {
		return "(nil)", err
	}
	return "OK", err
}

type commandFunc = func(w *world, t kv.Txn, a []string) (string, error)

var stringCommands = map[string]commandFunc{
	"SET": (*world).setCommand,
	"GET": func(w *world, t kv.Txn, a []string) (string, error) { return show(Get(t, w.at, []byte(a[0]))) },
	"GETSET": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(GetSet(t, w.at, []byte(a[0]), []byte(a[1])))
	},
	"GETDEL": func(w *world, t kv.Txn, a []string) (string, error) { return show(GetDel(t, w.at, []byte(a[0]))) },
	"GETEX": func(w *world, t kv.Txn, a []string) (string, error) {
		x, _ := expiryOptions(a[1:])
		return show(GetEx(t, w.at, []byte(a[0]), x))
	},
	"DELEX": func(w *world, t kv.Txn, a []string) (string, error) {
		c, compare := Always, ""
		if len(a) > 1 {
			c, compare = map[string]Condition{"IFEQ": IfEqual, "IFNE": IfUnequal}[a[1]], a[2]
		}
		return showBool(DelEx(t, w.at, []byte(a[0]), c, []byte(compare)))
	},
	"SETNX": func(w *world, t kv.Txn, a []string) (string, error) {
		return showBool(SetNX(t, w.at, []byte(a[0]), []byte(a[1])))
	},
	"SETEX": func(w *world, t kv.Txn, a []string) (string, error) {
		_, err := Set(t, w.at, []byte(a[0]), []byte(a[2]), SetOptions{Expiry: Expiry{ExpirySeconds, num(a[1])}, Command: "setex"})
		return showOK(err)
	},
	"PSETEX": func(w *world, t kv.Txn, a []string) (string, error) {
		_, err := Set(t, w.at, []byte(a[0]), []byte(a[2]), SetOptions{Expiry: Expiry{ExpiryMillis, num(a[1])}, Command: "psetex"})
		return showOK(err)
	},
	"MSET":   func(w *world, t kv.Txn, a []string) (string, error) { return showOK(MSet(t, w.at, bs(a...))) },
	"MSETNX": func(w *world, t kv.Txn, a []string) (string, error) { return showBool(MSetNX(t, w.at, bs(a...))) },
	"MGET":   func(w *world, t kv.Txn, a []string) (string, error) { return showList(MGet(t, w.at, bs(a...), nil)) },
	"APPEND": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(Append(t, w.at, []byte(a[0]), []byte(a[1])))
	},
	"STRLEN": func(w *world, t kv.Txn, a []string) (string, error) { return showInt(StrLen(t, w.at, []byte(a[0]))) },
	"SETRANGE": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(SetRange(t, w.at, []byte(a[0]), num(a[1]), []byte(a[2])))
	},
	"GETRANGE": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(GetRange(t, w.at, []byte(a[0]), num(a[1]), num(a[2])))
	},
	"INCR": func(w *world, t kv.Txn, a []string) (string, error) { return showInt(IncrBy(t, w.at, []byte(a[0]), 1)) },
	"DECR": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(IncrBy(t, w.at, []byte(a[0]), -1))
	},
	"INCRBY": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(IncrBy(t, w.at, []byte(a[0]), num(a[1])))
	},
	"DECRBY": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(DecrBy(t, w.at, []byte(a[0]), num(a[1])))
	},
	"INCRBYFLOAT": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(IncrByFloat(t, w.at, []byte(a[0]), []byte(a[1])))
	},
	"LCS": func(w *world, t kv.Txn, a []string) (string, error) {
		o := LCSOptions{Sequence: len(a) == 2, Index: len(a) > 2 && a[2] == "IDX"}
		if len(a) > 3 {
			o.MinMatchLen = num(a[4])
		}
		r, err := LCS(t, w.at, []byte(a[0]), []byte(a[1]), o)
		switch {
		case o.Sequence:
			return quote(append([]byte{}, r.Sequence...)), err
		case !o.Index:
			return showInt(r.Len, err)
		}
		parts := []string{}
		for _, m := range r.Matches {
			parts = append(parts, fmt.Sprintf("[[(integer) %d (integer) %d] [(integer) %d (integer) %d]]", m.AStart, m.AEnd, m.BStart, m.BEnd))
		}
		return fmt.Sprintf(`["matches" [%s] "len" (integer) %d]`, strings.Join(parts, " "), r.Len), err
	},
}

func (w *world) keyCommand(t kv.Txn, name string, a []string) (string, error) {
	switch name {
	case "DEL", "UNLINK":
		return showInt(Del(t, w.at, bs(a...)))
	case "EXISTS", "TOUCH":
		return showInt(Exists(t, w.at, bs(a...)))
	case "TYPE":
		k, err := TypeOf(t, w.at, []byte(a[0]))
		return k.String(), err
	case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT":
		c, _ := expireConditions(a[2:])
		return showBool(Expire(t, w.at, []byte(a[0]), ExpireOptions{Expiry{expireKinds[name], num(a[1])}, c, strings.ToLower(name)}))
	case "TTL", "PTTL":
		return showInt(TTL(t, w.at, []byte(a[0]), unitOf(name)))
	case "EXPIRETIME", "PEXPIRETIME":
		return showInt(ExpireTime(t, w.at, []byte(a[0]), unitOf(name)))
	case "PERSIST":
		return showBool(Persist(t, w.at, []byte(a[0])))
	case "RENAME":
		return showOK(Rename(t, w.at, []byte(a[0]), []byte(a[1])))
	case "RENAMENX":
		return showBool(RenameNX(t, w.at, []byte(a[0]), []byte(a[1])))
	case "COPY":
		db, replace := w.at, false
		for i := 2; i < len(a); i++ {
			if a[i] == "DB" {
				db = w.dbs[num(a[i+1])]
			}
			replace = replace || a[i] == "REPLACE"
		}
		return showBool(Copy(t, w.at, []byte(a[0]), db, []byte(a[1]), replace))
	case "MOVE":
		return showBool(Move(t, w.at, []byte(a[0]), w.dbs[num(a[1])]))
	case "OBJECT":
		e, err := Encoding(t, w.at, []byte(a[1]))
		if e == "" {
			return "(nil)", err
		}
		return strconv.Quote(e), err
	case "KEYS":
		return showSorted(w.allKeys(t, ScanOptions{Match: []byte(a[0]), Count: 3}))
	case "SCANTYPE":
		k, _ := TypeByName(a[0])
		return showSorted(w.allKeys(t, ScanOptions{Type: k}))
	case "DBSIZE":
		return showInt(DBSize(t, w.at))
	case "RANDOMKEY":
		return show(RandomKey(t, w.at, w.rnd))
	case "FLUSHDB":
		FlushDB(t, w.at)
		return "OK", nil
	case "FLUSHALL":
		FlushAll(t, w.at.Namespace())
		return "OK", nil
	case "SELECT":
		w.at = w.dbs[num(a[0])]
		return "OK", nil
	case "WAIT": // moves the clock
		w.now += num(a[0])
		return "OK", nil
	}
	return "", fmt.Errorf("no command %s", name)
}

func (w *world) allKeys(t kv.Txn, o ScanOptions) (keys [][]byte, err error) {
	for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
		if cursor, keys, err = Scan(t, w.at, cursor, o, keys); err != nil {
			return nil, err
		}
		if cursor >= 1<<53 {
			w.tb.Errorf("cursor %d is not exact as a double", cursor)
		}
	}
	return keys, nil
}
