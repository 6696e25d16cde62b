package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/test/process"
)

// keyTalk is about keys, strings and hashes, which have no talk of their own.
var keyTalk = strings.Split(`SET k v|SET k v|GET k|GET nope|SET k w EX 100|SETEX k 100 v|PSETEX k 100000 v|SETNX k x|SETNX n 1|GETSET n 2|GETDEL n|GETDEL n|GETEX k PERSIST
	GETEX k EX 100|APPEND k xyz|SETRANGE k 2 abc|INCR i|INCRBY i 5|DECR i|DECRBY i 2|INCRBYFLOAT i 0.5|MSET a 1 b 2|MSETNX a 1 c 3|MSETNX c 1 d 2|EXPIRE k 100|PEXPIRE k 100000
	EXPIRE nope 1|EXPIREAT k 9999999999|PERSIST k|PERSIST k|EXPIRE k -1|RENAME a e|RENAMENX e b|RENAMENX e f|COPY f g|COPY f g|COPY f g REPLACE|MOVE g 1|DEL b c nope|UNLINK d
	HSET h f v g w|HSET h f v|HSETNX h f x|HSETNX h n x|HINCRBY h i 2|HINCRBYFLOAT h i 0.5|HDEL h nope|HDEL h f g|HDEL h n i|HMSET h a 1 b 2|HGETDEL h a|TOUCH f|EXISTS nope|TYPE nope
	SET s text|STRLEN s|SETBIT s 3 1|GETRANGE nope 0 1|MGET s nope|RPUSH l a|SORT l STORE o|SORT nope STORE o|SET x 1 NX GET|SET x 2 GET|SET y 1 XX|FLUSHDB|SET after flush`, "|")

// TestEventsAgree: what somebody hears who listens to all keyspace events is what a real
// server says, command by command.
func TestEventsAgree(t *testing.T) {
	long(t)
	talks := map[string][]string{"keys": keyTalk, "lists": listTalk, "sets": setTalk, "zsets": zsetTalk, "bitmaps": bitmapTalk, "hyperloglogs": hyperloglogTalk,
		"places": geoTalk, "streams": streamTalk}
	for name, talk := range talks {
		t.Run(name, func(t *testing.T) {
			s, server := start(t, Options{}), &testServer{addr: process.Redis(t)}
			here, there := [2]*rawConn{s.dial(t), s.dial(t)}, [2]*rawConn{server.dial(t), server.dial(t)}
			for _, pair := range [][2]*rawConn{here, there} {
				flags := "KEAn" // when a key is missed, Redis says so also where a command fails, and not where one blocks
				if name == "keys" {
					flags += "m"
				}
				pair[1].send(arrays("CONFIG SET notify-keyspace-events " + flags + "|ECHO ready"))
				pair[1].through("ready\r\n")
				pair[0].send(arrays("PSUBSCRIBE __key*__:*|PING ready"))
				pair[0].through("ready\r\n")
			}
			for i, command := range talk {
				command = strings.TrimSpace(command)
				if strings.HasPrefix(command, "XREADGROUP GROUP g2 c") { // since 7.2 there is a consumer, though there is nothing for it
					events(here, command, i)
					events(there, command, i)
					continue
				}
				if ours, theirs := events(here, command, i), events(there, command, i); !slices.Equal(ours, theirs) {
					t.Errorf("%s\n  here   %q\n  server %q", command, ours, theirs)
				}
			}
		})
	}
}

// events are what the first client hears of a command of the second one.
func events(pair [2]*rawConn, command string, i int) (list []string) {
	pair[1].answer(command, fmt.Sprint("end", i))
	pair[1].answer("SET marker x", fmt.Sprint("marked", i))
	all := pair[0].through("__keyevent@0__:set\r\n$6\r\nmarker\r\n")
	for _, m := range strings.Split(all, "*4\r\n$8\r\npmessage\r\n")[1:] {
		parts := strings.Split(m, "\r\n")
		if e := parts[3] + " " + parts[5]; !strings.Contains(e, "marker") {
			list = append(list, e)
		}
	}
	return list
}

