package redis

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/latency"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/test/process"
)

// monitorTalk is what a client does while another one looks on.
const monitorTalk = `SET k v|GET k|AUTH x y|HELLO 2 AUTH default zz|ACL SETUSER q >x|CONFIG GET maxclients|CONFIG SET timeout 0|MULTI|SET a 1|SELECT 2|GET a|EXEC|SELECT 0|MULTI|GET a|DISCARD
	BLPOP nol 0.01|PING|CLIENT GETNAME|NOPE|GET|INCR k|WATCH k|UNWATCH|EXPIRE k 100|SUBSCRIBE x|UNSUBSCRIBE|SLOWLOG LEN|LATENCY LATEST|PUBSUB NUMPAT|INFO nothing|MULTI|GET|EXEC|DBSIZE|CLIENT LIST ID 99|EVAL return_redis.call('set',KEYS[1],1)~redis.call('get','y') 1 x|EVAL return_redis.call('nope') 0|MULTI|EVAL return_redis.call('incr','y') 0|SELECT 3|GET y|EXEC|SELECT 0|ECHO last`

// told are the lines of a monitor up to one, without times and addresses.
func (c *rawConn) told(last string) string {
	text := c.through(last + "\"\r\n")
	return regexp.MustCompile(`\+[0-9]+\.[0-9]{6} \[([0-9]+) [0-9.:]+\]`).ReplaceAllString(strings.ReplaceAll(text, " lua]", " 0.0.0.0:0]"), "[$1]")
}

// TestMonitorAgrees: a monitor is told what a real server tells it.
func TestMonitorAgrees(t *testing.T) {
	lines := map[bool]string{}
	for _, real := range []bool{false, true} {
		s := &testServer{}
		if real {
			s.addr = process.Redis(t)
		} else {
			s = start(t, Options{})
		}
		looks, does := s.dial(t), s.dial(t)
		looks.gets("+OK|", "MONITOR")
		for _, command := range strings.Split(strings.ReplaceAll(monitorTalk, "\n\t", "|"), "|") {
			words := strings.Fields(command)
			for i := range words {
				if words[0] == "EVAL" {
					words[i] = strings.NewReplacer("_", " ", "~", ",").Replace(words[i])
				}
			}
			does.sendWords(words...)
		}
		does.sendWords("ECHO", "a\"b\\c\n\r\t\a\b\x00\xff")
		does.sendWords("ECHO", "end")
		lines[real] = looks.told("end")
		looks.says("RESET")
		does.sendWords("SET", "unseen", "x")
		looks.gets("+PONG|", "PING")
	}
	ours, theirs := strings.Split(lines[false], "\r\n"), strings.Split(lines[true], "\r\n")
	for i := range max(len(ours), len(theirs)) {
		if i >= len(ours) || i >= len(theirs) || ours[i] != theirs[i] {
			t.Fatalf("line %d\n  here   %q\n  server %q", i, ours[i:], theirs[i:])
		}
	}
}

// TestMonitorIsBounded: a monitor that does not read is disconnected, and nobody waits for it; the
// last one's end is noticed.
func TestMonitorIsBounded(t *testing.T) {
	s := start(t, Options{})
	stuck, does := s.dial(t), s.dial(t)
	stuck.gets("+OK|", "MONITOR")
	if list := does.says("CLIENT", "LIST"); !strings.Contains(list, " flags=O ") {
		t.Error(list)
	}
	value := strings.Repeat("x", 1<<20)
	for range 2 * limits.SubscriberOutputBytes >> 20 {
		does.sendWords("SET", "k", value)
		does.expect("+OK\r\n")
	}
	eventually(t, func() bool { return s.special.Load() == 0 })
	if list := does.says("CLIENT", "LIST"); strings.Contains(list, " flags=O ") {
		t.Error(list)
	}
}

