package redis

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/test/process"
)

// inNamespaces runs a test over each engine, in the default namespace and in another
// one; use is what a session says to be in it.
func inNamespaces(t *testing.T, test func(t *testing.T, s *testServer, use string)) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		s.line(t).script("NAMESPACE CREATE shop.orders")
		for _, path := range []string{"global", "shop.orders"} {
			t.Run(path, func(t *testing.T) { test(t, s, "NAMESPACE USE "+path) })
		}
	})
}

// TestSwapdb: every connection sees the other database at once, and all commands
// that name a database find it.
func TestSwapdb(t *testing.T) {
	inNamespaces(t, func(t *testing.T, s *testServer, use string) {
		a, b := s.line(t), s.line(t)
		a.script(use + "\nSET k zero\nSET only0 v\nSELECT 1\nSET k one\nSELECT 2\nSET k two\nSELECT 0")
		b.script(use + "\nSELECT 1\nGET k => one")
		a.script("SWAPDB 0 1\nGET k => one\nDBSIZE => 1\nEXISTS only0 => 0")
		b.script("GET k => zero\nDBSIZE => 2\nRANDOMKEY => …\nSCAN 0 MATCH o* COUNT 100 => [0 [only0]]\nKEYS on* => [only0]")
		a.script(`
			SWAPDB 1 2
			GET k                     => one
			SELECT 2
			GET k                     => zero
			SWAPDB 7 7
			MOVE only0 0              => 1
			COPY k copied DB 1        => 1
			MOVE k 2                  => ERR source and destination objects are the same
			SELECT 1
			GET copied                => zero
			GET k                     => two
			SELECT 0
			GET only0                 => v`)
		b.script("GET k => two\nDBSIZE => 2")
		info := a.do("INFO keyspace")
		for _, want := range []string{"db0:keys=2,", "db1:keys=2,", "db2:keys=1,"} {
			if !strings.Contains(info, want) {
				t.Errorf("%s is not in %q", want, info)
			}
		}
		a.script("FLUSHDB\nDBSIZE => 0")
		b.script("DBSIZE => 2")
		a.script("SWAPDB 15 1\nSELECT 15\nDBSIZE => 2\nFLUSHALL\nDBSIZE => 0")
		b.script("DBSIZE => 0\nSET k new")
		s.line(t).script(use + "\nSELECT 1\nGET k => new") // a new connection
		a.script("SWAPDB 15 1\nSWAPDB 1 2\nSWAPDB 0 1\nSELECT 0\nFLUSHALL")
	})
}

func TestSwapdbErrors(t *testing.T) {
	start(t, Options{}).line(t).script(`
		SWAPDB 1                  => ERR wrong number of arguments for 'swapdb' command
		SWAPDB 1 2 3              => ERR wrong number of arguments for 'swapdb' command
		SWAPDB a b                => ERR invalid first DB index
		SWAPDB 99999999999 0      => ERR invalid first DB index
		SWAPDB 0 b                => ERR invalid second DB index
		SWAPDB 0 16               => ERR DB index is out of range
		SWAPDB -1 0               => ERR DB index is out of range
		MULTI
		SWAPDB 0 x                => QUEUED
		EXEC                      => [ERR invalid second DB index]`)
}

// TestSwapdbInMulti: commands behind it see the databases swapped, and a transaction
// that does not happen swaps nothing.
func TestSwapdbInMulti(t *testing.T) {
	inNamespaces(t, func(t *testing.T, s *testServer, use string) {
		a, b := s.line(t), s.line(t)
		a.script(use + "\nFLUSHALL\nSET k zero\nSELECT 1\nSET k one\nSELECT 0")
		b.script(use + "\nGET k => zero")
		a.script(`
			MULTI
			GET k                     => QUEUED
			SWAPDB 0 1                => QUEUED
			GET k                     => QUEUED
			SET in 0                  => QUEUED
			KEYS *                    => QUEUED
			SELECT 1                  => QUEUED
			GET k                     => QUEUED
			EXEC                      => [zero OK one OK [k in] OK zero]
			GET k                     => zero`)
		if got := a.do("SELECT 0") + a.do("GET k"); got != "OKone" {
			t.Error(got)
		}
		b.script("GET k => one\nGET in => 0\nMULTI\nSWAPDB 0 1 => QUEUED\nDISCARD\nGET k => one")
		b.script("WATCH k\nMULTI\nSWAPDB 0 1 => QUEUED\nSELECT 1 => QUEUED")
		a.script("SET k changed")
		b.script("EXEC => nil\nGET k => changed\nSELECT 1\nGET k => zero")
		a.script("SWAPDB 0 1\nGET k => zero")
	})
}