// TestEventFlags: which events there are is chosen by letters.
func TestEventFlags(t *testing.T) {
	s := start(t, Options{})
	listener, c := s.dial(t), s.dial(t)
	listener.talk("PSUBSCRIBE *", "*3|$10|psubscribe|$1|*|:1|")
	hears := func(channel, payload string) {
		t.Helper()
		listener.expect(crlf(fmt.Sprintf("*4|$8|pmessage|$1|*|$%d|%s|$%d|%s|", len(channel), channel, len(payload), payload)))
	}
	for _, x := range []struct{ set, get string }{{"KEA", "AKE"}, {"g$lshzxetdKE", "AKE"}, {"Kgxn", "gxnK"}, {"EmnA", "AEm"}, {"", ""}, {"K", "K"}} {
		c.talk("CONFIG SET notify-keyspace-events \""+x.set+"\"|CONFIG GET notify-keyspace-events",
			fmt.Sprintf("+OK|*2|$22|notify-keyspace-events|$%d|%s|", len(x.get), x.get))
	}
	c.talk("CONFIG SET notify-keyspace-events Kq",
		"-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.|")
	c.talk("SET k v|CONFIG SET notify-keyspace-events Kg|SET k v|DEL k", "+OK|+OK|+OK|:1|")
	hears("__keyspace@0__:k", "del")
	c.talk("CONFIG SET notify-keyspace-events E$x|SET k v|SELECT 3|SET k v PX 1", "+OK|+OK|+OK|+OK|")
	hears("__keyevent@0__:set", "k")
	hears("__keyevent@3__:set", "k")
	hears("__keyevent@3__:expired", "k") // by the server itself
	c.talk("SELECT 0|BEGIN|SET k v|ROLLBACK|MULTI|SET k v|INCR k|EXEC", "+OK|+OK|+OK|+OK|+OK|+QUEUED|+QUEUED|*2|+OK|-ERR value is not an integer or out of range|")
	hears("__keyevent@0__:set", "k")
	c.talk("BEGIN|SET l v|COMMIT", "+OK|+OK|+OK|")
	hears("__keyevent@0__:set", "l")
}

// TestExpiredOnce: a key that several clients find overdue has expired once.
func TestExpiredOnce(t *testing.T) {
	s := start(t, Options{})
	listener, c := s.dial(t), s.dial(t)
	listener.talk("SUBSCRIBE __keyevent@0__:expired end", "*3|$9|subscribe|$22|__keyevent@0__:expired|:1|*3|$9|subscribe|$3|end|:2|")
	c.talk("CONFIG SET notify-keyspace-events Ex", "+OK|")
	const keys = 50
	for i := range keys {
		c.talk(fmt.Sprintf("SET k%d v PX 1", i), "+OK|")
	}
	others := [4]*rawConn{s.dial(t), s.dial(t), s.dial(t), s.dial(t)}
	<-time.After(2 * time.Millisecond)
	for i := range keys {
		for _, o := range others {
			o.send(fmt.Sprintf("GET k%d\r\n", i))
		}
	}
	for _, o := range others {
		o.expect(strings.Repeat("$-1\r\n", keys))
	}
	heard := map[string]int{}
	for range keys {
		frame := listener.through("__keyevent@0__:expired\r\n$")
		key := listener.through("\r\n")
		key = strings.TrimSpace(listener.through("\r\n"))
		if heard[key]++; heard[key] > 1 || !strings.Contains(frame, "message") {
			t.Errorf("%q expired %d times", key, heard[key])
		}
	}
	c.talk("PUBLISH end x", ":1|")
	listener.expect(crlf("*3|$7|message|$3|end|$1|x|"))
}

// TestLookupsAreCounted: INFO tells how many keys commands that read have found.
func TestLookupsAreCounted(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.talk("SET k v|GET k|GET none|HGET k f|MGET k none k|STRLEN none|TTL k|TYPE none", "+OK|$1|v|$-1|-WRONGTYPE Operation against a key holding the wrong kind of value|*3|$1|v|$-1|$1|v|:0|:-1|+none|")
	counts := func(want string) {
		t.Helper()
		c.send("INFO stats\r\n")
		c.through("keyspace_hits:")
		if got := c.through("\r\n") + c.through("\r\n"); got != want {
			t.Errorf("hits and misses: %q, want %q", got, want)
		}
		c.send("PING end\r\n")
		c.through("end\r\n")
	}
	counts("5\r\nkeyspace_misses:4\r\n")
	c.talk("CONFIG RESETSTAT", "+OK|")
	counts("0\r\nkeyspace_misses:0\r\n")
}
