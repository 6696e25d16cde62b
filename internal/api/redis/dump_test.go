package redis

import (
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/test/process"
)

func TestDumpRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Dumps)) }

// dumped is a value, how it is made, and the commands that show all of it.
type dumped struct {
	name  string
	make  [][]string
	shows []string
}

// many is a command on a key with n arguments.
func many(name string, n int, arg func(i int) string) []string {
	all := []string{name, "k"}
	for i := range n {
		all = append(all, strings.Fields(arg(i))...)
	}
	return all
}

func dumps() []dumped {
	r := rand.New(rand.NewPCG(17, 18))
	noise := make([]byte, 40_000)
	for i := range noise {
		noise[i] = byte(r.IntN(256))
	}
	list, set := []string{"LRANGE k 0 -1"}, []string{"SORT k ALPHA"} // their encodings are others since 7.2
	hash, zset := []string{"HGETALL k", "OBJECT ENCODING k"}, []string{"ZRANGE k 0 -1 WITHSCORES", "OBJECT ENCODING k"}
	stream := []string{"XRANGE k - +", "XINFO STREAM k", "XINFO GROUPS k", "XPENDING k g", "XPENDING k h", "XREADGROUP GROUP g a STREAMS k 0"}
	text := []string{"GET k"}
	one := func(name string, shows []string, commands ...[]string) dumped { return dumped{name, commands, shows} }
	return []dumped{
		one("text", text, []string{"SET", "k", "hello"}), one("empty", text, []string{"SET", "k", ""}), one("number", text, []string{"SET", "k", "-129"}),
		one("small number", text, []string{"SET", "k", "7"}), one("large number", text, []string{"SET", "k", "2000000000"}), one("larger number", text, []string{"SET", "k", "9223372036854775807"}),
		one("text that packs", text, []string{"SET", "k", strings.Repeat("abcabcabd", 3000)}), one("one letter", text, []string{"SET", "k", strings.Repeat("x", 100_000)}),
		one("noise", text, []string{"SET", "k", string(noise)}), one("hyperloglog", []string{"PFCOUNT k"}, many("PFADD", 500, func(i int) string { return fmt.Sprint(i) })),
		one("list", list, many("RPUSH", 20, func(i int) string { return fmt.Sprint(i*1000, " v", i) })),
		one("long list", list, many("RPUSH", 3000, func(i int) string { return fmt.Sprint(i*i*i, " value-", i) })),
		one("list of long elements", list, []string{"RPUSH", "k", strings.Repeat("x", 63), strings.Repeat("y", 64), strings.Repeat("z", 5000), string(noise), "a"}),
		one("set of numbers", set, many("SADD", 100, func(i int) string { return fmt.Sprint(i * 3) })), one("set of large numbers", set, []string{"SADD", "k", "1", "9223372036854775807", "-70000"}),
		one("set", set, []string{"SADD", "k", "a", "b", "17"}), one("large set", set, many("SADD", 1000, func(i int) string { return fmt.Sprint("m", i) })),
		one("hash", hash, []string{"HSET", "k", "f", "1", "g", "two", "h", ""}), one("large hash", []string{"HLEN k", "HGET k f77", "HGET k f999", "OBJECT ENCODING k"}, many("HSET", 1000, func(i int) string { return fmt.Sprintf("f%d %d", i, i*i) })),
		one("hash of long values", hash, []string{"HSET", "k", "f", strings.Repeat("long", 500)}),
		one("sorted set", zset, []string{"ZADD", "k", "1", "a", "-2.5", "b", "1e20", "c", "inf", "d", "-inf", "e", "0.125", "f"}),
		one("large sorted set", zset, many("ZADD", 1000, func(i int) string { return fmt.Sprintf("%d.5 m%d", i*7%1000, i) })),
		one("empty stream", stream[1:2], []string{"XADD", "k", "5-1", "f", "v"}, []string{"XDEL", "k", "5-1"}),
		streamDumped(stream),
	}
}

// nodes are those of Redis's stream, which may be others.
var nodes = regexp.MustCompile(`radix-tree-keys \d+ radix-tree-nodes \d+`)

// streamDumped is one with groups and gaps, in several nodes.
func streamDumped(shows []string) dumped {
	d := dumped{name: "stream", shows: shows}
	for i := range 350 {
		entry := []string{"XADD", "k", fmt.Sprintf("%d-%d", i/3+1, i%3+1), "name", fmt.Sprint("v", i), "n", fmt.Sprint(i)}
		if i%50 == 49 {
			entry = append(entry, "another", strings.Repeat("x", 300))
		}
		d.make = append(d.make, entry)
	}
	for _, c := range []string{"XDEL k 5-1 50-2 51-1", "XTRIM k MAXLEN 300", "XGROUP CREATE k g 30-0", "XGROUP CREATE k h 0 ENTRIESREAD 5", "XGROUP CREATECONSUMER k g idle", "XREADGROUP GROUP g a COUNT 5 STREAMS k >",
		"XREADGROUP GROUP g b COUNT 3 STREAMS k >", "XACK k g 30-2", "XDEL k 31-1", "XREADGROUP GROUP h a NOACK COUNT 2 STREAMS k >"} {
		d.make = append(d.make, strings.Fields(c))
	}
	return d
}

