package redis

import (
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// replies are the bytes that a client gets; bars stand for line ends. Where the
// versions of the protocol differ, resp3 is what version 3 gets.
var replies = []struct{ name, send, resp2, resp3 string }{
	{"ping", "PING|PING hi|PING a b", "+PONG|$2|hi|-ERR wrong number of arguments for 'ping' command|", ""},
	{"unknown", "foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' |", ""},
	{"unknown subcommand", "CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.|", ""},
	{"container alone", "CLIENT", "-ERR wrong number of arguments for 'client' command|", ""},
	{"subcommand arity", "CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command|", ""},
	{"set and get", "SET k v|GET k|GET none", "+OK|$1|v|$-1|", "+OK|$1|v|_|"},
	{"set options", "SET k v NX GET|SET k w XX GET|SET k x NX XX|SET k x EX|SET k x EX 0|SET k x EX abc|SET k x KEEPTTL PX 10",
		"$-1|$1|v|-ERR syntax error|-ERR syntax error|-ERR invalid expire time in 'set' command|" +
			"-ERR value is not an integer or out of range|-ERR syntax error|", "_|$1|v|-ERR syntax error|-ERR syntax error|" +
			"-ERR invalid expire time in 'set' command|-ERR value is not an integer or out of range|-ERR syntax error|"},
	{"set if equal", "SET k a|SET k b IFEQ x|SET k b IFEQ a|SET k c IFNE b|DELEX k IFEQ a|DELEX k IFEQ b|DELEX k",
		"+OK|$-1|+OK|$-1|:0|:1|:0|", "+OK|_|+OK|_|:0|:1|:0|"},
	{"counters", "INCR n|DECRBY n 5|INCRBYFLOAT n 0.5|INCR n|SET n 9223372036854775807|INCR n",
		":1|:-4|$4|-3.5|-ERR value is not an integer or out of range|+OK|-ERR increment or decrement would overflow|", ""},
	{"mset", "MSET a 1 b|MSET a 1 b 2|MGET a x b", "-ERR wrong number of arguments for 'mset' command|+OK|*3|$1|1|$-1|$1|2|",
		"-ERR wrong number of arguments for 'mset' command|+OK|*3|$1|1|_|$1|2|"},
	{"lcs", "MSET a ohmytext b mynewtext|LCS a b|LCS a b LEN|LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
		"+OK|$6|mytext|:6|*4|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6|",
		"+OK|$6|mytext|:6|%2|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6|"},
	{"hash", "HSET h f v|HGETALL h|HGETALL x|HRANDFIELD h -2 WITHVALUES|HRANDFIELD x|HSCAN h 0|HSCAN h 0 NOVALUES|HMGET h f g",
		":1|*2|$1|f|$1|v|*0|*4|$1|f|$1|v|$1|f|$1|v|$-1|*2|$1|0|*2|$1|f|$1|v|*2|$1|0|*1|$1|f|*2|$1|v|$-1|",
		":1|%1|$1|f|$1|v|%0|*2|*2|$1|f|$1|v|*2|$1|f|$1|v|_|*2|$1|0|*2|$1|f|$1|v|*2|$1|0|*1|$1|f|*2|$1|v|_|"},
	{"hash arity", "HSET h f v g", "-ERR wrong number of arguments for 'hset' command|", ""},
	{"hash ttl", "HSET h f v|HTTL h FIELDS 2 f g|HEXPIRE h 100 FIELDS 2 f g|HTTL h FIELDS 1 f|HPERSIST h FIELDS 1 f|HTTL h FIELDS 1 f|HTTL h FIELDS 2 f|HTTL h FOO 1 f|HTTL h FIELDS 0 f",
		":1|*2|:-1|:-2|*2|:1|:-2|*1|:100|*1|:1|*1|:-1|-ERR The `numfields` parameter must match the number of arguments|" +
			"-ERR Mandatory argument FIELDS is missing or not at the right position|-ERR Number of fields must be a positive integer|", ""},
	{"hgetex", "HSETEX h EX 100 FIELDS 2 a 1 b 2|HGETEX h PERSIST FIELDS 2 a x|HTTL h FIELDS 2 a b|HGETDEL h FIELDS 1 a|HSETEX h FNX FIELDS 1 b 3",
		":1|*2|$1|1|$-1|*2|:-1|:100|*1|$1|1|:0|", ":1|*2|$1|1|_|*2|:-1|:100|*1|$1|1|:0|"},
	{"wrong type", "HSET h f v|GET h|INCR h", ":1|-WRONGTYPE Operation against a key holding the wrong kind of value|" +
		"-WRONGTYPE Operation against a key holding the wrong kind of value|", ""},
	{"expiry", "SET k v|TTL k|EXPIRE k 100|TTL k|EXPIRE k 50 GT|EXPIRE k 10 NX GT|EXPIRE k 10 FOO|PERSIST k|TTL none|EXPIRE k -1|EXISTS k",
		"+OK|:-1|:1|:100|:0|-ERR NX and XX, GT or LT options at the same time are not compatible|-ERR Unsupported option FOO|:1|:-2|:1|:0|", ""},
	{"keys", "MSET a 1 b 2|KEYS a*|DEL a x|TYPE b|RENAME a c|RENAME b c|EXISTS b c c|COPY c c|COPY c d|MOVE d 1|SELECT 1|KEYS *|SELECT 16",
		"+OK|*1|$1|a|:1|+string|-ERR no such key|+OK|:2|-ERR source and destination objects are the same|:1|:1|+OK|*1|$1|d|-ERR DB index is out of range|", ""},
	{"scan", "SET k v|SCAN 0|SCAN 0 TYPE hash|SCAN x|SCAN 0 COUNT 0|SCAN 0 NOVALUES",
		"+OK|*2|$1|0|*1|$1|k|*2|$1|0|*0|-ERR invalid cursor|-ERR syntax error|-ERR NOVALUES option can only be used in HSCAN|", ""},
	{"object", "SET k 12|OBJECT ENCODING k|OBJECT REFCOUNT k|OBJECT FREQ none", "+OK|$3|int|:1|$-1|", "+OK|$3|int|:1|_|"},
	{"flush", "SET k v|SELECT 1|SET l v|FLUSHDB|DBSIZE|SELECT 0|DBSIZE|FLUSHALL ASYNC|DBSIZE|FLUSHALL NOW|RANDOMKEY",
		"+OK|+OK|+OK|+OK|:0|+OK|:1|+OK|:0|-ERR syntax error|$-1|", "+OK|+OK|+OK|+OK|:0|+OK|:1|+OK|:0|-ERR syntax error|_|"},
	{"multi", "MULTI|MULTI|SET k v|HGET k f|WATCH k|GET k|EXEC|EXEC|DISCARD",
		"+OK|-ERR MULTI calls can not be nested|+QUEUED|+QUEUED|-ERR WATCH inside MULTI is not allowed|+QUEUED|" +
			"*3|+OK|-WRONGTYPE Operation against a key holding the wrong kind of value|$1|v|-ERR EXEC without MULTI|-ERR DISCARD without MULTI|", ""},
	{"exec abort", "MULTI|SET k|EXEC|GET k", "+OK|-ERR wrong number of arguments for 'set' command|" +
		"-EXECABORT Transaction discarded because of previous errors.|$-1|", "+OK|-ERR wrong number of arguments for 'set' command|" +
		"-EXECABORT Transaction discarded because of previous errors.|_|"},
	{"select in exec", "MULTI|SELECT 3|SET k v|EXEC|DBSIZE|SELECT 0|DBSIZE", "+OK|+QUEUED|+QUEUED|*2|+OK|+OK|:1|+OK|:0|", ""},
	{"client", "CLIENT GETNAME|CLIENT SETNAME me|CLIENT GETNAME|CLIENT GETREDIR|CLIENT UNBLOCK 77|CLIENT KILL 1.2.3.4:5|CLIENT REPLY SKIP|PING|PING x",
		"$-1|+OK|$2|me|:-1|:0|-ERR No such client|$1|x|", "_|+OK|$2|me|:-1|:0|-ERR No such client|$1|x|"},
	{"config", "CONFIG GET maxmemory|CONFIG SET nope 1|CONFIG SET databases 3|CONFIG SET timeout 5|CONFIG GET timeout",
		"*2|$9|maxmemory|$1|0|-ERR Unknown option or number of arguments for CONFIG SET - 'nope'|" +
			"-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config|+OK|*2|$7|timeout|$1|5|",
		"%1|$9|maxmemory|$1|0|-ERR Unknown option or number of arguments for CONFIG SET - 'nope'|" +
			"-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config|+OK|%1|$7|timeout|$1|5|"},
	{"getkeys", "COMMAND GETKEYS MSET a 1 b 2|COMMAND GETKEYS PING|COMMAND GETKEYS NOPE|COMMAND INFO nope",
		"*2|$1|a|$1|b|-ERR The command has no key arguments|-ERR Invalid command specified|*1|$-1|",
		"*2|$1|a|$1|b|-ERR The command has no key arguments|-ERR Invalid command specified|*1|_|"},
	{"hello", "HELLO 4|HELLO x|HELLO 3 FOO|AUTH x", "-NOPROTO unsupported protocol version|-ERR Protocol version is not an integer or out of range|" +
		"-ERR Syntax error in HELLO option 'FOO'|-ERR AUTH <password> called without any password configured for the default user. " +
		"Are you sure your configuration is correct?|", ""},
	{"server", "WAIT 1 0|WAITAOF 1 0 0|ROLE|MODULE LIST|DEBUG SLEEP 0", ":0|*2|:1|:0|*3|$6|master|:0|*0|*0|+OK|", ""},
}

// lines makes one command per bar; a bar inside of a subcommand's name does not occur.
func lines(s string) string { return strings.ReplaceAll(s, "|", "\r\n") + "\r\n" }

// wire makes line ends of the bars, except of those in 'client|setname'.
func wire(s string) string {
	return strings.ReplaceAll(crlf(strings.ReplaceAll(s, "client|setname", "client\x00setname")), "\x00", "|")
}

func TestReplies(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		now := stampNow() // and stays, for times to live
		s := start(t, Options{DB: kv.New(kvmem.New(func() base.Stamp { return now }), time.Now)})
		for _, tc := range replies {
			t.Run(tc.name+"/"+proto, func(t *testing.T) {
				want := tc.resp2
				if proto == "3" && tc.resp3 != "" {
					want = tc.resp3
				}
				c := s.dial(t)
				c.send("FLUSHALL\r\n")
				c.expect("+OK\r\n")
				if proto == "3" {
					c.send("CLIENT REPLY OFF\r\nHELLO 3\r\nCLIENT REPLY ON\r\n")
					c.expect("+OK\r\n")
				}
				c.send(lines(tc.send) + "QUIT\r\n")
				c.expectEnd(wire(want) + "+OK\r\n")
			})
		}
	}
}

