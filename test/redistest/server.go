package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/process"
)

func unquote(tb testing.TB, s string) string {
	u, err := strconv.Unquote(s)
	if err != nil {
		tb.Fatalf("%s: %v", s, err)
	}
	return u
}

// Server is a real redis-server on a loopback port.
type Server struct {
	tb testing.TB
	c  net.Conn
	r  *bufio.Reader
}

// StartServer starts one that ends with the test.
func StartServer(tb testing.TB) *Server {
	addr := process.Redis(tb, "--appendonly", "no")
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return &Server{tb: tb, c: c, r: bufio.NewReader(c)}
}

// Do renders a reply as world.do does.
func (s *Server) Do(args ...string) string {
	sorted := false
	switch args[0] {
	case "HSCANALL":
		args = []string{"HGETALL", args[1]}
	case "SSCANALL":
		args = []string{"SMEMBERS", args[1]}
	case "ZSCANALL":
		args = []string{"ZRANGE", args[1], "0", "-1", "WITHSCORES"}
	case "SCANTYPE":
		args = []string{"SCAN", "0", "COUNT", "100000", "TYPE", args[1]}
	case "HRANDFIELD", "SRANDMEMBER", "ZRANDMEMBER":
		v := s.call(args)
		if l, ok := v.([]any); ok {
			return fmt.Sprintf("(integer) %d", len(l))
		}
		return render(v)
	}
	v := s.call(args)
	if l, ok := v.([]any); ok {
		switch args[0] {
		case "SCAN":
			v, sorted = l[1], true
		case "HKEYS", "HVALS", "KEYS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "SPOP":
			sorted = true
		case "HGETALL":
			sortPairs(l)
		}
	}
	if l, ok := v.([]any); ok && sorted {
		sort.Slice(l, func(i, j int) bool { return l[i].(string) < l[j].(string) })
	}
	return render(v)
}

func sortPairs(l []any) {
	pairs := make([][2]any, len(l)/2)
	for i := range pairs {
		pairs[i] = [2]any{l[2*i], l[2*i+1]}
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i][0].(string) < pairs[j][0].(string) })
	for i, p := range pairs {
		l[2*i], l[2*i+1] = p[0], p[1]
	}
}

type statusReply string

func (s *Server) call(args []string) any {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := s.c.Write([]byte(b.String())); err != nil {
		s.tb.Fatal(err)
	}
	return s.read()
}

func (s *Server) read() any {
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.tb.Fatal(err)
	}
	rest := strings.TrimRight(line[1:], "\r\n")
	switch line[0] {
	case '+':
		return statusReply(rest)
	case '-':
		return statusReply("(error) " + rest)
	case ':':
		return Number(rest)
	case '$':
		if rest == "-1" {
			return nil
		}
		b := make([]byte, Number(rest)+2)
		if _, err := io.ReadFull(s.r, b); err != nil {
			s.tb.Fatal(err)
		}
		return string(b[:len(b)-2])
	case '*':
		if rest == "-1" {
			return nil
		}
		l := make([]any, Number(rest))
		for i := range l {
			l[i] = s.read()
		}
		return l
	}
	s.tb.Fatalf("reply %q", line)
	return nil
}