// TestDumpsGoBothWays: what one server dumps the other restores, and it is the same value.
func TestDumpsGoBothWays(t *testing.T) {
	ours := goredis.NewClient(&goredis.Options{Addr: start(t, Options{}).addr, Protocol: 2, ReadTimeout: patience})
	theirs := goredis.NewClient(&goredis.Options{Addr: process.Redis(t), Protocol: 2, ReadTimeout: patience})
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	do := func(c *goredis.Client, args ...string) any {
		t.Helper()
		words := make([]any, len(args))
		for i, a := range args {
			words[i] = a
		}
		v, err := c.Do(t.Context(), words...).Result()
		if err != nil && err != goredis.Nil && !strings.HasPrefix(err.Error(), "NOGROUP") && !strings.HasPrefix(err.Error(), "ERR no such key") {
			t.Fatalf("%.80q: %v", args, err)
		}
		return v
	}
	show := func(c *goredis.Client, d *dumped) string {
		var b strings.Builder
		for _, s := range d.shows {
			fmt.Fprintf(&b, "%s: %v\n", s, do(c, strings.Fields(s)...))
		}
		return nodes.ReplaceAllString(b.String(), "")
	}
	for _, d := range dumps() {
		for from, to := range map[*goredis.Client]*goredis.Client{ours: theirs, theirs: ours} {
			t.Run(d.name, func(t *testing.T) {
				for _, c := range []*goredis.Client{ours, theirs} {
					do(c, "DEL", "k")
				}
				for _, c := range d.make {
					do(from, c...)
				}
				payload := do(from, "DUMP", "k").(string)
				before := show(from, &d)
				for _, c := range []*goredis.Client{from, to} {
					do(c, "DEL", "k")
					do(c, "RESTORE", "k", "0", payload)
					if after := show(c, &d); after != before {
						t.Errorf("from us: %v\n before %.1500s\n after  %.1500s", from == ours, before, after)
					}
				}
			})
		}
	}
}

// TestRestoreAgrees: options and errors are those of a real server.
func TestRestoreAgrees(t *testing.T) {
	here, there := bothServers(t)
	there.send(arrays("SET k value|DUMP k|ECHO done"))
	dump := there.through("done\r\n")
	dump = dump[strings.Index(dump, "\r\n$")+3:]
	dump = dump[strings.Index(dump, "\r\n")+2:]
	payload := dump[:strings.Index(dump, "\r\n$4\r\ndone")]
	bad := payload[:len(payload)-1] + string(payload[len(payload)-1]^1)
	nonsense := "\xC8\x05\n\x00" // of no type
	nonsense += string(binary.LittleEndian.AppendUint64(nil, ^crc64.Update(math.MaxUint64, crc64.MakeTable(0x95ac9329ac4bc9b5), []byte(nonsense))))
	later := payload[:len(payload)-10] + "\xFF\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	for i, args := range [][]string{
		{"SET", "k", "x"}, {"DEL", "k"}, {"RESTORE"}, {"RESTORE", "k", "0"}, {"RESTORE", "k", "0", payload}, {"GET", "k"}, {"RESTORE", "k", "0", payload}, {"RESTORE", "k", "x", "x"}, {"RESTORE", "k", "0", payload, "REPLACE"}, {"PTTL", "k"},
		{"RESTORE", "n", "x", payload}, {"RESTORE", "n", "-1", payload}, {"RESTORE", "n", "0", bad}, {"RESTORE", "n", "0", later}, {"RESTORE", "n", "0", nonsense}, {"RESTORE", "n", "0", ""}, {"RESTORE", "n", "0", "short"}, {"RESTORE", "n", "0", payload, "FOO"},
		{"RESTORE", "n", "0", payload, "IDLETIME", "5"}, {"RESTORE", "n", "0", payload, "REPLACE", "FREQ", "5"}, {"RESTORE", "n", "0", payload, "IDLETIME", "-1"}, {"RESTORE", "n", "0", payload, "FREQ", "256"}, {"RESTORE", "n", "0", payload, "FREQ", "x"},
		{"RESTORE", "n", "0", payload, "FREQ", "1", "IDLETIME", "1"}, {"RESTORE", "n", "0", payload, "IDLETIME"}, {"RESTORE", "n", "1", payload, "ABSTTL"}, {"RESTORE", "n", "1", payload, "ABSTTL", "REPLACE"}, {"EXISTS", "n"},
		{"RESTORE", "n", "99999999999999", payload, "ABSTTL", "REPLACE"}, {"PEXPIRETIME", "n"}, {"RESTORE", "m", "1000000", payload}, {"PERSIST", "m"}, {"DUMP", "none"}, {"DUMP"}, {"TYPE", "n"},
		{"COMMAND", "GETKEYS", "RESTORE", "k", "0", "x"},
	} {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
		}
		end := fmt.Sprint("end", i)
		replies := [2]string{}
		for j, c := range []*rawConn{here, there} {
			c.send(b.String() + arrays("ECHO "+end))
			replies[j] = strings.TrimSuffix(c.through(end+"\r\n"), fmt.Sprintf("$%d\r\n%s\r\n", len(end), end))
		}
		if replies[0] != replies[1] {
			t.Errorf("%.60q\n  here   %q\n  server %q", args, replies[0], replies[1])
		}
	}
}
