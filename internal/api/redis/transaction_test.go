package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// rangeDB is a database over the built-in engine in memory.
func rangeDB(t testing.TB, now func() time.Time) *kv.DB {
	return kv.New(kvrange.New(openStore(t)), now)
}

// rangesDB is a database of several ranges. They are cut in the middle of databases 0
// and 1 of the default namespace, between these, and in those of the namespaces that
// a test makes first: nearly everything is far away from the first range.
func rangesDB(t testing.TB, now func() time.Time) *kv.DB {
	s := openStore(t)
	split(t, s, catalog.DefaultID, 0, 0)
	split(t, s, catalog.DefaultID, 0, 8000)
	split(t, s, catalog.DefaultID, 1, 0)
	split(t, s, catalog.DefaultID, 1, 12000)
	split(t, s, 2, 0, 0)
	split(t, s, 2, 0, 9000)
	split(t, s, 3, 0, 5000)
	split(t, s, 3, 1, 5000)
	return kv.New(kvrange.New(s), now)
}

// split cuts a range of s at a slot.
func split(t testing.TB, s *store.Store, ns keyspace.NamespaceID, db uint8, slot uint16) {
	t.Helper()
	key := keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, ns, db), slot)
	id, _ := s.Range(key).ID()
	if _, _, err := s.Split(context.Background(), id, key, base.RangeID(len(s.Replicas())+1)); err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// line is a client with one connection that speaks in lines.
type line struct {
	t testing.TB
	c *goredis.Conn
}

func (s *testServer) line(t testing.TB) *line {
	t.Helper()
	c := s.client(t, 3).Conn()
	t.Cleanup(func() { _ = c.Close() })
	return &line{t, c}
}

// do sends a command and renders its reply.
func (l *line) do(command string) string {
	l.t.Helper()
	var args []any
	for _, w := range strings.Fields(command) {
		args = append(args, strings.Trim(w, "\""))
	}
	v, err := l.c.Do(context.Background(), args...).Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return "nil"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprint(v)
}

// says runs a command and compares its reply; "…" at the end of want stands for
// anything.
func (l *line) says(command, want string) {
	l.t.Helper()
	got := l.do(command)
	if prefix, open := strings.CutSuffix(want, "…"); got != want && !(open && strings.HasPrefix(got, prefix)) {
		l.t.Errorf("%s: got %q, want %q", command, got, want)
	}
}

// script runs lines of the form "command => reply".
func (l *line) script(text string) {
	l.t.Helper()
	for _, row := range strings.Split(strings.TrimSpace(text), "\n") {
		command, want, found := strings.Cut(row, "=>")
		if !found {
			want = "OK"
		}
		l.says(strings.TrimSpace(command), strings.TrimSpace(want))
	}
}

func eachEngine(t *testing.T, test func(t *testing.T, db *kv.DB)) {
	eachSingle(t, test)
	t.Run("ranges", func(t *testing.T) { test(t, rangesDB(t, time.Now)) })
}

// eachSingle runs a test over what is not divided.
func eachSingle(t *testing.T, test func(t *testing.T, db *kv.DB)) {
	t.Run("memory", func(t *testing.T) { test(t, nil) })
	t.Run("range", func(t *testing.T) { test(t, rangeDB(t, time.Now)) })
}

// eachStore runs a test over a single range and over several.
func eachStore(t *testing.T, test func(t *testing.T, db *kv.DB)) {
	t.Run("range", func(t *testing.T) { test(t, rangeDB(t, time.Now)) })
	t.Run("ranges", func(t *testing.T) { test(t, rangesDB(t, time.Now)) })
}

