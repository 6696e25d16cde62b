package redis

import (
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stratadb/strata/test/process"
)

// fieldsOf are the names of what INFO tells, by section.
func fieldsOf(reply string) map[string][]string {
	fields, section := map[string][]string{}, ""
	for _, line := range strings.Split(reply, "|") {
		name, _, found := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "# "):
			section = line[2:]
		case found:
			fields[section] = append(fields[section], name)
		}
	}
	return fields
}

// TestInfoTellsAll: INFO has every field of a real server that is about something which is here.
func TestInfoTellsAll(t *testing.T) {
	here, there := start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	for _, c := range []*rawConn{here, there} {
		c.gets("+OK|", "SET k v")
		c.gets("$1|v|", "GET k")
		c.gets(":1|", "EXPIRE k 1000")
		c.says("NOPE")
	}
	ours, theirs := fieldsOf(here.says("INFO", "everything")), fieldsOf(there.says("INFO", "everything"))
	absent := []string{ // how it is built, threads, and its event loop
		"monotonic_clock", "gcc_version", "process_supervised", "lru_clock", "atomicvar_api", "reply_buffer_shrinks", "reply_buffer_expands",
		"used_cpu_sys_main_thread", "used_cpu_user_main_thread", "total_reads_processed", "total_writes_processed", "expire_cycle_cpu_milliseconds",
	}
	for section, names := range theirs {
		if section == "Commandstats" || section == "Latencystats" || section == "Errorstats" {
			continue
		}
		for _, name := range names {
			if !slices.Contains(ours[section], name) && !slices.Contains(absent, name) {
				t.Errorf("%s: no %s", section, name)
			}
		}
	}
	text := here.says("INFO", "all")
	for _, want := range []string{
		`\|cmdstat_get:calls=1,usec=[0-9]+,usec_per_call=[0-9.]+,rejected_calls=0,failed_calls=0\|`, `\|errorstat_ERR:count=1\|`, `\|db0:keys=1,expires=1,avg_ttl=[0-9]+\|`,
		`\|latency_percentiles_usec_get:p50=[0-9.]+,p99=[0-9.]+,p99\.9=[0-9.]+\|`, `\|used_memory:[1-9][0-9]*\|`, `\|used_memory_peak:[1-9][0-9]*\|`, `\|redis_version:7\.2\.`,
		`\|total_watched_keys:0\|`, `\|rdb_last_bgsave_status:ok\|`, `\|role:master\|connected_slaves:0\|`, `\|used_cpu_sys:[0-9.]+\|`, `\|master_replid:[0-9a-f]{40}\|`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// TestMemory: MEMORY STATS tells what a real server tells, in numbers that fit together.
func TestMemory(t *testing.T) {
	here, there := start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	names := func(reply string) (list []string) {
		for _, line := range strings.Split(reply, "|") {
			if line != "" && strings.ContainsAny(line[:1], "abcdefghijklmnopqrstuvwxyz") && !strings.HasPrefix(line, "db.") && !strings.HasPrefix(line, "overhead.hashtable") {
				list = append(list, line)
			}
		}
		return list
	}
	here.gets("+OK|", "SET k v")
	ours, theirs := here.says("MEMORY", "STATS"), there.says("MEMORY", "STATS")
	if a, b := names(ours), names(theirs); !slices.Equal(a, b) {
		t.Errorf("here   %v\nserver %v", a, b)
	}
	if !strings.Contains(ours, "|$10|keys.count|:1|") || strings.Contains(ours, "|$15|total.allocated|:0|") || strings.Contains(ours, ":-") {
		t.Error(ours)
	}
	here.gets("+OK|", "MEMORY PURGE")
	if text := here.says("MEMORY", "MALLOC-STATS"); !strings.Contains(text, "/memory/classes/total:bytes ") {
		t.Error(text)
	}
	for _, words := range []string{"MEMORY HELP", "MEMORY STATS x", "MEMORY USAGE nothing", "MEMORY NOPE", "MODULE LIST", "CONFIG REWRITE", "CONFIG HELP", "SHUTDOWN x", "SHUTDOWN ABORT NOW", "SHUTDOWN ABORT"} {
		a, b := here.says(strings.Fields(words)...), there.says(strings.Fields(words)...)
		if a != strings.ReplaceAll(b, "Prints this", "Print this") {
			t.Errorf("%s\n  here   %q\n  server %q", words, a, b)
		}
	}
}

// TestDebug: what of DEBUG is here.
func TestDebug(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	before := c.says("INFO", "replication")
	for _, x := range [][2]string{
		{"+OK|", "DEBUG SLEEP 0"}, {"-ERR value is not a valid float|", "DEBUG SLEEP x"}, {"-my words|", "DEBUG ERROR my_words"}, {"+OK|", "DEBUG CHANGE-REPL-ID"}, {"+OK|", "DEBUG LOG seen"},
		{"+OK|", "DEBUG RELOAD NOSAVE"}, {"+OK|", "SET k abc"}, {"-ERR no such key|", "DEBUG OBJECT nothing"},
		{"+Value at:0x0 refcount:1 encoding:embstr serializedlength:4 lru:0 lru_seconds_idle:0|", "DEBUG OBJECT k"}, {"-ERR value is not an integer or out of range|", "DEBUG SET-ACTIVE-EXPIRE x"},
		{"+OK|", "DEBUG SET-ACTIVE-EXPIRE 0"}, {"-ERR unknown subcommand 'NOPE'. Try DEBUG HELP.|", "DEBUG NOPE"}, {"*2|$20|enable-debug-command|$5|local|", "CONFIG GET enable-debug-command"},
	} {
		if x[1] == "DEBUG ERROR my_words" {
			c.sendWords("DEBUG", "ERROR", "my words")
			c.expect(crlf(x[0]))
			continue
		}
		c.gets(x[0], x[1])
	}
	if c.says("INFO", "replication") == before || !strings.Contains(s.log.String(), "text=seen") || !s.passive.Load() {
		t.Error("CHANGE-REPL-ID, LOG or SET-ACTIVE-EXPIRE did nothing")
	}
	c.gets("+OK|", "DEBUG SET-ACTIVE-EXPIRE 1")
	if s.passive.Load() {
		t.Error("SET-ACTIVE-EXPIRE 1 did nothing")
	}
	elsewhere := &session{srv: s.Server, conn: elsewhereConn{}}
	if err := locally(okCommand)(&Call{s: elsewhere}); err == nil || !strings.HasPrefix(err.Error(), "ERR DEBUG command not allowed.") {
		t.Error("a client of another machine may use DEBUG:", err)
	}
}

// elsewhereConn is a connection with another machine.
type elsewhereConn struct{ net.Conn }

func (elsewhereConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// TestConfigRewrite: what CONFIG SET has changed is handed to the file, as far as it has names for it.
func TestConfigRewrite(t *testing.T) {
	handed, failing := make(chan map[string]any, 2), make(chan error, 2)
	s := start(t, Options{ConfigFile: "/x.toml", Rewrite: func(v map[string]any) error {
		handed <- v
		return <-failing
	}})
	c := s.dial(t)
	c.gets("+OK|", "CONFIG SET maxclients 77 protected-mode no readonly-staleness-ms 1500 timeout 9")
	failing <- nil
	c.gets("+OK|", "CONFIG REWRITE")
	got := <-handed
	want := map[string]any{"maxclients": int64(77), "protected-mode": false, "readonly-staleness": "1.5s", "requirepass": ""}
	if len(got) != len(want) {
		t.Error(got)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	failing <- errors.New("no room")
	c.gets("-ERR Rewriting config file: no room|", "CONFIG REWRITE")
	if text := c.says("INFO", "server"); !strings.Contains(text, "|config_file:/x.toml|") {
		t.Error(text)
	}
}

// TestConfigIsAtomic: several patterns, and several settings of which all or none are set.
func TestConfigIsAtomic(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.gets("*4|$7|timeout|$1|0|$13|tcp-keepalive|$3|300|", "CONFIG GET timeout tcp-k* timeout")
	c.gets("-ERR CONFIG SET failed (possibly related to argument 'tcp-keepalive') - argument couldn't be parsed into an integer|", "CONFIG SET timeout 5 tcp-keepalive x")
	c.gets("-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter|", "CONFIG SET timeout 5 timeout 6")
	c.gets("-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config|", "CONFIG SET timeout 5 databases 6")
	c.gets("-ERR Unknown option or number of arguments for CONFIG SET - 'nope'|", "CONFIG SET timeout 5 nope 6")
	c.gets("*2|$7|timeout|$1|0|", "CONFIG GET timeout")
	c.gets("+OK|", "CONFIG SET timeout 5 tcp-keepalive 60")
	c.gets("*4|$7|timeout|$1|5|$13|tcp-keepalive|$2|60|", "CONFIG GET timeout tcp-keepalive")
}
