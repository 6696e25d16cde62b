package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/test/process"
)

// listTalk are commands on a few keys whose replies are compared with a real server's, byte
// by byte.
var listTalk = []string{
	"LPUSH", "LPUSH l", "RPUSH l a b c", "LPUSH l x y", "LPUSHX none a", "RPUSHX l d e", "LLEN l", "LLEN none", "LLEN", "LRANGE l 0 -1",
	"LRANGE l -3 -2", "LRANGE l 5 2", "LRANGE none 0 -1", "LRANGE l a 1", "LRANGE l 0 b", "LRANGE none a 1", "LINDEX l 0", "LINDEX l -1", "LINDEX l 99",
	"LINDEX none 0", "LINDEX l x", "LINDEX none x", "LSET l 0 z", "LSET l -1 y", "LSET l 99 z", "LSET none 0 z", "LSET none x z", "LSET l x z",
	"LINSERT l BEFORE b 1", "LINSERT l after b 2", "LINSERT l NEAR b 2", "LINSERT l BEFORE nope 1", "LINSERT none BEFORE a 1", "LINSERT none NEAR a 1",
	"LRANGE l 0 -1", "LREM l 1 b", "LREM l -1 c", "LREM l 0 nope", "LREM none 0 a", "LREM l x a",
	"LPOS l z", "LPOS l nope", "LPOS none a", "LPOS none a COUNT 1", "LPOS l z COUNT 0", "LPOS l nope COUNT 1", "LPOS l z RANK 0", "LPOS l z RANK x",
	"LPOS l z COUNT -1", "LPOS l z COUNT x", "LPOS l z MAXLEN -1", "LPOS l z MAXLEN x", "LPOS l z RANK", "LPOS l z FOO 1",
	"LPOS l z rank 1 count 1 maxlen 1", "LPOP l 2", "RPOP l", "LPOP l 0", "LPOP l -1", "LPOP l x", "LPOP none 1", "LPOP none 0", "LPOP none", "LPOP l 1 2",
	"RPOP l 100", "LPOP l", "EXISTS l", "RPUSH l a b c d", "LTRIM l 1 -2", "LRANGE l 0 -1", "LTRIM l x 1", "LTRIM none 0 1", "LTRIM l 5 9", "EXISTS l",
	"RPUSH l a b c", "LMOVE l m LEFT RIGHT", "LMOVE l m left left", "LMOVE l m UP LEFT", "LMOVE none m LEFT LEFT", "LMOVE l l LEFT RIGHT", "RPOPLPUSH l m",
	"RPOPLPUSH none m", "RPOPLPUSH m m", "LRANGE m 0 -1", "LMPOP 2 none m LEFT", "LMPOP 1 m RIGHT COUNT 5", "LMPOP 1 m LEFT", "LMPOP 0 m LEFT", "LMPOP x m LEFT",
	"LMPOP 1 m UP", "LMPOP 2 m LEFT", "LMPOP 1 m LEFT COUNT 0", "LMPOP 1 m LEFT COUNT x", "LMPOP 1 m LEFT COUNT", "LMPOP 1 m LEFT COUNT 1 COUNT 1", "LMPOP 1 m LEFT FOO 1",
	"SET s v", "LPUSH s a", "RPOP s", "RPOP s 2", "LPOP s 0", "LLEN s", "LRANGE s 0 1", "LRANGE s x 1", "LINDEX s 0", "LINDEX s x", "LSET s 0 a", "LSET s x a",
	"LINSERT s BEFORE a b", "LREM s 1 a", "LTRIM s 0 1", "LPOS s a", "RPUSH l 1 2 3", "LMOVE l s LEFT LEFT", "LMOVE s l LEFT LEFT", "LMOVE none s LEFT LEFT", "RPOPLPUSH l s",
	"LMPOP 2 s l LEFT", "LMPOP 2 l s LEFT", "LPUSHX s a", "GET l", "HGET l f", "TYPE l", "OBJECT REFCOUNT l",
	"MULTI|LPUSH l q|BLPOP l 1|BLPOP none 1|BRPOP l none 1|BLMOVE l m LEFT RIGHT 1|BLMOVE none m LEFT RIGHT 1|BRPOPLPUSH none m 1|" +
		"BRPOPLPUSH l m 0|BLMPOP 1 1 m LEFT|BLMPOP 1 2 none x LEFT|BLPOP s 0|LRANGE l 0 -1|EXEC",
	"BLPOP", "BLPOP l", "RPUSH l a b c d e f", "BLPOP l 0", "BRPOP none l 0.1", "BLPOP l x", "BLPOP l -1", "BLPOP s l 0", "BLPOP l s 0",
	"BLMOVE l m LEFT RIGHT 0", "BLMOVE l s LEFT RIGHT 0", "BLMOVE s l LEFT RIGHT 0", "BLMOVE l m UP RIGHT 0", "BLMOVE l m LEFT RIGHT x", "BRPOPLPUSH l m 0", "BRPOPLPUSH l m -1",
	"RPUSH l 1 2 3 4 5 6", "BLMPOP 0 1 l LEFT", "BLMPOP x 1 l LEFT", "BLMPOP 0 0 l LEFT", "BLMPOP 0 1 l LEFT COUNT 2", "BLMPOP 0 1 l UP", "BLMPOP -1 1 l LEFT", "BLMPOP 0.01 1 none LEFT",
	"BLPOP none 0.01", "BRPOP none also 0.01", "BLMOVE none m LEFT LEFT 0.01", "BRPOPLPUSH none m 0.01", "BLPOP none nan", "BLPOP none 0x1p-9", "BLPOP none 0.001",
	"CLIENT UNBLOCK 99", "CLIENT UNBLOCK 99 ERROR", "CLIENT UNBLOCK 99 FOO", "CLIENT UNBLOCK x",
	"COMMAND GETKEYS LMPOP 2 a b LEFT", "COMMAND GETKEYS BLMPOP 1 2 a b LEFT", "COMMAND GETKEYS BLPOP a b 0", "COMMAND GETKEYS LMOVE a b LEFT LEFT", "COMMAND GETKEYS LMPOP 5 a LEFT",
}