// TestOneTransaction works on the ordered map of two namespaces, a hash and a
// string in one transaction.
func TestOneTransaction(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		a, b := s.line(t), s.line(t)
		a.script("NAMESPACE CREATE shop.orders\nNAMESPACE CREATE shop.stock")
		write := `
			BEGIN
			NAMESPACE USE shop.orders
			ZSET order:1 keyboard
			HSET h:1 item keyboard n 2     => 2
			SET last 1
			NAMESPACE USE shop.stock
			ZINC.I64 keyboard -2
			INCRBY sold 2                  => 2
			ZGET.I64 keyboard              => -2
			NAMESPACE USE shop.orders
			HGET h:1 item                  => keyboard`
		nothing := `
			NAMESPACE USE shop.orders
			ZGET order:1                   => nil
			EXISTS h:1 last                => 0
			NAMESPACE USE shop.stock
			ZGET.I64 keyboard              => nil
			GET sold                       => nil`
		a.script(write)
		b.script(nothing)
		a.script("ROLLBACK")
		b.script(nothing)
		a.script(nothing)
		a.script(write)
		a.says("COMMIT RETURNING versionstamp", "\x00…")
		b.script(`
			NAMESPACE USE shop.orders
			ZGET order:1                   => keyboard
			HGET h:1 n                     => 2
			GET last                       => 1
			NAMESPACE USE shop.stock
			ZGET.I64 keyboard              => -2
			GET sold                       => 2`)
		a.script("BEGIN\nSET gone 1\nNAMESPACE CREATE shop.gone")
		if err := a.c.Close(); err != nil {
			t.Error(err)
		}
		b.script("GET gone => nil\nNAMESPACE EXISTS shop.gone => 0")
	})
}

func TestTransactionConflict(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		a, b := s.line(t), s.line(t)
		for _, pair := range [][2]string{
			{"ZGET k", "ZSET k v"}, {"GET k", "SET k v"}, {"HGET h f", "HSET h f v"}, {"ZGETRANGE * *", "ZSET in v"}, {"EXISTS e", "SET e v"},
		} {
			a.script("BEGIN")
			b.script("BEGIN")
			a.do(pair[0])
			b.do(pair[0])
			a.do(pair[1])
			b.do(pair[1])
			a.script("COMMIT")
			b.says("COMMIT", "NOT_COMMITTED Transaction not committed due to conflict with another transaction")
			b.says("COMMIT", "TRANSACTION there is no transaction in progress.")
		}
		// Reads of a snapshot do not conflict; increments read nothing.
		a.script("SNAPSHOTREAD ON\nBEGIN\nZGET k => v\nZINC.I64 n 1\nZSET other v")
		b.script("ZSET k w\nZINC.I64 n 2")
		a.script("COMMIT\nSNAPSHOTREAD OFF\nZGET.I64 n => 3")
		// A namespace that is taken away spoils what used it.
		a.script("NAMESPACE CREATE n.x\nBEGIN\nNAMESPACE USE n.x\nZSET k v")
		b.script("NAMESPACE REMOVE n")
		a.says("COMMIT", "NOT_COMMITTED …")
		a.says("ZGET k", "NAMESPACEBEINGREMOVED Namespace 'n' is being removed")
	})
}

func TestTransactionErrors(t *testing.T) {
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	s := start(t, Options{DB: rangeDB(t, now)})
	a := s.line(t)
	a.script(`
		COMMIT                             => TRANSACTION there is no transaction in progress.
		ROLLBACK                           => TRANSACTION there is no transaction in progress.
		GETREADVERSION                     => TRANSACTION there is no transaction in progress.
		GETAPPROXIMATESIZE                 => TRANSACTION there is no transaction in progress.
		BEGIN x                            => ERR wrong number of arguments for 'begin' command
		BEGIN
		BEGIN                              => TRANSACTION there is already a transaction in progress.
		MULTI                              => ERR MULTI is not allowed within a transaction
		ZWATCH k                           => ERR ZWATCH is not allowed within a transaction
		NAMESPACE PURGE x                  => ERR NAMESPACE PURGE is not allowed within a transaction
		COMMIT RETURNING nonsense          => ERR syntax error
		COMMIT now                         => ERR syntax error
		COMMIT RETURNING committed-version => -1
		BEGIN
		COMMIT RETURNING versionstamp      => NO_COMMIT_VERSION …
		BEGIN
		INCR s                             => 1
		LPOPS s                            => ERR unknown command…
		HGET s f                           => WRONGTYPE Operation against a key holding the wrong kind of value
		COMMIT
		GET s                              => 1
		MULTI
		BEGIN                              => ERR Command not allowed inside a transaction
		ZSET a b                           => ERR Command not allowed inside a transaction
		NAMESPACE USE global               => ERR Command not allowed inside a transaction
		EXEC                               => EXECABORT Transaction discarded because of previous errors.
		SNAPSHOTREAD MAYBE                 => ERR illegal argument for SNAPSHOTREAD: 'MAYBE'
		TICK FOO                           => ERR illegal argument for TICK: 'FOO'
		BEGIN
		SESSION.CLOSE
		ROLLBACK                           => TRANSACTION there is no transaction in progress.
		BEGIN
		ZGET k                             => nil`)
	offset.Store(int64(6 * time.Second))
	a.script(`
		ZGET k                             => TRANSACTION_TOO_OLD Transaction is too old to perform reads or be committed
		COMMIT                             => TRANSACTION_TOO_OLD Transaction is too old to perform reads or be committed
		COMMIT                             => TRANSACTION there is no transaction in progress.
		ZGET k                             => nil`)
}

