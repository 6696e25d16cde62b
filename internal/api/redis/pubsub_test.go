package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/test/process"
)

// pubsubTalk is who says what: a and b subscribe, in RESP2 and RESP3, c publishes.
const pubsubTalk = `
	a SUBSCRIBE news|b SUBSCRIBE news|b PSUBSCRIBE n*|c PUBLISH news hello|c PUBLISH nobody x|c PUBLISH other|a SUBSCRIBE|a SUBSCRIBE news
	a SUBSCRIBE more news|c PUBLISH more text|c PUBLISH news 2|a GET k|a SET k v|a PUBLISH news x|a PING|a PING text|a PING too many|a HELLO|a NOPE
	a CLIENT ID|a MULTI|a PSUBSCRIBE m?re [a-c]x|c PUBLISH more again|c PUBLISH bx y|c PUBLISH dx y|c PUBSUB CHANNELS n*|c PUBSUB CHANNELS mo*|c PUBSUB CHANNELS a b
	c PUBSUB NUMSUB|c PUBSUB NUMSUB news more nobody|b PUBSUB NUMSUB news|c PUBSUB NUMPAT|c PUBSUB NUMPAT x|c PUBSUB NOPE|c PUBSUB
	b GET k|b PUBLISH news own|b UNSUBSCRIBE nobody|b PUNSUBSCRIBE nobody|c PUBLISH news 3|b UNSUBSCRIBE|b UNSUBSCRIBE|c PUBLISH news 4|b PUNSUBSCRIBE|b PUNSUBSCRIBE
	c PUBLISH news 5|a UNSUBSCRIBE more|a PUNSUBSCRIBE m?re|c PUBLISH more none|a SSUBSCRIBE {s}1|c SPUBLISH {s}1 shard|c PUBLISH {s}1 none|c SPUBLISH news none|b SSUBSCRIBE {s}1 {s}2
	c SPUBLISH {s}1 both|c SPUBLISH {s}2 one|c PUBSUB SHARDCHANNELS *2|c PUBSUB SHARDCHANNELS *1|c PUBSUB SHARDNUMSUB {s}1 {s}2 x|c PUBSUB NUMSUB {s}1|a SUNSUBSCRIBE {s}1|a SUNSUBSCRIBE
	b SUNSUBSCRIBE {s}2|c SPUBLISH {s}1 last|a UNSUBSCRIBE news|a PUNSUBSCRIBE [a-c]x|a GET k|a PING|a PUBLISH news x|a SUBSCRIBE again|a RESET|a GET k|c PUBLISH again none
	b RESET|b PING|c PUBSUB CHANNELS|c SUBSCRIBE own|c PUBSUB CHANNELS|c UNSUBSCRIBE own|c PUBLISH own x|a SUBSCRIBE '' |c PUBLISH '' empty|a QUIT`

// trio are three clients of one server.
func (s *testServer) trio(t *testing.T) map[string]*rawConn {
	trio := map[string]*rawConn{"a": s.dial(t), "b": s.dial(t), "c": s.dial(t)}
	trio["b"].send(arrays("HELLO 3|ECHO ready"))
	trio["b"].through("ready\r\n")
	return trio
}

// TestPubsubAgrees: what each of three clients is sent is what a real server sends.
func TestPubsubAgrees(t *testing.T) {
	here, there := start(t, Options{}).trio(t), (&testServer{addr: process.Redis(t)}).trio(t)
	steps := strings.Split(strings.NewReplacer("\n\t", "|", "''", "\"\"").Replace(strings.TrimSpace(pubsubTalk)), "|")
	for i, step := range steps {
		who, command, _ := strings.Cut(strings.TrimSpace(step), " ")
		if strings.Contains(command, "CLIENT ID") || strings.Contains(command, "HELLO") {
			command = strings.ToLower(command) // refused, so that nothing of the two differs
		}
		here[who].send(arrays(command))
		there[who].send(arrays(command))
		for _, c := range []string{"a", "b", "c"} {
			if command == "QUIT" {
				break
			}
			ours, theirs := here[c].heard(i), there[c].heard(i)
			if ours != theirs {
				t.Errorf("%s\n  %s heard here %q\n  of the server %q", step, c, ours, theirs)
			}
		}
	}
}

// heard is all that a client was sent, a PING of its own included.
func (c *rawConn) heard(i int) string {
	c.send(arrays(fmt.Sprintf("PING end%d", i)))
	return c.through(fmt.Sprintf("end%d\r\n", i))
}

