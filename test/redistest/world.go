package redistest

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
	"github.com/stratadb/strata/internal/model/redis"
)

// World is a namespace over the reference engine with a clock that tests move.
type World struct {
	TB      testing.TB
	DB      *kv.DB
	Session *kv.Session
	Now     int64 // ms
	dbs     [redis.Databases]*redis.DB
	At      *redis.DB
	Rand    *rand.Rand
	Last    *rowSpy
	Events  []string
	// types are those that were added.
	types  []ValueType
	Checks redis.Checks
}

// ValueType is a type of another package: its commands, by name, and its check.
type ValueType struct {
	Kind     redis.Type
	Commands map[string]CommandFunc
	Check    func(c *redis.Checked) redis.ValueCheck
}

// With adds types.
func (w *World) With(types ...ValueType) *World {
	for _, x := range types {
		w.types = append(w.types, x)
		w.Checks[x.Kind] = x.Check
	}
	return w
}

const Epoch = 1_700_000_000_000

// NewWorld is an empty one.
func NewWorld(tb testing.TB, o redis.Options) *World {
	w := &World{TB: tb, Now: Epoch, Rand: rand.New(rand.NewPCG(1, 2)), Checks: redis.Checks{}}
	db := kv.New(kvmem.New(func() base.Stamp { return base.Stamp(w.Now * 1000) }), func() time.Time { return time.UnixMilli(w.Now) })
	w.DB, w.Session = db, db.NewSession()
	for i := range w.dbs {
		d, err := redis.Open(7, uint8(i), o)
		if err != nil {
			tb.Fatal(err)
		}
		w.dbs[i] = d
	}
	for i, d := range w.dbs {
		w.dbs[i] = d.WithEvents(w)
	}
	w.At = w.dbs[0]
	return w
}

// rowSpy counts the writes of a transaction.
type rowSpy struct {
	kv.Txn
	Writes int
}

func (s *rowSpy) Set(k, v []byte)         { s.Writes++; s.Txn.Set(k, v) }
func (s *rowSpy) Clear(k []byte)          { s.Writes++; s.Txn.Clear(k) }
func (s *rowSpy) ClearRange(sp base.Span) { s.Writes++; s.Txn.ClearRange(sp) }
func (s *rowSpy) Atomic(op base.MutationOp, key, operand []byte) {
	s.Writes++
	s.Txn.Atomic(op, key, operand)
}

// Event implements Events.
func (w *World) Event(db uint8, class redis.EventClass, name string, key []byte) {
	w.Events = append(w.Events, fmt.Sprintf("%c %d %s %s", class, db, name, key))
}

// expired reports whether the last transaction deleted what was overdue, which a
// command may do and then fail.
func (w *World) expired() bool {
	for _, e := range w.Events {
		if strings.Contains(e, "expired") {
			return true
		}
	}
	return false
}

// Run runs a transaction.
func (w *World) Run(f func(t kv.Txn) error) error {
	ticket, err := w.Session.Run(kv.Func(func(t kv.Txn) error {
		w.Last, w.Events = &rowSpy{Txn: t}, nil
		return f(w.Last)
	}))
	if err == nil {
		err = ticket.Wait()
	}
	return err
}

// Check looks for contradictions in what is stored. It takes one transaction:
// each moves the engine's clock by a microsecond or two.
func (w *World) Check() {
	w.TB.Helper()
	err := w.Run(func(t kv.Txn) error {
		for _, db := range w.dbs[:3] {
			r, err := redis.CheckDB(t.Snapshot(), db, w.Checks)
			if err != nil {
				return err
			}
			for _, p := range r.Problems {
				w.TB.Errorf("db %d: %s", db.Number(), p)
			}
		}
		return nil
	})
	if err != nil {
		w.TB.Fatal(err)
	}
	if w.TB.Failed() {
		w.TB.FailNow()
	}
}

// Finds expects that a check of the database finds what damage does to it.
func (w *World) Finds(damage func(t kv.Txn) error) {
	w.TB.Helper()
	w.Check()
	w.Must(damage)
	w.Must(func(t kv.Txn) error {
		r, err := redis.CheckDB(t.Snapshot(), w.At, w.Checks)
		if len(r.Problems) == 0 {
			w.TB.Error("nothing was found")
		}
		return err
	})
}

// Tells runs commands and compares their events.
func (w *World) Tells(cases [][2]string) {
	w.TB.Helper()
	for _, tc := range cases {
		w.Do(strings.Fields(tc[0])...)
		if got := fmt.Sprint(w.Events); got != tc[1] {
			w.TB.Errorf("%s: %s, not %s", tc[0], got, tc[1])
		}
	}
}