// TestSlowlog: what takes long is in the slow log, with what is kept of its arguments.
func TestSlowlog(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.gets("*0|", "SLOWLOG GET")
	c.gets("+OK|", "CONFIG SET slowlog-log-slower-than 1000000")
	c.gets("+OK|", "CLIENT SETNAME me")
	c.gets("+OK|", "DEBUG SLEEP 1.05")
	got := c.says("SLOWLOG", "GET")
	if !regexp.MustCompile(`^\*1\|\*6\|:0\|:[0-9]{10}\|:[1-9][0-9]{6}\|\*3\|\$5\|DEBUG\|\$5\|SLEEP\|\$4\|1.05\|\$[0-9]+\|127.0.0.1:[0-9]+\|\$2\|me\|$`).MatchString(got) {
		t.Error(got)
	}
	long := append([]string{"MSET"}, strings.Fields(strings.Repeat("k v ", 16))...)
	long[2] = strings.Repeat("x", 130)
	for _, x := range [][2]string{
		{":1|", "SLOWLOG LEN"}, {"+OK|", "BLPOP nothing 1.2"}, {":1|", "SLOWLOG LEN"}, {"+OK|", "SLOWLOG RESET"}, {":0|", "SLOWLOG LEN"},
		{"+OK|", "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3"}, {"+OK|", "ACL SETUSER x >secret"}, {"+OK|", "CONFIG SET timeout 0"}, {"$-1|", "GET pipelined"},
	} {
		if strings.HasPrefix(x[1], "BLPOP") {
			x[0] = "*-1|"
		}
		c.gets(x[0], x[1])
	}
	c.sendWords(long...)
	c.expect("+OK\r\n")
	c.gets(":3|", "SLOWLOG LEN")
	c.gets("+OK|", "CONFIG SET slowlog-log-slower-than -1")
	got = c.says("SLOWLOG", "GET", "-1")
	if want := "|*32|$4|MSET|$1|k|$146|" + strings.Repeat("x", 128) + "... (2 more bytes)|"; !strings.Contains(got, want) || !strings.Contains(got, "|$1|v|$22|... (2 more arguments)|") {
		t.Error(got)
	}
	c.gets("+OK|", "CONFIG SET slowlog-log-slower-than 0")
	c.send(arrays("PING|PING|GET a|GET b|ACL SETUSER y >secret"))
	c.expect(crlf("+PONG|+PONG|$-1|$-1|+OK|"))
	if got = c.says("SLOWLOG", "GET"); !strings.HasPrefix(got, "*3|") || !strings.Contains(got, "|$1|a|") || !strings.Contains(got, "*4|$3|ACL|$7|SETUSER|$10|(redacted)|$10|(redacted)|") {
		t.Error(got)
	}
	c.gets("+OK|", "CONFIG SET slowlog-max-len 1")
	c.gets(":1|", "SLOWLOG LEN")
	c.gets("+OK|", "CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 128")
	c.gets("+OK|", "SLOWLOG RESET")
	c.gets("+OK|", "DEBUG SLEEP 0.02")
	c.gets(":0|", "SLOWLOG LEN")
	c.gets("+OK|", "CONFIG SET slowlog-log-slower-than 10000")
}

// TestWatcherWordsAgree: calls that are wrong, and those of an idle server.
func TestWatcherWordsAgree(t *testing.T) {
	here, there := start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	for _, words := range []string{
		"SLOWLOG", "SLOWLOG NOPE", "SLOWLOG GET x", "SLOWLOG GET -2", "SLOWLOG GET 1 2", "SLOWLOG GET", "SLOWLOG LEN", "SLOWLOG LEN x", "SLOWLOG HELP", "CONFIG SET slowlog-max-len x", "CONFIG GET slowlog*",
		"LATENCY", "LATENCY NOPE", "LATENCY DOCTOR", "LATENCY GRAPH x", "LATENCY HISTORY x", "LATENCY LATEST", "LATENCY RESET", "LATENCY RESET x y", "LATENCY HISTOGRAM nope", "LATENCY HELP", "CONFIG GET latency*",
		"CONFIG SET latency-monitor-threshold 100", "LATENCY DOCTOR", "CONFIG SET latency-tracking x",
	} {
		ours, theirs := here.says(strings.Fields(words)...), there.says(strings.Fields(words)...)
		if strings.HasPrefix(words, "CONFIG GET") { // in no order
			ours, theirs = sortedPairs(ours), sortedPairs(theirs)
		}
		if ours != strings.ReplaceAll(theirs, "Prints this", "Print this") {
			t.Errorf("%s\n  here   %q\n  server %q", words, ours, theirs)
		}
	}
}

