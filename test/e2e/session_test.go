package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// conn is a connection whose commands must not fail on the way.
type conn struct {
	*process.Conn
	t testing.TB
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := process.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &conn{c, t}
}

// replyWithin bounds the wait for a reply.
const replyWithin = time.Minute

func (c *conn) do(line string) resp.Value {
	c.t.Helper()
	words, _, ok := resp.SplitWords(nil, nil, []byte(line))
	if !ok {
		c.t.Fatalf("quotes in %s", line)
	}
	args := make([]string, len(words))
	for i, w := range words {
		args[i] = string(w)
	}
	if err := c.SetDeadline(time.Now().Add(replyWithin)); err != nil {
		c.t.Fatal(err)
	}
	v, err := c.Do(args...)
	if err != nil {
		c.t.Fatalf("%s: %v", line, err)
	}
	return v
}

// expect compares a reply with how it is printed, the line end left out. A
// trailing * stands for any text.
func (c *conn) expect(line, want string) {
	c.t.Helper()
	got := strings.TrimSuffix(string(resp.AppendFormat(nil, c.do(line))), "\n")
	if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(got, prefix) || got == want {
		return
	}
	c.t.Errorf("%s: got %s, want %s", line, got, want)
}

func client(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, PoolSize: 60, MaxRetries: -1, ReadTimeout: replyWithin})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestTransaction: one transaction over a ZMap in two namespaces, a hash and a
// string is invisible before COMMIT, entirely there after it, and entirely gone
// after ROLLBACK and after a crash.
func TestTransaction(t *testing.T) {
	n := process.Start(t, process.Options{})
	a, b := dial(t, n.RESP), dial(t, n.RESP)
	a.expect("NAMESPACE CREATE shop.orders", "OK")
	a.expect("NAMESPACE CREATE shop.stock", "OK")
	write := func(c *conn) {
		t.Helper()
		c.expect("BEGIN", "OK")
		c.expect("NAMESPACE USE shop.orders", "OK")
		c.expect("ZSET order:1 paid", "OK")
		c.expect("NAMESPACE USE shop.stock", "OK")
		c.expect("ZSET item:7 41", "OK")
		c.expect("NAMESPACE USE global", "OK")
		c.expect("HSET customer:3 orders 1", "(integer) 1")
		c.expect("SET last-order 1", "OK")
	}
	see := func(c *conn, order, item, orders, last string) {
		t.Helper()
		c.expect("NAMESPACE USE shop.orders", "OK")
		c.expect("ZGET order:1", order)
		c.expect("NAMESPACE USE shop.stock", "OK")
		c.expect("ZGET item:7", item)
		c.expect("NAMESPACE USE global", "OK")
		c.expect("HGET customer:3 orders", orders)
		c.expect("GET last-order", last)
	}
	nothing := func(c *conn) { t.Helper(); see(c, "(nil)", "(nil)", "(nil)", "(nil)") }

	write(a)
	nothing(b)
	a.expect("ROLLBACK", "OK")
	nothing(a)

	write(a)
	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	a, b = dial(t, n.RESP), dial(t, n.RESP)
	nothing(a)

	write(a)
	nothing(b)
	a.expect("COMMIT", "OK")
	see(b, `"paid"`, `"41"`, `"1"`, `"1"`)
	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	see(dial(t, n.RESP), `"paid"`, `"41"`, `"1"`, `"1"`)
}

// TestConflict: of two transactions that read what the other one writes, exactly
// one commits.
func TestConflict(t *testing.T) {
	n := process.Start(t, process.Options{})
	a, b := dial(t, n.RESP), dial(t, n.RESP)
	a.expect("SET x 0", "OK")
	a.expect("ZSET y 0", "OK")
	for _, c := range []*conn{a, b} {
		c.expect("BEGIN", "OK")
		c.expect("GET x", `"0"`)
		c.expect("ZGET y", `"0"`)
	}
	a.expect("SET x 1", "OK")
	b.expect("ZSET y 1", "OK")
	a.expect("COMMIT", "OK")
	b.expect("COMMIT", "(error) *")
	b.expect("GET x", `"1"`)
	b.expect("ZGET y", `"0"`)
}