// Bytes is its arguments as doors hand them over.
func Bytes(args ...string) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = []byte(a)
	}
	return out
}

// Do runs a command as a door would and renders the reply.
func (w *World) Do(args ...string) (reply string) {
	err := w.Run(func(t kv.Txn) (err error) {
		reply, err = w.command(t, strings.ToUpper(args[0]), args[1:])
		return err
	})
	var mistake *redis.Error
	if errors.As(err, &mistake) {
		if w.Last.Writes > 0 && !w.expired() {
			w.TB.Errorf("%q failed with %v after %d writes", args, err, w.Last.Writes)
		}
		return "(error) " + mistake.Error()
	}
	if err != nil {
		w.TB.Fatalf("%q: %v", args, err)
	}
	return reply
}

// Number reads an integer.
func Number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// ShowInt renders an integer.
func ShowInt[T int | int64](n T, err error) (string, error) {
	return fmt.Sprintf("(integer) %d", n), err
}

func showBool(b bool, err error) (string, error) {
	if b {
		return "(integer) 1", err
	}
	return "(integer) 0", err
}

// Quote renders a string, nil as (nil).
func Quote(v []byte) string {
	if v == nil {
		return "(nil)"
	}
	return strconv.QuoteToASCII(string(v))
}

// ShowBytes renders a string.
func ShowBytes(v []byte, err error) (string, error) { return Quote(v), err }

// ShowList renders a list of strings.
func ShowList(vs [][]byte, err error) (string, error) {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = Quote(v)
	}
	return "[" + strings.Join(parts, " ") + "]", err
}

func showSorted(vs [][]byte, err error) (string, error) {
	sort.Slice(vs, func(i, j int) bool { return string(vs[i]) < string(vs[j]) })
	return ShowList(vs, err)
}

func showInts(ns []int64, err error) (string, error) { return fmt.Sprint(ns), err }

// ShowOK renders a status.
func ShowOK(err error) (string, error) { return "OK", err }

// expiryOptions reads the options that SET, GETEX and their kin share.
func expiryOptions(args []string) (x redis.Expiry, rest []string) {
	kinds := map[string]redis.ExpiryKind{"EX": redis.ExpirySeconds, "PX": redis.ExpiryMillis, "EXAT": redis.ExpiryAt, "PXAT": redis.ExpiryAtMilli}
	for i := 0; i < len(args); i++ {
		switch a := strings.ToUpper(args[i]); a {
		case "EX", "PX", "EXAT", "PXAT":
			x = redis.Expiry{Kind: kinds[a], N: Number(args[i+1])}
			i++
		case "KEEPTTL":
			x.Kind = redis.ExpiryKeep
		case "PERSIST":
			x.Kind = redis.ExpiryPersist
		default:
			rest = append(rest, args[i:]...)
			return x, rest
		}
	}
	return x, rest
}

func expireConditions(args []string) (c redis.ExpireCondition, rest []string) {
	bits := map[string]redis.ExpireCondition{"NX": redis.ExpireNX, "XX": redis.ExpireXX, "GT": redis.ExpireGT, "LT": redis.ExpireLT}
	for len(args) > 0 && bits[args[0]] != 0 {
		c |= bits[args[0]]
		args = args[1:]
	}
	return c, args
}

var expireKinds = map[string]redis.ExpiryKind{
	"EXPIRE": redis.ExpirySeconds, "PEXPIRE": redis.ExpiryMillis, "EXPIREAT": redis.ExpiryAt, "PEXPIREAT": redis.ExpiryAtMilli,
}

func unitOf(name string) redis.TimeUnit {
	if strings.HasPrefix(name, "P") || strings.HasPrefix(name, "HP") {
		return redis.UnitMillis
	}
	return redis.UnitSeconds
}

func (w *World) command(t kv.Txn, name string, a []string) (string, error) {
	if strings.HasPrefix(name, "H") {
		return w.hashCommand(t, name, a)
	}
	if f, ok := stringCommands[name]; ok {
		return f(w, t, a)
	}
	if f, ok := setCommands[name]; ok {
		return f(w, t, a)
	}
	for _, x := range w.types {
		if f, ok := x.Commands[name]; ok {
			return f(w, t, a)
		}
	}
	return w.keyCommand(t, name, a)
}