// TestSwapdbTouchesWatchedKeys: those of both databases and of no other.
func TestSwapdbTouchesWatchedKeys(t *testing.T) {
	inNamespaces(t, func(t *testing.T, s *testServer, use string) {
		a, b := s.line(t), s.line(t)
		for _, l := range []*line{a, b} {
			l.script(use)
		}
		a.script("SET k v\nSELECT 1\nSET k w")
		for _, tc := range []struct{ watch, swap, want string }{
			{"0", "SWAPDB 0 1", "nil"}, {"1", "SWAPDB 0 1", "nil"}, {"0", "SWAPDB 0 1\nSWAPDB 0 1", "nil"},
			{"0", "SWAPDB 1 5\nSWAPDB 0 1", "nil"}, {"3", "SWAPDB 0 1", "[PONG]"}, {"0", "SWAPDB 0 0", "[PONG]"},
			{"0", "MULTI\nSWAPDB 9 0 => QUEUED\nEXEC => [OK]", "nil"}, {"9", "BEGIN\nSWAPDB 9 0\nCOMMIT", "nil"},
			{"0", "BEGIN\nSWAPDB 9 0\nROLLBACK", "[PONG]"},
		} {
			a.script("SELECT " + tc.watch + "\nWATCH k\nSELECT 0\nMULTI\nPING => QUEUED")
			b.script(tc.swap)
			a.says("EXEC", tc.want)
		}
		a.script("WATCH k\nUNWATCH\nMULTI\nPING => QUEUED")
		b.script("SWAPDB 0 1")
		a.says("EXEC", "[PONG]")
		a.script("WATCH k\nMULTI\nSWAPDB 0 1 => QUEUED\nEXEC => [OK]") // one's own does not count
	})
}

// TestSwapdbInTransaction: the transaction sees its own swap, nobody else does before
// COMMIT, and those that used a swapped database conflict.
func TestSwapdbInTransaction(t *testing.T) {
	inNamespaces(t, func(t *testing.T, s *testServer, use string) {
		const conflict = "NOT_COMMITTED …"
		a, b := s.line(t), s.line(t)
		a.script(use + "\nFLUSHALL\nSET k zero\nSELECT 1\nSET k one\nSELECT 0")
		b.script(use)
		swap := `
			BEGIN
			GET k                     => zero
			SWAPDB 0 1
			GET k                     => one
			SET mine 1
			SELECT 1
			GET k                     => zero
			SELECT 0`
		a.script(swap)
		b.script("GET k => zero\nEXISTS mine => 0")
		a.script("ROLLBACK\nGET k => zero\nEXISTS mine => 0")
		a.script(swap + "\nCOMMIT\nGET k => one\nGET mine => 1")
		b.script("GET k => one\nGET mine => 1")
		a.script("BEGIN\nGET k => one\nSET k lost")
		b.script("SWAPDB 0 1")
		a.script("GET k => lost\nCOMMIT => " + conflict + "\nGET k => zero")
		a.script("BEGIN\nSWAPDB 0 1")
		b.script("SWAPDB 2 3")
		a.script("COMMIT => " + conflict + "\nGET k => zero")
		b.script("SWAPDB 2 3")
		a.script("BEGIN\nSET blind v")
		b.script("SWAPDB 0 1\nSWAPDB 0 1")
		a.script("COMMIT => " + conflict)
	})
}