// TestGoRedis: what a program does on its first day.
func TestGoRedis(t *testing.T) {
	n := process.Start(t, process.Options{})
	ctx, c := context.Background(), client(t, n.RESP)
	if err := c.Set(ctx, "greeting", "hello", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(ctx, "greeting").Result(); err != nil || v != "hello" {
		t.Error(v, err)
	}
	if d, err := c.TTL(ctx, "greeting").Result(); err != nil || d <= 0 || d > time.Minute {
		t.Error(d, err)
	}
	if err := c.HSet(ctx, "user:1", "name", "Ada", "age", 36).Err(); err != nil {
		t.Fatal(err)
	}
	if m, err := c.HGetAll(ctx, "user:1").Result(); err != nil || m["name"] != "Ada" || m["age"] != "36" {
		t.Error(m, err)
	}
	if _, err := c.Get(ctx, "missing").Result(); err != redis.Nil {
		t.Error(err)
	}
	cmds, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "visits")
		p.Expire(ctx, "visits", time.Hour)
		return nil
	})
	if err != nil || len(cmds) != 2 {
		t.Error(cmds, err)
	}
	for range 100 {
		if err := c.Set(ctx, "many:"+randomName(), "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for it := c.Scan(ctx, 0, "many:*", 10).Iterator(); it.Next(ctx); {
		found++
	}
	if found != 100 {
		t.Errorf("SCAN found %d keys", found)
	}
	if v, err := c.Info(ctx).Result(); err != nil || !strings.Contains(v, "# Server") {
		t.Error(v, err)
	}
}

// TestAdministration: the operator's first steps on port 3320, and the client's
// on 5484.
func TestAdministration(t *testing.T) {
	n := process.Start(t, process.Options{})
	admin := dial(t, n.Admin)
	admin.expect("PING", "PONG")
	admin.expect("KR.ADMIN INITIALIZE-CLUSTER", "OK")
	fields := map[string]string{}
	v := admin.do("KR.ADMIN DESCRIBE-MEMBER")
	for i := 0; i+1 < len(v.Array); i += 2 {
		fields[string(v.Array[i].Str)] = string(v.Array[i+1].Str)
	}
	for _, name := range []string{"member_id", "status", "process_id", "external_host", "external_port", "internal_host",
		"internal_port", "latest_heartbeat"} {
		if _, there := fields[name]; !there {
			t.Errorf("DESCRIBE-MEMBER has no %s: %v", name, fields)
		}
	}
	admin.expect("KR.ADMIN ROUTE SET PRIMARY REDIS * "+fields["member_id"], "OK")
	admin.expect("KR.ADMIN SET-SHARD-STATUS REDIS * READWRITE", "OK")
	c := dial(t, n.RESP)
	c.expect(`SET mykey "Hello"`, "OK")
	c.expect("GET mykey", `"Hello"`)
	admin.expect("KR.ADMIN SET-SHARD-STATUS REDIS * READONLY", "OK")
	c.expect("SET mykey x", "(error) *")
	c.expect("GET mykey", `"Hello"`)
	admin.expect("KR.ADMIN SET-SHARD-STATUS REDIS * READWRITE", "OK")
	c.expect("SET mykey x", "OK")
}

