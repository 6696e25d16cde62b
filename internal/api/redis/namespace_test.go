package redis

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
)

func TestNamespaceCommands(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		s.line(t).script(`
			NAMESPACE                     => ERR wrong number of arguments for 'namespace' command
			NAMESPACE FROB x              => ERR unknown subcommand: 'FROB'
			NAMESPACE CURRENT             => global
			NAMESPACE CREATE a..b         => ERR Namespace names must have between 1 and 255 bytes
			NAMESPACE CREATE x.__internal__ => ERR Namespace 'x.__internal__' is reserved for internal use
			NAMESPACE CREATE a.b
			NAMESPACE LIST                => [a global]
			namespace use a.b
			NAMESPACE CURRENT             => a.b
			SET k 1
			SELECT 3
			SET k 3
			NAMESPACE USE a
			GET k                         => nil
			SET k a
			NAMESPACE USE a.b
			GET k                         => 3
			SELECT 0
			GET k                         => 1
			DBSIZE                        => 1
			KEYS *                        => [k]
			NAMESPACE USE nope            => NOSUCHNAMESPACE No such namespace: 'nope'
			NAMESPACE CURRENT             => a.b
			RESET                         => RESET
			NAMESPACE CURRENT             => global
			GET k                         => nil`)
	})
}

// TestNamespaceTakenAway: a session that uses a namespace notices at its next
// command, of whatever kind, that it was removed, moved, purged or made again.
func TestNamespaceTakenAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		a, b := s.line(t), s.line(t)
		const removed = "NAMESPACEBEINGREMOVED Namespace 'p' is being removed"
		a.script("NAMESPACE CREATE p.c\nNAMESPACE USE p.c\nSET k v\nZSET k v")
		b.script("NAMESPACE CREATE q\nNAMESPACE REMOVE q")
		a.script("GET k => v\nZGET k => v") // another one is no matter
		b.script("NAMESPACE REMOVE p")
		for _, command := range []string{"GET k", "SET k w", "ZGET k", "ZSET k w", "KEYS *", "DBSIZE", "ZGETRANGESIZE * *", "WATCH k", "ZWATCH k", "FLUSHDB"} {
			a.says(command, removed)
		}
		a.script("MULTI\nSET k w => QUEUED")
		a.says("EXEC", removed)
		a.script("BEGIN\nGET k => " + removed + "\nROLLBACK\nNAMESPACE CURRENT => p.c")
		b.script("NAMESPACE PURGE p")
		a.says("GET k", "NOSUCHNAMESPACE No such namespace: 'p.c'")
		b.script("NAMESPACE CREATE p.c")
		a.script("GET k => nil\nSET k new\nZGET k => nil")
		b.script("NAMESPACE MOVE p.c moved")
		a.says("SET k x", "NOSUCHNAMESPACE No such namespace: 'p.c'")
		b.script("NAMESPACE USE moved\nGET k => new\nNAMESPACE CREATE p.c")
		a.script("GET k => nil\nNAMESPACE USE moved\nGET k => new")
	})
}

// TestNamespaceRemovalRace: writers of all kinds run against REMOVE and PURGE.
// After REMOVE was acknowledged no command that begins may succeed, and the name,
// when it is used again, leads to nothing.
func TestNamespaceRemovalRace(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) { testNamespaceRemovalRace(t, start(t, Options{DB: db})) })
}

func testNamespaceRemovalRace(t *testing.T, s *testServer) {
	operator := s.line(t)
	commands := []string{"SET k v", "ZSET k v", "HSET h f v", "ZINC.I64 n 1", "INCR i"}
	writers := make([]*line, 2*len(commands))
	for i := range writers {
		writers[i] = s.line(t)
	}
	for round := range 20 {
		operator.script("NAMESPACE CREATE race.x")
		var removed atomic.Bool
		var wrote atomic.Int64
		var wg sync.WaitGroup
		for i, l := range writers {
			l.script("NAMESPACE USE race.x")
			wg.Go(func() {
				for {
					after := removed.Load()
					got := l.do(commands[i%len(commands)])
					if strings.HasPrefix(got, "NAMESPACEBEINGREMOVED") || strings.HasPrefix(got, "NOSUCHNAMESPACE") {
						return
					}
					if after {
						t.Errorf("round %d: %s answered %q after REMOVE", round, commands[i%len(commands)], got)
						return
					}
					if wrote.Add(1); removed.Load() {
						return
					}
				}
			})
		}
		for wrote.Load() < 30 {
			time.Sleep(50 * time.Microsecond)
		}
		operator.script("NAMESPACE REMOVE race.x")
		removed.Store(true)
		operator.script("NAMESPACE PURGE race.x")
		wg.Wait()
		operator.script(`
			NAMESPACE CREATE race.x
			NAMESPACE USE race.x
			DBSIZE                    => 0
			ZGETRANGE * *             => []
			NAMESPACE USE global
			NAMESPACE REMOVE race.x
			NAMESPACE PURGE race.x`)
	}
}

func TestNamespacePages(t *testing.T) {
	l := start(t, Options{}).line(t)
	for i := range listPage + 5 {
		l.script(fmt.Sprintf("NAMESPACE CREATE big.n%05d", i))
	}
	got := strings.Fields(strings.Trim(l.do("NAMESPACE LIST big"), "[]"))
	if len(got) != listPage+5 || got[listPage] != fmt.Sprintf("n%05d", listPage) {
		t.Errorf("%d names", len(got))
	}
}