// sortedPairs is a reply of names and values in the order of the names.
func sortedPairs(reply string) string {
	lines := strings.Split(strings.TrimSuffix(reply, "|"), "|")
	var pairs []string
	for i := 1; i+3 < len(lines); i += 4 {
		pairs = append(pairs, strings.Join(lines[i:i+4], "|"))
	}
	return fmt.Sprint(lines[0], slices.Sorted(slices.Values(pairs)))
}

// TestLatency: commands that take longer than the threshold are events, and all are in histograms.
func TestLatency(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.gets("+OK|", "CONFIG SET latency-monitor-threshold 5")
	c.gets("+OK|", "DEBUG SLEEP 0.01")
	got := c.says("LATENCY", "LATEST")
	if !regexp.MustCompile(`^\*1\|\*4\|\$7\|command\|:[0-9]{10}\|:[1-9][0-9]*\|:[1-9][0-9]*\|$`).MatchString(got) {
		t.Error(got)
	}
	if got = c.says("LATENCY", "HISTORY", "command"); !strings.Contains(got, "|*2|:") {
		t.Error(got)
	}
	if got = c.says("LATENCY", "GRAPH", "command"); !strings.Contains(got, "command - high ") || !strings.Contains(got, "all time high") {
		t.Error(got)
	}
	if got = c.says("LATENCY", "DOCTOR"); !regexp.MustCompile(`\|1\. command: [1-9][0-9]* latency spikes \(average `).MatchString(strings.ReplaceAll(got, "\n", "|")) {
		t.Error(got)
	}
	c.gets(":1|", "LATENCY RESET command other")
	for range 5 {
		c.gets("+OK|", "SET k v")
	}
	c.gets("$1|v|", "GET k")
	got = c.says("LATENCY", "HISTOGRAM", "SET", "client", "nope", "config")
	if !strings.HasPrefix(got, "*4|$3|set|*4|$5|calls|:5|$14|histogram_usec|*") || !strings.Contains(got, "$10|config|set|*4|$5|calls|:1|") {
		t.Error(got)
	}
	if got = c.says("INFO", "latencystats"); !regexp.MustCompile(`\|latency_percentiles_usec_set:p50=[0-9]+\.[0-9]{3},p99=[0-9.]+,p99.9=[0-9.]+\|`).MatchString(got) {
		t.Error(got)
	}
	if got = c.says("INFO", "commandstats"); !regexp.MustCompile(`\|cmdstat_set:calls=5,usec=[0-9]+,usec_per_call=[0-9.]+,rejected_calls=0,failed_calls=0\|`).MatchString(got) {
		t.Error(got)
	}
	c.gets("+OK|", "CONFIG RESETSTAT")
	c.gets("*0|", "LATENCY HISTOGRAM set get")
	c.gets("+OK|", "CONFIG SET latency-tracking no")
	c.gets("$1|v|", "GET k")
	c.gets("*0|", "LATENCY HISTOGRAM get")
}

// TestMeasuredAreAll: in a pipeline one in 16 of the brief commands stands for the others.
func TestMeasuredAreAll(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	const n = 16 * 40
	c.send(strings.Repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", n))
	c.expect(strings.Repeat("$-1\r\n", n))
	var h *latency.Histogram
	s.table.Each(func(cmd *Command) {
		if cmd.FullName() == "get" {
			h = &s.times[cmd.Number()]
		}
	})
	if got := h.Count(); got < n-64 || got > n+64 {
		t.Errorf("%d commands are counted as %d", n, got)
	}
	if h.Percentile(100) > 10*time.Second {
		t.Error(h.Percentile(100))
	}
}