// TestClients: the client of the binary and redis-cli print the same.
func TestClients(t *testing.T) {
	n := process.Start(t, process.Options{})
	host, port, err := net.SplitHostPort(n.RESP)
	if err != nil {
		t.Fatal(err)
	}
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Log("redis-cli is not installed: only the binary's own client is tested")
	}
	dial(t, n.RESP).expect("HSET h a 1 b 2", "(integer) 2")
	for _, args := range [][]string{
		{"ping"}, {"set", "k", "v\r\n\x01\xff"}, {"get", "k"}, {"get", "none"}, {"hgetall", "h"}, {"strlen", "k"}, {"command", "count"},
	} {
		for _, mode := range [][]string{{"--no-raw"}, {"--raw"}, {"-3", "--no-raw"}} {
			common := append(append([]string{"-h", host, "-p", port}, mode...), args...)
			code, got, log := process.Run(t, append([]string{"cli"}, common...)...)
			if code != 0 {
				t.Errorf("strata cli %v: exit code %d, %s%s", common, code, got, log)
			}
			if cli == "" {
				continue
			}
			want, err := exec.Command(cli, common...).Output()
			if err != nil {
				t.Errorf("redis-cli %v: %v", common, err)
			}
			if got != string(want) {
				t.Errorf("%v: strata cli prints %q, redis-cli %q", common, got, want)
			}
		}
	}
	if code, out, _ := process.Run(t, "cli", "-h", host, "-p", port, "hget", "k", "f"); code != 1 || !strings.Contains(out, "WRONGTYPE") {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// TestStop: SIGTERM drains and stops; what was acknowledged is there afterwards,
// and nothing is left to replay.
func TestStop(t *testing.T) {
	n := process.Start(t, process.Options{})
	c := dial(t, n.RESP)
	c.expect("SET k v", "OK")
	if code := n.Stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, n.Log())
	}
	if code, out, log := process.Run(t, "check", n.Dir); code != 0 || !strings.HasSuffix(out, "ok\n") {
		t.Errorf("strata check: %d\n%s%s", code, out, log)
	}
	n = process.Start(t, process.Options{Dir: n.Dir})
	dial(t, n.RESP).expect("GET k", `"v"`)
	if code, _, log := process.Run(t, "check", n.Dir); code != 2 || !strings.Contains(log, "in use") {
		t.Errorf("strata check of a running node: %d, %s", code, log)
	}
	if second, err := process.Try(t, process.Options{Dir: n.Dir}); err == nil || !strings.Contains(second.Log(), "used by another process") {
		t.Errorf("a second node on the same directory: %v\n%s", err, second.Log())
	}
	dial(t, n.RESP).expect("GET k", `"v"`)
}

// TestPassword: without it nothing works, before it little is believed.
func TestPassword(t *testing.T) {
	n := process.Start(t, process.Options{Args: []string{"--requirepass", "secret"}})
	c := dial(t, n.RESP)
	c.expect("GET k", "(error) NOAUTH *")
	c.expect("AUTH wrong", "(error) WRONGPASS *")
	c.expect("AUTH secret", "OK")
	c.expect("SET k v", "OK")
	_, port, err := net.SplitHostPort(n.RESP)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := process.Run(t, "cli", "-p", port, "-a", "secret", "get", "k"); code != 0 || out != "v\n" {
		t.Errorf("%d, %q", code, out)
	}
}

// TestSwappedDatabasesAfterCrash: where a database is survives a crash, and so does
// that it came back.
func TestSwappedDatabasesAfterCrash(t *testing.T) {
	n := process.Start(t, process.Options{})
	c := dial(t, n.RESP)
	c.expect("SET k zero", "OK")
	c.expect("SWAPDB 0 3", "OK")
	c.expect("NAMESPACE CREATE shop", "OK")
	c.expect("NAMESPACE USE shop", "OK")
	c.expect("SWAPDB 1 0", "OK")
	c.expect("SET k shop", "OK")
	c.expect("SWAPDB 1 0", "OK")
	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	c = dial(t, n.RESP)
	c.expect("GET k", "(nil)")
	c.expect("SELECT 3", "OK")
	c.expect("GET k", `"zero"`)
	c.expect("NAMESPACE USE shop", "OK")
	c.expect("DBSIZE", "(integer) 0")
	c.expect("SELECT 1", "OK")
	c.expect("GET k", `"shop"`)
	n.Stop()
	if code, out, _ := process.Run(t, "check", n.Dir); code != 0 || !strings.Contains(out, "namespace 1 database 3: 1 keys") {
		t.Errorf("check: %d\n%s", code, out)
	}
}
