package redis

import (
	"bytes"
	"net"
	"os"
	osexec "os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stratadb/strata/test/process"
)

// cliModes are ways to use redis-cli: arguments, what it is given to read, and what of its output
// counts, if not all of it.
var cliModes = []struct {
	args  []string
	input string
	of    func(out string) string
}{
	{args: []string{"FLUSHALL"}},
	{args: []string{"--pipe"}, input: "SET a 1\r\nSET b 22\r\nRPUSH list 1 2 3\r\n*3\r\n$4\r\nSADD\r\n$3\r\nset\r\n$1\r\nx\r\nHSET hash f v g 'a b'\r\nZADD zset 1.5 m 2 n\r\nXADD stream 1-1 f v\r\n",
		of: func(out string) string { return regexp.MustCompile(`errors: \d+, replies: \d+`).FindString(out) }},
	{args: []string{"--csv", "HGETALL", "hash"}},
	{args: []string{"-3", "--csv", "HGETALL", "hash"}},
	{args: []string{"--json", "MGET", "a", "none", "b"}},
	{args: []string{"-2", "--json", "HGETALL", "hash"}},
	{args: []string{"-3", "--json", "ZRANGE", "zset", "0", "-1", "WITHSCORES"}},
	{args: []string{"--quoted-json", "GET", "a"}},
	{args: []string{"--raw", "XRANGE", "stream", "-", "+"}},
	{args: []string{"--no-raw", "XRANGE", "stream", "-", "+"}},
	{args: []string{"-3", "--no-raw", "HGETALL", "hash"}},
	{args: []string{"-D", ";", "--raw", "LRANGE", "list", "0", "-1"}},
	{args: []string{"-r", "3", "-i", "0.01", "INCR", "a"}},
	{args: []string{"-x", "SET", "read"}, input: "from standard input"},
	{args: []string{"-X", "tag", "APPEND", "read", "tag"}, input: ", twice"},
	{args: []string{"--quoted-input", "SET", `"\x00\xff"`, "v"}},
	{input: "GET read\nSELECT 3\nSET three 3\nnothing\nDBSIZE\n"},
	{args: []string{"-n", "3", "GET", "three"}},
	{args: []string{"-n", "99", "GET", "three"}},
	{args: []string{"-e", "nothing"}},
	{args: []string{"--eval", "SCRIPT", "a", "b", ",", "x", "y"}},
	{args: []string{"--scan"}, of: sortedLines},
	{args: []string{"--scan", "--pattern", "[ab]"}, of: sortedLines},
	{args: []string{"--bigkeys"}, of: summary},
	{args: []string{"--memkeys"}, of: func(out string) string { return regexp.MustCompile(`Sampled \d+ keys`).FindString(out) }},
	{args: []string{"CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "maxmemory", "1000000000"}},
	{args: []string{"--hotkeys"}, of: func(out string) string { return regexp.MustCompile(`Sampled \d+ keys`).FindString(out) }},
	{args: []string{"CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "0"}},
	{args: []string{"--cluster", "call", "ADDRESS", "PING"}, of: func(out string) string {
		return regexp.MustCompile(`is not configured as a cluster node`).FindString(out)
	}},
}

func sortedLines(out string) string {
	list := strings.Split(out, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// summary is how many keys of which type there are.
func summary(out string) string {
	_, rest, _ := strings.Cut(out, "-------- summary -------")
	return sortedLines(rest)
}

// TestCommandLine: redis-cli shows of this server what it shows of a real one, in every mode
// that ends by itself.
func TestCommandLine(t *testing.T) {
	cli, err := osexec.LookPath("redis-cli")
	if err != nil {
		t.Skip("redis-cli is not here")
	}
	script := t.TempDir() + "/script.lua"
	if err := os.WriteFile(script, []byte("return {KEYS[2], ARGV[1], #ARGV}"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(addr string, i int) string {
		mode := &cliModes[i]
		host, port, _ := net.SplitHostPort(addr)
		args := append([]string{"-h", host, "-p", port}, mode.args...)
		for i, a := range args {
			args[i] = strings.NewReplacer("SCRIPT", script, "ADDRESS", addr).Replace(a)
		}
		cmd := osexec.CommandContext(t.Context(), cli, args...)
		cmd.Stdin = strings.NewReader(mode.input)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		code := ""
		if cmd.Run() != nil {
			code = "\nfailed"
		}
		if mode.of != nil {
			return mode.of(out.String()) + code
		}
		return out.String() + code
	}
	here, there := start(t, Options{}).addr, process.Redis(t)
	for i := range cliModes {
		if ours, theirs := run(here, i), run(there, i); ours != theirs || strings.TrimSpace(ours) == "" {
			t.Errorf("redis-cli %q\n  here   %q\n  server %q", cliModes[i].args, ours, theirs)
		}
	}
}

// TestBenchmarkList: redis-benchmark's tests run, with and without pipelines.
func TestBenchmarkList(t *testing.T) {
	path, err := osexec.LookPath("redis-benchmark")
	if err != nil {
		t.Skip("redis-benchmark is not here")
	}
	host, port, _ := net.SplitHostPort(start(t, Options{}).addr)
	for _, args := range [][]string{{"-P", "1"}, {"-P", "16"}, {"-P", "16", "-3"}} {
		out, err := osexec.CommandContext(t.Context(), path, append(args, "-h", host, "-p", port, "-n", "320", "--csv")...).CombinedOutput()
		rows := strings.Count(string(out), "\n")
		if err != nil || rows != 21 || strings.Contains(strings.ToLower(string(out)), "err") {
			t.Errorf("%v: %d rows, %v\n%s", args, rows, err, out)
		}
	}
}
