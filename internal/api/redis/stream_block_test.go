package redis

import (
	"fmt"
	"testing"
)

// TestReadersDoNotWaitForOneAnother: an entry goes to all who wait for it, whoever else
// waits for something else at the key, and for longer.
func TestReadersDoNotWaitForOneAnother(t *testing.T) {
	s := start(t, Options{})
	other := s.dial(t)
	s.blocks(s.dial(t), "BLPOP s 0")
	other.talk("XGROUP CREATE s g 0 MKSTREAM|XGROUP CREATE s ahead 9-0", "+OK|+OK|")
	waits := []string{"XREAD BLOCK 0 STREAMS s 100", "XREADGROUP GROUP ahead c BLOCK 0 STREAMS s >"}
	serves := []string{"XREAD BLOCK 0 STREAMS s 0", "XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"}
	for _, command := range waits {
		s.blocks(s.dial(t), command)
	}
	var clients []*rawConn
	for _, command := range serves {
		c := s.dial(t)
		s.blocks(c, command)
		clients = append(clients, c)
	}
	other.talk("XADD s 1-1 f v", "$3|1-1|")
	for _, c := range clients {
		c.expect(crlf("*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"))
	}
}

// TestTypesDoNotWaitForOneAnother: who waits for a list does not hold up who waits for a
// sorted set.
func TestTypesDoNotWaitForOneAnother(t *testing.T) {
	s := start(t, Options{})
	list, zset, other := s.dial(t), s.dial(t), s.dial(t)
	s.blocks(list, "BLPOP k 0")
	s.blocks(zset, "BZPOPMIN k 0")
	other.talk("ZADD k 1 a", ":1|")
	zset.expect(crlf("*3|$1|k|$1|a|$1|1|"))
	other.talk("RPUSH k b", ":1|")
	list.expect(crlf("*2|$1|k|$1|b|"))
}

// TestGroupInTurn: those who wait in a group get entries in the order in which they came, each
// entry once.
func TestGroupInTurn(t *testing.T) {
	s := start(t, Options{})
	other := s.dial(t)
	other.talk("XGROUP CREATE s g $ MKSTREAM", "+OK|")
	var clients []*rawConn
	for i := range 20 {
		c := s.dial(t)
		s.blocks(c, fmt.Sprintf("XREADGROUP GROUP g c%d COUNT 1 BLOCK 0 STREAMS s >", i))
		clients = append(clients, c)
	}
	for i := range clients {
		other.send(arrays(fmt.Sprintf("XADD s %d-0 f v", i+1)))
	}
	for i, c := range clients {
		id := fmt.Sprintf("%d-0", i+1)
		c.expect(crlf(fmt.Sprintf("*1|*2|$1|s|*1|*2|$%d|%s|*2|$1|f|$1|v|", len(id), id)))
	}
	// Who comes meanwhile is told at once that there is no group.
	late := s.dial(t)
	s.blocks(clients[0], "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
	late.talk("XREADGROUP GROUP none c BLOCK 0 STREAMS s >", "-NOGROUP No such key 's' or consumer group 'none' in XREADGROUP with GROUP option|")
}

// TestPollingChangesNothing: a consumer that finds nothing wakes nobody.
func TestPollingChangesNothing(t *testing.T) {
	s := start(t, Options{})
	a, b := s.dial(t), s.dial(t)
	a.talk("XGROUP CREATE s g $ MKSTREAM|XREADGROUP GROUP g c STREAMS s >|WATCH s", "+OK|*-1|+OK|")
	b.talk("XREADGROUP GROUP g c STREAMS s >|XREADGROUP GROUP g c BLOCK 1 STREAMS s >", "*-1|*-1|")
	a.talk("MULTI|SET k v|EXEC", "+OK|+QUEUED|*1|+OK|")
}

// TestLastEntry: + is the last entry of a stream, as long as there is one.
func TestLastEntry(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.talk("XADD s 1-1 f v|XADD s 2-1 f w|XREAD STREAMS s +|XDEL s 2-1|XREAD STREAMS s +|XTRIM s MAXLEN 0|XREAD STREAMS s +|XREAD STREAMS none +",
		"$3|1-1|$3|2-1|*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|w|:1|*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|:1|*-1|*-1|")
	c.talk("XGROUP CREATE s g $|XREADGROUP GROUP g c STREAMS s +", "+OK|-ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by "+
		"specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.|")
}