// TestSwappedKeysExpire: background expiry goes by what is stored.
func TestSwappedKeysExpire(t *testing.T) {
	s := start(t, Options{})
	s.line(t).script("SET k v PX 20\nSET stays v\nSELECT 4\nSET k v PX 20\nSWAPDB 0 4\nSWAPDB 0 9\nNAMESPACE CREATE n\n" +
		"NAMESPACE USE n\nSWAPDB 4 5\nSET k v PX 20")
	eventually(t, func() bool { return s.stats.expired.Load() >= 3 })
	s.line(t).script("DBSIZE => 0\nSELECT 4\nDBSIZE => 1\nSELECT 9\nDBSIZE => 0\nNAMESPACE USE n\nSELECT 4\nDBSIZE => 0")
}

// TestSwapDuringExec: a queue that has got past a SELECT when it has to begin again
// begins in the database in which it began.
func TestSwapDuringExec(t *testing.T) {
	db := rangeDB(t, time.Now)
	swaps := 1
	family := func() []Command {
		return []Command{{Name: "test.swap", Summary: "Swaps in another transaction.", Since: "0.1.0", Group: command.GroupGeneric, Arity: 1,
			Flags: command.FlagWrite, Handler: func(c *Call) error {
				c.W.OK()
				if swaps--; swaps < 0 {
					return nil
				}
				_, err := db.NewSession().Run(kv.Func(func(t kv.Txn) error {
					_, err := catalog.SwapDatabases(t, catalog.DefaultID, 0, 2)
					return err
				}))
				return err
			}}}
	}
	start(t, Options{DB: db, Families: append(families(), family)}).line(t).script(`
		SET k zero
		SELECT 2
		SET k two
		SELECT 0
		MULTI
		TEST.SWAP                 => QUEUED
		GET k                     => QUEUED
		SELECT 1                  => QUEUED
		SET k one                 => QUEUED
		EXEC                      => [OK two OK OK]
		GET k                     => one
		SELECT 2
		GET k                     => zero`)
}

// TestKeysDuringSwaps: KEYS takes several transactions and yet looks at one database, that
// which had its name when it began; it ends although databases are swapped all the time.
func TestKeysDuringSwaps(t *testing.T) {
	pages, rounds := 30, 5
	if testing.Short() {
		pages, rounds = 3, 1
	}
	keys := pages*keysPage + 5
	s := start(t, Options{DB: rangeDB(t, time.Now)})
	a := s.line(t)
	for _, name := range []string{"a", "b"} {
		var mset strings.Builder
		for i := range keys {
			fmt.Fprintf(&mset, " %s%d v", name, i)
		}
		a.script("MSET" + mset.String() + "\nSWAPDB 0 1")
	}
	var swaps sync.WaitGroup
	var done atomic.Bool
	for range 3 {
		b := s.line(t)
		swaps.Go(func() {
			for !done.Load() {
				b.script("SWAPDB 0 1")
			}
		})
	}
	defer swaps.Wait()
	defer done.Store(true)
	for range rounds {
		found := strings.Fields(strings.Trim(a.do("KEYS *"), "[]"))
		if len(found) != keys {
			t.Fatalf("%d keys: %.300s", len(found), strings.Join(found, " "))
		}
		for _, k := range found {
			if k[0] != found[0][0] {
				t.Fatalf("%s and %s", found[0], k)
			}
		}
	}
}

// fullEngine refuses writes while full is set.
type fullEngine struct {
	*lateEngine
	full atomic.Bool
}

type fullAttempt struct {
	kv.Attempt
	e *fullEngine
}

func (e *fullEngine) NewAttempt() kv.Attempt { return fullAttempt{e.lateEngine.NewAttempt(), e} }

func (a fullAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	if len(req.Mutations) > 0 && a.e.full.Load() {
		return a.Abort(), base.ErrDiskFull
	}
	return a.Attempt.Commit(req)
}