func TestListsAgree(t *testing.T) { serversAgree(t, listTalk) }

// serversAgree compares with a real server, in both versions of the protocol.
func serversAgree(t *testing.T, talk []string) {
	t.Helper()
	serversAgreeBut(t, talk, func(_, ours, theirs string) (string, string) { return ours, theirs })
}

// serversAgreeBut is the like where but takes away what may differ.
func serversAgreeBut(t *testing.T, talk []string, but func(command, ours, theirs string) (string, string)) {
	t.Helper()
	for _, proto := range []int{2, 3} {
		here, there := bothServers(t)
		for _, c := range []*rawConn{here, there} {
			c.send(arrays(fmt.Sprintf("HELLO %d|ECHO ready", proto)))
			c.through("ready\r\n")
		}
		for i, command := range talk {
			end := fmt.Sprintf("end%d", i)
			if ours, theirs := but(command, here.answer(command, end), there.answer(command, end)); ours != theirs {
				t.Errorf("RESP%d %s\n  here   %q\n  server %q", proto, command, ours, theirs)
			}
		}
	}
}

// answer is all that comes for a command.
func (c *rawConn) answer(command, end string) string {
	c.t.Helper()
	c.send(arrays(command + "|ECHO " + end))
	return strings.TrimSuffix(c.through(end+"\r\n"), fmt.Sprintf("$%d\r\n%s\r\n", len(end), end))
}

// long is a test of what one client is answered, which the race detector has no use for.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one client after another, many times: without -short")
	}
}

// bothServers are clients of a server of ours and of a real one.
func bothServers(t *testing.T) (here, there *rawConn) {
	t.Helper()
	return start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
}

// agree compares what a command is answered.
func agree(t *testing.T, here, there *rawConn, i int, command string) {
	t.Helper()
	end := fmt.Sprint("end", i)
	if ours, theirs := here.answer(command, end), there.answer(command, end); ours != theirs {
		t.Fatalf("%.200s\n  here   %.2000q\n  server %.2000q", command, ours, theirs)
	}
}

// TestListsAgreeAtRandom compares random commands, with elements of all sizes.
func TestListsAgreeAtRandom(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 1200 {
		key, other := string("lmn"[r.IntN(3)]), string("lmn"[r.IntN(3)])
		value := []string{"a", "b", "12345", strings.Repeat("long", 1+r.IntN(60))}[r.IntN(4)]
		n, m := r.IntN(12)-4, r.IntN(12)-4
		end := []string{"LEFT", "RIGHT"}
		command := []string{
			fmt.Sprintf("LPUSH %s %s b c", key, value), fmt.Sprintf("RPUSH %s %s b c", key, value), fmt.Sprintf("LPOP %s", key), fmt.Sprintf("RPOP %s %d", key, n),
			fmt.Sprintf("LRANGE %s %d %d", key, n, m), fmt.Sprintf("LINDEX %s %d", key, n), fmt.Sprintf("LSET %s %d %s", key, n, value),
			fmt.Sprintf("LINSERT %s BEFORE b %s", key, value), fmt.Sprintf("LREM %s %d b", key, n), fmt.Sprintf("LTRIM %s 0 %d", key, 20+n),
			fmt.Sprintf("LPOS %s b RANK %d COUNT 2", key, n), fmt.Sprintf("LMOVE %s %s %s %s", key, other, end[r.IntN(2)], end[r.IntN(2)]),
			fmt.Sprintf("LMPOP 2 %s %s %s COUNT 2", key, other, end[r.IntN(2)]), fmt.Sprintf("BLPOP %s %s 0.001", key, other), fmt.Sprintf("BLMOVE %s %s LEFT RIGHT 0.001", key, other),
			"LRANGE l 0 -1", fmt.Sprintf("RENAME %s %s", key, other), fmt.Sprintf("EXPIRE %s 1000", key), fmt.Sprintf("EXPIRETIME %s", other),
		}[r.IntN(19)]
		if strings.HasPrefix(command, "EXPIRETIME") { // two clocks
			command = "PERSIST " + other
		}
		agree(t, here, there, i, command)
	}
}

func TestListRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Lists), onWaiting(blocking.Lists)) }

// familiesAgree: what COMMAND says of commands is what the real server says.
func familiesAgree(t *testing.T, families ...func() []Command) {
	t.Helper()
	here := goredis.NewClient(&goredis.Options{Addr: start(t, Options{}).addr, ReadTimeout: patience})
	there := goredis.NewClient(&goredis.Options{Addr: process.Redis(t), ReadTimeout: patience})
	a, b := here.Conn(), there.Conn()
	t.Cleanup(func() { _, _, _, _ = a.Close(), b.Close(), here.Close(), there.Close() })
	rowsAgree(t, a, b, families...)
}