// TestPublishInTransactions: what a transaction publishes is sent when it has committed, once,
// and not if it fails.
func TestPublishInTransactions(t *testing.T) {
	s := start(t, Options{})
	listener, c, other := s.dial(t), s.dial(t), s.dial(t)
	listener.talk("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|")
	hears := func(payload string) {
		t.Helper()
		listener.expect(crlf(fmt.Sprintf("*3|$7|message|$4|news|$%d|%s|", len(payload), payload)))
	}
	c.talk("MULTI|SET k v|PUBLISH news one|EXEC", "+OK|+QUEUED|+QUEUED|*2|+OK|:1|")
	hears("one")
	c.talk("MULTI|PUBLISH news none|DISCARD", "+OK|+QUEUED|+OK|")
	c.talk("WATCH k|MULTI|PUBLISH news none", "+OK|+OK|+QUEUED|")
	other.talk("SET k w", "+OK|")
	c.talk("EXEC", "*-1|")
	c.talk("MULTI|PUBLISH news none|INCR k k|EXEC", "+OK|+QUEUED|-ERR wrong number of arguments for 'incr' command|-EXECABORT Transaction discarded because of previous errors.|")
	c.talk("BEGIN|SET k x|PUBLISH news none|ROLLBACK", "+OK|+OK|:1|+OK|")
	c.talk("BEGIN|SET k x|PUBLISH news two|COMMIT", "+OK|+OK|:1|+OK|")
	hears("two")
	c.talk("PUBLISH news three", ":1|")
	hears("three")
}

// TestNamespacesHearTheirOwn: channels of different namespaces have nothing to do with each other.
func TestNamespacesHearTheirOwn(t *testing.T) {
	s := start(t, Options{})
	a, b := s.dial(t), s.dial(t)
	b.talk("NAMESPACE CREATE shop|NAMESPACE USE shop|SUBSCRIBE news", "+OK|+OK|*3|$9|subscribe|$4|news|:1|")
	a.talk("PUBLISH news x|PUBSUB NUMSUB news|NAMESPACE USE shop|PUBLISH news y", ":0|*2|$4|news|:0|+OK|:1|")
	b.expect(crlf("*3|$7|message|$4|news|$1|y|"))
}

// TestSubscribersEnd: who leaves has no subscriptions, and is counted nowhere.
func TestSubscribersEnd(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	for range 20 {
		leaves := s.dial(t)
		leaves.talk("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|")
		if err := leaves.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); s.broker.Counts() != [pubsub.Pattern + 1]int{}; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v names have subscribers", s.broker.Counts())
		}
	}
	c.talk("PUBLISH news x", ":0|")
}

// TestSubscriberThatDoesNotRead is disconnected, and costs nobody else anything.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	s := start(t, Options{})
	lazy, eager, c := s.dial(t), s.dial(t), s.dial(t)
	lazy.talk("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|")
	eager.talk("SUBSCRIBE news", "*3|$9|subscribe|$4|news|:1|")
	payload := strings.Repeat("x", 1<<20)
	for i := 0; ; i++ {
		if i > 10*limits.SubscriberOutputBytes/len(payload) {
			t.Fatal("it is still there")
		}
		c.send(arrays("PUBLISH news " + payload))
		n := c.through("\r\n")
		eager.expect(crlf(fmt.Sprintf("*3|$7|message|$4|news|$%d|%s|", len(payload), payload)))
		if n == ":1\r\n" {
			return
		}
	}
}

// TestSubscriptionsAreBounded: a client cannot fill the memory with names.
func TestSubscriptionsAreBounded(t *testing.T) {
	c := start(t, Options{}).dial(t)
	long := strings.Repeat("x", limits.SubscriptionBytes/32)
	says := func(what, name string, count int) {
		t.Helper()
		c.send(arrays(what + " " + name))
		c.expect(crlf(fmt.Sprintf("*3|$%d|%s|$%d|%s|:%d|", len(what), what, len(name), name, count)))
	}
	for i := range 31 {
		says("subscribe", fmt.Sprintf("%02d%s", i, long), i+1)
	}
	c.send(arrays("SUBSCRIBE 40" + long))
	c.expect("-ERR too many subscriptions\r\n")
	says("unsubscribe", "01"+long, 30)
	says("subscribe", "40"+long, 31)
}

func TestPubsubRowsAgree(t *testing.T) { familiesAgree(t, pubsubCommands) }