// TestRefusedSwap: whoever could not swap goes on as before.
func TestRefusedSwap(t *testing.T) {
	e := &fullEngine{lateEngine: newLateEngine()}
	e.auto = true
	l := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).line(t)
	l.script("SET k zero")
	e.full.Store(true)
	if got := l.do("SWAPDB 0 1"); got == "OK" {
		t.Error(got)
	}
	l.script("GET k => zero\nMULTI\nSWAPDB 0 1 => QUEUED\nSELECT 1 => QUEUED")
	if got := l.do("EXEC"); strings.HasPrefix(got, "[") {
		t.Error(got)
	}
	l.script("GET k => zero")
}

// TestSwapIsRevealedWhenCommitted: a read that found a database by a swap waits for
// it, even if the reply that found it out was not sent.
func TestSwapIsRevealedWhenCommitted(t *testing.T) {
	s, e := startLate(t)
	first, c := s.dial(t), s.dial(t)
	first.send("SELECT 1\r\nSET k v\r\n")
	e.log.settle(<-e.log.arrived, nil)
	first.expect(crlf("+OK|+OK|"))
	first.send("SWAPDB 0 1\r\n")
	pos := <-e.log.arrived
	c.send("CLIENT REPLY SKIP\r\nGET k\r\n")
	c.send("GET k\r\n")
	<-e.log.arrived
	c.quiet()
	first.quiet()
	e.log.settle(pos, nil)
	c.expect(crlf("$1|v|"))
	first.expect(crlf("+OK|"))
}

// TestSwapdbRace swaps two databases all the time, in every way, while others count
// in them: no acknowledged increment is lost, and transactions that count in both
// find both counts equal. WATCH sees a swap.
func TestSwapdbRace(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) { testSwapdbRace(t, start(t, Options{DB: db})) })
}

func testSwapdbRace(t *testing.T, s *testServer) {
	each := 150
	if testing.Short() {
		each = 60
	}
	s.line(t).script("NAMESPACE CREATE n")
	for _, use := range []string{"NAMESPACE USE global", "NAMESPACE USE n"} {
		var acked, pairs, watched atomic.Int64
		var work, swaps sync.WaitGroup
		var done atomic.Bool
		worker := func(wg *sync.WaitGroup, database int, step func(l *line)) {
			l := s.line(t)
			l.script(use + "\nSELECT " + strconv.Itoa(database))
			wg.Go(func() {
				for n := 0; n < each && wg == &work || wg == &swaps && !done.Load(); n++ {
					step(l)
				}
			})
		}
		for i := range 6 {
			worker(&work, i%2, func(l *line) {
				if n, err := strconv.Atoi(l.do("INCR n")); err != nil || n <= 0 {
					t.Errorf("INCR: %d, %v", n, err)
				}
				acked.Add(1)
			})
		}
		worker(&work, 1, func(l *line) {
			l.script("BEGIN")
			l.do("INCR n")
			if got := l.do("COMMIT"); got == "OK" {
				acked.Add(1)
			} else if !strings.HasPrefix(got, "NOT_COMMITTED") {
				t.Error(got)
			}
		})
		worker(&work, 0, func(l *line) {
			l.script("MULTI\nINCR pair => QUEUED\nSELECT 1 => QUEUED\nINCR pair => QUEUED\nEXEC => […\nSELECT 0")
			pairs.Add(1)
		})
		worker(&work, 0, func(l *line) {
			l.script("MULTI\nGET pair => QUEUED\nSELECT 1 => QUEUED\nGET pair => QUEUED\nSELECT 0 => QUEUED")
			got := strings.Fields(strings.Trim(l.do("EXEC"), "[]"))
			if len(got) != 4 || got[0] != got[2] {
				t.Errorf("counts of pairs: %v", got)
			}
		})
		for range 2 {
			worker(&work, 0, func(l *line) {
				l.script("WATCH w")
				n, _ := strconv.Atoi(l.do("GET w")) // nil is 0
				l.script("MULTI\nSET w " + strconv.Itoa(n+1) + " => QUEUED")
				if got := l.do("EXEC"); got == "[OK]" {
					watched.Add(1)
				} else if got != "nil" {
					t.Error(got)
				}
			})
		}
		worker(&swaps, 0, func(l *line) { l.script("SWAPDB 0 1") })
		worker(&swaps, 0, func(l *line) {
			l.script("MULTI\nINCR pair => QUEUED\nSWAPDB 0 1 => QUEUED\nINCR pair => QUEUED\nEXEC => […")
			pairs.Add(1)
		})
		worker(&swaps, 0, func(l *line) {
			l.script("BEGIN")
			l.do("INCR pair")
			l.do("SWAPDB 0 1")
			l.do("INCR pair")
			if l.do("COMMIT") == "OK" {
				pairs.Add(1)
			}
		})
		work.Wait()
		done.Store(true)
		swaps.Wait()
		l, sum, seen := s.line(t), int64(0), int64(0)
		l.script(use)
		for _, database := range []string{"SELECT 0", "SELECT 1"} {
			l.script(database)
			n, err := strconv.ParseInt(l.do("GET n"), 10, 64)
			if err != nil {
				t.Error(err)
			}
			sum += n
			n, _ = strconv.ParseInt(l.do("GET w"), 10, 64)
			seen += n
			l.says("GET pair", strconv.FormatInt(pairs.Load(), 10))
		}
		if seen != watched.Load() {
			t.Errorf("%s: %d of EXEC were acknowledged, %d are there", use, watched.Load(), seen)
		}
		if sum != acked.Load() {
			t.Errorf("%s: %d increments were acknowledged, %d are there", use, acked.Load(), sum)
		}
	}
}

