package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

// TestLoopsOverSeveralRanges: a loop executes what lies in one range. What turns out to
// need several is taken elsewhere, and is executed once.
func TestLoopsOverSeveralRanges(t *testing.T) {
	family := func() []Command {
		return []Command{{Name: "test.where", Summary: "Writes keys and tells who does it.", Since: "0.1.0", Group: command.GroupGeneric, Arity: -2,
			Flags: command.FlagWrite, Keys: command.AllKeys, Handler: func(c *Call) error {
				for _, key := range c.Args[1:] {
					row := c.DB.AppendHeaderKey(nil, key)
					if _, err := c.Txn.Get(row); err != nil {
						return err
					}
					c.Txn.Clear(row)
				}
				where := "goroutine"
				if c.x.kvs.Prompt {
					where = "loop"
				}
				c.W.SimpleString(where)
				return nil
			}}}
	}
	s := start(t, Options{DB: rangesDB(t, time.Now), Families: append(families(), family)})
	if len(s.loops) == 0 {
		t.Skip("no loops here")
	}
	var low, high []string // on both sides of a cut of database 0
	for i := 0; len(low) < 3 || len(high) < 3; i++ {
		key := fmt.Sprintf("k%d", i)
		if hashslot.Slot([]byte(key)) < 8000 {
			low = append(low, key)
		} else {
			high = append(high, key)
		}
	}
	l := s.line(t)
	for _, key := range []string{low[0], high[0]} { // whose fences are not there yet
		l.says("TEST.WHERE "+key, "goroutine")
		l.says("TEST.WHERE "+key, "loop")
	}
	l.says("TEST.WHERE "+low[0]+" "+low[1], "loop")
	l.says("TEST.WHERE "+low[0]+" "+high[0], "goroutine") // it may leave locks for a moment
	l.says("TEST.WHERE "+high[1]+" "+high[2], "loop")
	l.script("MULTI\nTEST.WHERE " + low[1] + " => QUEUED\nTEST.WHERE " + low[2] + " => QUEUED\nEXEC => [loop loop]")
	l.script("WATCH " + low[0] + "\nMULTI\nTEST.WHERE " + low[0] + " => QUEUED\nTEST.WHERE " + high[0] + " => QUEUED\nEXEC => [goroutine goroutine]")
	l.script("WATCH " + low[0] + "\nMULTI\nGET " + high[1] + " => QUEUED")
	s.line(t).script("SET " + low[0] + " v")
	l.script("EXEC => nil\nEXEC => ERR EXEC without MULTI")

	calls := s.table.Resolve([][]byte{[]byte("mset")}).Stats.Calls.Load()
	c := s.dial(t)
	c.send("CLIENT REPLY SKIP\r\nMSET " + low[0] + " 1 " + high[0] + " 2\r\nMGET " + high[0] + " " + low[0] + "\r\n")
	c.expect(crlf("*2|$1|2|$1|1|"))
	if n := s.table.Resolve([][]byte{[]byte("mset")}).Stats.Calls.Load() - calls; n != 1 {
		t.Errorf("MSET was called %d times", n)
	}
}

// stopped is a clock by which no connection is ever quiet for long.
func stopped() func() time.Time {
	now := time.Now()
	return func() time.Time { return now }
}

// TestLoopLeavesMore: a connection leaves its loop while more has arrived than its buffer takes.
func TestLoopLeavesMore(t *testing.T) {
	c := start(t, Options{DB: kv.New(newFar(), time.Now), ManualExpiry: true, Now: stopped()}).dial(t)
	for _, n := range []int{10, 1000, 5000} {
		c.send(strings.Repeat(arrays("INCR a|GET n|PING"), n))
		c.send(arrays(fmt.Sprintf("GETDEL a|ECHO end%d", n)))
		got := c.through(fmt.Sprintf("end%d\r\n", n))
		if want := fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(n)), n); !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}