func (w *World) setCommand(t kv.Txn, a []string) (string, error) {
	o := redis.SetOptions{}
	conditions := map[string]redis.Condition{"NX": redis.IfAbsent, "XX": redis.IfPresent, "IFEQ": redis.IfEqual, "IFNE": redis.IfUnequal}
	for rest := a[2:]; len(rest) > 0; {
		x, r := expiryOptions(rest)
		if x.Kind != redis.ExpiryNone {
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
	r, err := redis.Set(t, w.At, []byte(a[0]), []byte(a[1]), o)
	if o.Get {
		return ShowBytes(r.Old, err)
	}
	if !r.Stored {
		return "(nil)", err
	}
	return "OK", err
}

type CommandFunc = func(w *World, t kv.Txn, a []string) (string, error)

var stringCommands = map[string]CommandFunc{
	"SET": (*World).setCommand,
	"GET": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowBytes(redis.Get(t, w.At, []byte(a[0])))
	},
	"GETSET": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowBytes(redis.GetSet(t, w.At, []byte(a[0]), []byte(a[1])))
	},
	"GETDEL": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowBytes(redis.GetDel(t, w.At, []byte(a[0])))
	},
	"GETEX": func(w *World, t kv.Txn, a []string) (string, error) {
		x, _ := expiryOptions(a[1:])
		return ShowBytes(redis.GetEx(t, w.At, []byte(a[0]), x))
	},
	"DELEX": func(w *World, t kv.Txn, a []string) (string, error) {
		c, compare := redis.Always, ""
		if len(a) > 1 {
			c, compare = map[string]redis.Condition{"IFEQ": redis.IfEqual, "IFNE": redis.IfUnequal}[a[1]], a[2]
		}
		return showBool(redis.DelEx(t, w.At, []byte(a[0]), c, []byte(compare)))
	},
	"SETNX": func(w *World, t kv.Txn, a []string) (string, error) {
		return showBool(redis.SetNX(t, w.At, []byte(a[0]), []byte(a[1])))
	},
	"SETEX": func(w *World, t kv.Txn, a []string) (string, error) {
		_, err := redis.Set(t, w.At, []byte(a[0]), []byte(a[2]), redis.SetOptions{Expiry: redis.Expiry{Kind: redis.ExpirySeconds, N: Number(a[1])}, Command: "setex"})
		return ShowOK(err)
	},
	"PSETEX": func(w *World, t kv.Txn, a []string) (string, error) {
		_, err := redis.Set(t, w.At, []byte(a[0]), []byte(a[2]), redis.SetOptions{Expiry: redis.Expiry{Kind: redis.ExpiryMillis, N: Number(a[1])}, Command: "psetex"})
		return ShowOK(err)
	},
	"MSET": func(w *World, t kv.Txn, a []string) (string, error) { return ShowOK(redis.MSet(t, w.At, Bytes(a...))) },
	"MSETNX": func(w *World, t kv.Txn, a []string) (string, error) {
		return showBool(redis.MSetNX(t, w.At, Bytes(a...)))
	},
	"MGET": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowList(redis.MGet(t, w.At, Bytes(a...), nil))
	},
	"APPEND": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.Append(t, w.At, []byte(a[0]), []byte(a[1])))
	},
	"STRLEN": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.StrLen(t, w.At, []byte(a[0])))
	},
	"SETRANGE": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.SetRange(t, w.At, []byte(a[0]), Number(a[1]), []byte(a[2])))
	},
	"GETRANGE": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowBytes(redis.GetRange(t, w.At, []byte(a[0]), Number(a[1]), Number(a[2])))
	},
	"INCR": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.IncrBy(t, w.At, []byte(a[0]), 1))
	},
	"DECR": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.IncrBy(t, w.At, []byte(a[0]), -1))
	},
	"INCRBY": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.IncrBy(t, w.At, []byte(a[0]), Number(a[1])))
	},
	"DECRBY": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.DecrBy(t, w.At, []byte(a[0]), Number(a[1])))
	},
	"INCRBYFLOAT": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowBytes(redis.IncrByFloat(t, w.At, []byte(a[0]), []byte(a[1])))
	},
	"LCS": func(w *World, t kv.Txn, a []string) (string, error) {
		o := redis.LCSOptions{Sequence: len(a) == 2, Index: len(a) > 2 && a[2] == "IDX"}
		if len(a) > 3 {
			o.MinMatchLen = Number(a[4])
		}
		r, err := redis.LCS(t, w.At, []byte(a[0]), []byte(a[1]), o)
		switch {
		case o.Sequence:
			return Quote(append([]byte{}, r.Sequence...)), err
		case !o.Index:
			return ShowInt(r.Len, err)
		}
		parts := []string{}
		for _, m := range r.Matches {
			parts = append(parts, fmt.Sprintf("[[(integer) %d (integer) %d] [(integer) %d (integer) %d]]", m.AStart, m.AEnd, m.BStart, m.BEnd))
		}
		return fmt.Sprintf(`["matches" [%s] "len" (integer) %d]`, strings.Join(parts, " "), r.Len), err
	},
}