func TestVersionsOfTransactions(t *testing.T) {
	s := start(t, Options{DB: rangeDB(t, time.Now)})
	a := s.line(t)
	num := func(command string) (n int64) {
		t.Helper()
		if _, err := fmt.Sscan(a.do(command), &n); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		return n
	}
	first := num("TICK FRESH")
	a.script("BEGIN")
	at := num("GETREADVERSION")
	a.script("ZSET k v")
	if n := num("GETAPPROXIMATESIZE"); n < 2 {
		t.Errorf("GETAPPROXIMATESIZE: %d", n)
	}
	committed := num("COMMIT RETURNING committed-version")
	cached := num("tick cached")
	last := num("TICK FRESH")
	if !(first < at && at < committed && committed < last) || cached > last || cached < first {
		t.Errorf("versions %d %d %d %d, cached %d", first, at, committed, last, cached)
	}
	if again := num("TICK CACHED"); again < cached {
		t.Errorf("TICK CACHED went from %d to %d", cached, again)
	}
}

// TestConcurrentIncrements: nobody is told about a conflict, and nothing is lost. Where
// there are several ranges, transactions that clients open may meet older ones.
func TestConcurrentIncrements(t *testing.T) {
	eachSingle(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		s.line(t).script("NAMESPACE CREATE busy")
		var wg sync.WaitGroup
		for range 50 {
			l := s.line(t)
			wg.Go(func() {
				l.script("NAMESPACE USE busy")
				for range 10 {
					l.script(`
						ZINC.I64 n 1
						ZINC.F64 f 0.5
						ZINC.D128 d 0.1
						BEGIN
						ZINC.I64 n 1
						COMMIT`)
				}
			})
		}
		wg.Wait()
		s.line(t).script("NAMESPACE USE busy\nZGET.I64 n => 1000\nZGET.F64 f => 250\nZGET.D128 d => 50.0")
	})
}

func TestSessionAttributes(t *testing.T) {
	l := start(t, Options{}).line(t)
	l.script(`
		SESSION.ATTRIBUTE LIST                 => map[input_type:bson limit:100 object_id_format:bytes reply_type:bson]
		SESSION.ATTRIBUTE SET REPLY_TYPE Json
		SESSION.ATTRIBUTE SET input_type json
		SESSION.ATTRIBUTE SET object_id_format HEX
		SESSION.ATTRIBUTE SET limit 7
		session.attribute list                 => map[input_type:json limit:7 object_id_format:hex reply_type:json]
		SESSION.ATTRIBUTE SET stale_reads_ms 5
		SESSION.ATTRIBUTE LIST                 => map[input_type:json limit:7 object_id_format:hex reply_type:json stale_reads_ms:5]
		SESSION.ATTRIBUTE SET stale_reads_ms 0
		SESSION.ATTRIBUTE SET limit 0          => ERR 'limit' must be greater than 0
		SESSION.ATTRIBUTE SET limit x          => ERR value is not an integer or out of range
		SESSION.ATTRIBUTE SET reply_type xml   => ERR Invalid reply type: xml
		SESSION.ATTRIBUTE SET input_type xml   => ERR Invalid input type: xml
		SESSION.ATTRIBUTE SET limit            => ERR invalid number of parameters
		SESSION.ATTRIBUTE SET nope 1           => ERR Invalid session attribute: 'nope'
		SESSION.ATTRIBUTE GET limit            => ERR Invalid subcommand status: GET
		SESSION.CLOSE
		SESSION.ATTRIBUTE LIST                 => map[input_type:bson limit:100 object_id_format:bytes reply_type:bson]`)
}