func render(v any) string {
	switch v := v.(type) {
	case statusReply:
		return string(v)
	case int64:
		return fmt.Sprintf("(integer) %d", v)
	case string:
		return Quote([]byte(v))
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = render(x)
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return "(nil)"
}

// ServerAgrees runs the same random commands here and there, one by one and many in a
// transaction.
func ServerAgrees(t *testing.T, command func(Generator) []string, types ...ValueType) {
	s := StartServer(t)
	for name, o := range Layouts {
		for _, many := range []int{1, 30} {
			t.Run(fmt.Sprintf("%s/%d", name, many), func(t *testing.T) {
				s.Do("FLUSHALL")
				s.Do("SELECT", "0")
				w := NewWorld(t, o).With(types...)
				g := Generator{rand.New(rand.NewPCG(11, uint64(Scale())))}
				for step := 0; step < 5000*Scale(); step += many {
					cmds := make([][]string, 1+g.Rand.IntN(many))
					for i := range cmds {
						cmds[i] = command(g)
					}
					var got []string
					if many == 1 {
						got = []string{w.Do(cmds[0]...)}
					} else {
						got = w.Transaction(cmds)
					}
					for i, cmd := range cmds {
						if want := s.Do(cmd...); got[i] != want {
							t.Fatalf("step %d: %q\n%q\n  here   %s\n  server %s", step, cmds[:i], cmd, got[i], want)
						}
					}
					if step%20 == 0 || many > 1 {
						w.Check()
					}
				}
				w.Check()
			})
		}
	}
}

// Transaction runs commands as EXEC would: an error of one does not end it.
func (w *World) Transaction(cmds [][]string) (replies []string) {
	at := w.At
	w.Must(func(t kv.Txn) error {
		w.At, replies = at, nil
		for _, cmd := range cmds {
			reply, err := w.command(t, cmd[0], cmd[1:])
			var mistake *redis.Error
			if errors.As(err, &mistake) {
				reply, err = "(error) "+mistake.Error(), nil
			}
			if err != nil {
				return err
			}
			replies = append(replies, reply)
		}
		return nil
	})
	return replies
}

// Generator makes random commands without expiry in the near future.
type Generator struct{ Rand *rand.Rand }

// Pick is one of some words.
func (g Generator) Pick(of ...string) string { return of[g.Rand.IntN(len(of))] }

// Key is one of a few keys.
func (g Generator) Key() string { return g.Pick("a", "b", "c", "{t}1", "{t}2", "\x00", "\x00\x01", "") }

func (g Generator) field() string {
	return g.Pick("f", "g", "h", "\x00", "", "field", "x1", "x2", "x3")
}

// Value is a string that may be a number.
func (g Generator) Value() string {
	return g.Pick("", "1", "-7", "3.5", "abc", "9223372036854775806", "-9223372036854775808", "12345678901234567890",
		"hello world", strings.Repeat("ab", g.Rand.IntN(40)), "1e2", " 1", "0x10")
}

func (g Generator) number() string {
	return g.Pick("0", "1", "-1", "5", "-3", "10", "9223372036854775807", "-9223372036854775808", "100")
}

func (g Generator) float() string {
	return g.Pick("0.1", "-2.5", "1e3", "nan", "inf", "abc", "5.0e-3", "3", "1e17", "")
}

func (g Generator) small() string { return strconv.Itoa(g.Rand.IntN(24) - 8) }

// Command is one about strings, hashes or keys.
func (g Generator) Command() []string {
	k, f, v := g.Key(), g.field(), g.Value()
	switch g.Rand.IntN(40) {
	case 0, 1:
		return []string{"SET", k, v}
	case 2:
		return []string{"SET", k, v, g.Pick("NX", "XX", "GET", "KEEPTTL")}
	case 3:
		return []string{"SET", k, v, "EXAT", g.Pick("0", "-1", "99999999999", "9223372036854775807")}
	case 4:
		return []string{"GETSET", k, v}
	case 5:
		return []string{"GETDEL", k}
	case 6:
		return []string{"GETEX", k, "PERSIST"}[:2+g.Rand.IntN(2)]
	case 7:
		return []string{"GETEX", k, g.Pick("EXAT", "PXAT"), g.Pick("1", "0", "99999999999", "9223372036854775807")}
	case 8:
		return []string{"SETNX", k, v}
	case 9:
		return []string{"MSET", k, v, g.Key(), g.Value()}
	case 10:
		return []string{"MSETNX", k, v, g.Key(), g.Value()}
	case 11:
		return []string{"MGET", k, g.Key(), g.Key()}
	case 12, 13:
		return []string{"APPEND", k, v}
	case 14, 15:
		return []string{"SETRANGE", k, g.small(), v}
	case 16:
		return []string{"GETRANGE", k, g.small(), g.small()}
	case 17:
		return []string{g.Pick("INCRBY", "DECRBY"), k, g.number()}
	case 18:
		return []string{"INCRBYFLOAT", k, g.float()}
	case 19:
		return []string{"LCS", k, g.Key()}
	case 20:
		return []string{"LCS", k, g.Key(), "IDX", "MINMATCHLEN", g.Pick("0", "2", "-1")}
	case 21:
		return []string{g.Pick("GET", "STRLEN", "TYPE", "PEXPIRETIME", "PERSIST", "HGETALL", "HKEYS", "HVALS", "HLEN"), k}
	}
	return g.more(k, f, v)
}

func (g Generator) more(k, f, v string) []string {
	switch g.Rand.IntN(21) {
	case 0, 1, 2:
		return []string{"HSET", k, f, v, g.field(), g.Value()}
	case 3:
		return []string{"HSETNX", k, f, v}
	case 4:
		return []string{"HDEL", k, f, g.field()}
	case 5:
		return []string{"HMGET", k, f, g.field()}
	case 6:
		return []string{"HINCRBY", k, f, g.number()}
	case 7:
		return []string{"HINCRBYFLOAT", k, f, g.float()}
	case 8:
		return []string{"HRANDFIELD", k, g.small()}
	case 9:
		return []string{g.Pick("HGET", "HSTRLEN", "HEXISTS"), k, f}
	case 10:
		return []string{"HSCANALL", k, "*"}
	case 11:
		return []string{"DEL", k, g.Key()}
	case 12:
		return []string{g.Pick("RENAME", "RENAMENX"), k, g.Key()}
	case 13:
		return []string{"COPY", k, g.Key(), "DB", g.Pick("0", "1"), "REPLACE"}[:5+g.Rand.IntN(2)]
	case 14:
		return []string{"MOVE", k, g.Pick("1", "2")}
	case 15:
		return []string{"EXPIREAT", k, g.Pick("99999999999", "99999999998", "9223372036854775807"), g.Pick("NX", "XX", "GT", "LT")}
	case 16:
		return []string{"EXISTS", k, g.Key(), k}
	case 17:
		return []string{"SCANTYPE", g.Pick("string", "hash")}
	case 18:
		return []string{"DBSIZE"}
	case 19:
		return []string{"SELECT", g.Pick("0", "0", "1")}
	}
	return []string{"KEYS", g.Pick("*", "?", "{t}*", "[ab]")}
}

// Scale lengthens the random runs: STRATA_TEST_SCALE times.
func Scale() int {
	n, err := strconv.Atoi(os.Getenv("STRATA_TEST_SCALE"))
	if err != nil {
		return 1
	}
	return max(n, 1)
}