func (w *World) keyCommand(t kv.Txn, name string, a []string) (string, error) {
	switch name {
	case "DEL", "UNLINK":
		return ShowInt(redis.Del(t, w.At, Bytes(a...)))
	case "EXISTS", "TOUCH":
		return ShowInt(redis.Exists(t, w.At, Bytes(a...)))
	case "TYPE":
		k, err := redis.TypeOf(t, w.At, []byte(a[0]))
		return k.String(), err
	case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT":
		c, _ := expireConditions(a[2:])
		return showBool(redis.Expire(t, w.At, []byte(a[0]), redis.ExpireOptions{Expiry: redis.Expiry{Kind: expireKinds[name], N: Number(a[1])}, When: c, Command: strings.ToLower(name)}))
	case "TTL", "PTTL":
		return ShowInt(redis.TTL(t, w.At, []byte(a[0]), unitOf(name)))
	case "EXPIRETIME", "PEXPIRETIME":
		return ShowInt(redis.ExpireTime(t, w.At, []byte(a[0]), unitOf(name)))
	case "PERSIST":
		return showBool(redis.Persist(t, w.At, []byte(a[0])))
	case "RENAME":
		return ShowOK(redis.Rename(t, w.At, []byte(a[0]), []byte(a[1])))
	case "RENAMENX":
		return showBool(redis.RenameNX(t, w.At, []byte(a[0]), []byte(a[1])))
	case "COPY":
		db, replace := w.At, false
		for i := 2; i < len(a); i++ {
			if a[i] == "DB" {
				db = w.dbs[Number(a[i+1])]
			}
			replace = replace || a[i] == "REPLACE"
		}
		return showBool(redis.Copy(t, w.At, []byte(a[0]), db, []byte(a[1]), replace))
	case "MOVE":
		return showBool(redis.Move(t, w.At, []byte(a[0]), w.dbs[Number(a[1])]))
	case "OBJECT":
		e, err := redis.ObjectEncoding(t, w.At, []byte(a[1]))
		if e == "" {
			return "(nil)", err
		}
		return strconv.Quote(e), err
	case "KEYS":
		return showSorted(w.allKeys(t, redis.ScanOptions{Match: []byte(a[0]), Count: 3}))
	case "SCANTYPE":
		k, _ := redis.TypeByName(a[0])
		return showSorted(w.allKeys(t, redis.ScanOptions{Type: k}))
	case "DBSIZE":
		return ShowInt(redis.DBSize(t, w.At))
	case "RANDOMKEY":
		return ShowBytes(redis.RandomKey(t, w.At, w.Rand))
	case "FLUSHDB":
		redis.FlushDB(t, w.At)
		return "OK", nil
	case "FLUSHALL":
		redis.FlushAll(t, w.At.Namespace())
		return "OK", nil
	case "SELECT":
		w.At = w.dbs[Number(a[0])]
		return "OK", nil
	case "WAIT": // moves the clock
		w.Now += Number(a[0])
		return "OK", nil
	}
	return "", fmt.Errorf("no command %s", name)
}

func (w *World) allKeys(t kv.Txn, o redis.ScanOptions) (keys [][]byte, err error) {
	for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
		if cursor, keys, err = redis.Scan(t, w.At, cursor, o, keys); err != nil {
			return nil, err
		}
		if cursor >= 1<<53 {
			w.TB.Errorf("cursor %d is not exact as a double", cursor)
		}
	}
	return keys, nil
}

// Must runs a transaction that does not fail.
func (w *World) Must(f func(t kv.Txn) error) {
	w.TB.Helper()
	if err := w.Run(f); err != nil {
		w.TB.Fatal(err)
	}
}

// Rows is the number of rows of the database.
func (w *World) Rows() (n int) {
	w.Must(func(t kv.Txn) error {
		n = 0
		return t.Snapshot().Scan(w.At.Span(), kv.ScanOptions{}, func(_, _ []byte) bool { n++; return true })
	})
	return n
}

// Integer renders an integer.
func Integer(n int64) string { return fmt.Sprintf("(integer) %d", n) }

// Sweep runs the background expiry to its end.
func (w *World) Sweep(limit int) {
	r := redis.AllSlots
	for more := true; more; {
		if err := w.Run(func(t kv.Txn) error {
			d, err := redis.FindDue(t.Snapshot(), w.At, r, t.NowMillis(), limit)
			if err != nil {
				return err
			}
			if len(d.Keys) > limit {
				w.TB.Errorf("%d found, limit %d", len(d.Keys), limit)
			}
			_, again, err := redis.ExpireKeys(t, w.At, d.Keys)
			if more = again || d.More; !again {
				r.First = d.Next
			}
			return err
		}); err != nil {
			w.TB.Fatal(err)
		}
	}
}