// TestSwapdbAgrees runs the same random commands here and against a real server,
// over three connections that swap, select and queue as they like.
func TestSwapdbAgrees(t *testing.T) {
	long(t)
	there := goredis.NewClient(&goredis.Options{Addr: process.Redis(t), Protocol: 3, ReadTimeout: patience})
	t.Cleanup(func() { _ = there.Close() })
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		var pairs [3][2]*line
		for i := range pairs {
			c := there.Conn()
			t.Cleanup(func() { _ = c.Close() })
			pairs[i] = [2]*line{s.line(t), {t, c}}
			pairs[i][1].do("DISCARD") // what the test before may have left
			pairs[i][1].script("UNWATCH\nSELECT 0\nFLUSHALL")
		}
		r := rand.New(rand.NewPCG(5, 8))
		small := func() string { return strconv.Itoa(r.IntN(4)) }
		var queued [len(pairs)]bool
		for step := range 3000 {
			i := r.IntN(len(pairs))
			command := []string{"GET k" + small(), "SET k" + small() + " " + strconv.Itoa(step), "INCR n", "DBSIZE", "SELECT " + small(),
				"SELECT " + small(), "SWAPDB " + small() + " " + small(), "SWAPDB 0 1", "SWAPDB 15 " + small(), "SWAPDB 0 1" + small(),
				"MOVE k" + small() + " " + small(), "COPY k1 k" + small() + " DB " + small(), "MULTI", "EXEC", "EXEC", "DEL k" + small(),
				"SWAPDB x 0", "EXISTS k0 k1 k2 k3", "DISCARD"}[r.IntN(19)]
			if r.IntN(200) == 0 {
				command = "FLUSHDB"
			}
			if !queued[i] && r.IntN(8) == 0 {
				pairs[i][0].script("SET seen 1\nWATCH seen") // a key that exists: see the rules of WATCH
				pairs[i][1].script("SET seen 1\nWATCH seen")
			}
			here, want := pairs[i][0].do(command), pairs[i][1].do(command)
			if here != want {
				t.Fatalf("step %d: connection %d: %s\n  here   %s\n  server %s", step, i, command, here, want)
			}
			switch command {
			case "MULTI":
				queued[i] = true
			case "EXEC", "DISCARD":
				queued[i] = false
			}
		}
	})
}