func TestHelloReply(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.send("HELLO 3\r\nHELLO 2\r\n")
	c.expect(crlf("%7|$6|server|$6|strata|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|master|$7|modules|*0|"))
	c.expect(crlf("*14|$6|server|$6|strata|$7|version|$5|7.2.4|$5|proto|:2|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|master|$7|modules|*0|"))
}

func TestExpiryDirtiesAWatch(t *testing.T) {
	s, e := startLate(t)
	e.auto = true
	e.now.Store(1_000_000)
	c := s.dial(t)
	c.send("SET k v PX 100\r\nWATCH k\r\nMULTI\r\nPING\r\n")
	c.expect(crlf("+OK|+OK|+OK|+QUEUED|"))
	e.now.Store(1_000_100)
	c.send("EXEC\r\nEXISTS k\r\n")
	c.expect(crlf("*-1|:0|"))
}

func TestWatch(t *testing.T) {
	s := start(t, Options{})
	c, other := s.dial(t), s.dial(t)
	c.send("SET k 1\r\nWATCH k\r\nGET k\r\n")
	c.expect(crlf("+OK|+OK|$1|1|"))
	other.send("INCR k\r\n")
	other.expect(":2\r\n")
	c.send("MULTI\r\nSET k 9\r\nEXEC\r\nGET k\r\nWATCH k\r\nMULTI\r\nINCR k\r\nEXEC\r\n")
	c.expect(crlf("+OK|+QUEUED|*-1|$1|2|+OK|+OK|+QUEUED|*1|:3|"))
	c.send("WATCH k\r\nSET k 5\r\nUNWATCH\r\nMULTI\r\nINCR k\r\nEXEC\r\n")
	c.expect(crlf("+OK|+OK|+OK|+OK|+QUEUED|*1|:6|"))
}
