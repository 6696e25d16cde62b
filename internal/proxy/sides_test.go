package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/proxy"
	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// slow is by how much times to live may differ on a machine that has other things to do; those
// that the tests set differ by more.
const slow = 30 * time.Second

// migration is a Redis server, a node and a proxy between them.
type migration struct {
	*proxy.Proxy
	t             testing.TB
	redis, strata string
	node          *process.Node
	config        proxy.Config
}

// logged writes a log into the test's.
type logged struct{ t testing.TB }

func (l logged) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func prepare(t testing.TB, mode proxy.Mode) *migration {
	t.Helper()
	m := &migration{t: t, redis: process.Redis(t), strata: process.FreeAddress(t)}
	m.node = process.Start(t, process.Options{Args: []string{"--resp-addr", m.strata}})
	m.config = proxy.Config{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Mode: mode, Clients: 1000, Idle: 16, QueueBytes: 64 << 20, QueueItems: 100_000,
		Wait: 10 * time.Second, Switch: time.Minute, ShadowEvery: 1, Tolerance: slow, Look: time.Hour,
		Servers: [2]peer.Server{{Addr: m.redis, Timeout: time.Minute}, {Addr: m.strata, Timeout: time.Minute}}}
	return m
}

func start(t testing.TB, mode proxy.Mode, change ...func(m *migration)) *migration {
	t.Helper()
	m := prepare(t, mode)
	for _, c := range change {
		c(m)
	}
	m.open()
	return m
}

func (m *migration) open() {
	m.t.Helper()
	p, err := proxy.Start(m.config, slog.New(slog.NewTextHandler(logged{m.t}, nil)))
	if err != nil {
		m.t.Fatal(err)
	}
	m.Proxy = p
	m.t.Cleanup(m.stop)
}

// stop ends the proxy, once.
func (m *migration) stop() {
	if m.Proxy == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		m.t.Log(err)
	}
	m.Proxy = nil
}

func (m *migration) client() *redis.Client { return m.clientOf(m.Addr(), 2) }

func (m *migration) clientOf(addr string, proto int) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: proto, MaxRetries: -1, ReadTimeout: time.Minute, PoolSize: 50})
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// until waits for something that must come about.
func (m *migration) until(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			var b strings.Builder
			r := m.Report()
			_ = r.WriteText(&b)
			m.t.Fatalf("%s did not come about:\n%s\n%s", what, b.String(), m.node.Log())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// settle waits until everything has arrived at the side that follows.
func (m *migration) settle() {
	m.t.Helper()
	m.until("an empty queue", func() bool {
		r := m.Report()
		return r.QueueItems == 0 && r.DivergedNow == 0 && !r.Sync.Running
	})
}

// sync makes the side that follows complete, and waits until everything has arrived there.
func (m *migration) sync() {
	m.t.Helper()
	m.complete()
	m.settle()
}

// complete is sync under load: what arrives a little later than it is written always has something
// on its way.
func (m *migration) complete() {
	m.t.Helper()
	if err := m.Sync(); err != nil {
		m.t.Fatal(err)
	}
	m.until("a sync", func() bool { return !m.Report().Sync.Running })
	if r := m.Report(); !r.Complete {
		m.t.Fatalf("after the sync: %s, %s", r.Why, r.Sync.Error)
	}
	m.until("that no key differs", func() bool { return m.Report().DivergedNow == 0 })
}

func (m *migration) setMode(to proxy.Mode) {
	m.t.Helper()
	if _, err := m.SetMode(to, false); err != nil {
		m.t.Fatal(err)
	}
}

// noDifferences fails if the sides ever answered differently.
func (m *migration) noDifferences() {
	m.t.Helper()
	if r := m.Report(); r.Differences > 0 || r.Unmirrored != "" {
		var b strings.Builder
		_ = r.WriteText(&b)
		m.t.Errorf("the report shows differences:\n%s\n%s", b.String(), m.node.Log())
	}
}

// equal compares everything on both sides.
func (m *migration) equal() {
	m.t.Helper()
	m.settle()
	a, b := dumpAll(m.t, m.redis), dumpAll(m.t, m.strata)
	shown := 0
	for k, v := range a {
		if !v.same(b[k]) && shown < 10 {
			m.t.Errorf("%s: primary %.300s\nsecondary %.300s", k, v, b[k])
			shown++
		}
		delete(b, k)
	}
	for k, v := range b {
		if shown++; shown < 10 {
			m.t.Errorf("%s: only at the secondary: %.300s", k, v)
		}
	}
	if len(a) == 0 {
		m.t.Error("nothing was compared")
	}
}

// described is a key in words that do not depend on the insides of a server.
type described struct {
	text string
	ends int64 // Unix milliseconds; below zero: never
}

// same: of times to live each side takes its own clock.
func (d described) same(o described) bool {
	near := d.ends == o.ends || d.ends >= 0 && o.ends >= 0 && max(d.ends-o.ends, o.ends-d.ends) < slow.Milliseconds()
	return d.text == o.text && near
}

func (d described) String() string { return fmt.Sprintf("%s (ends %d)", d.text, d.ends) }

// dumpAll is what a server has.
func dumpAll(t testing.TB, addr string) map[string]described {
	t.Helper()
	c, err := process.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	do := func(args ...string) resp.Value {
		v, err := c.Do(args...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	all := map[string]described{}
	for db := range 4 {
		do("SELECT", fmt.Sprint(db))
		for _, k := range do("KEYS", "*").Array {
			key := k.Text()
			all[fmt.Sprintf("%d/%s", db, key)] = described{describe(do, key), do("PEXPIRETIME", key).Int}
		}
	}
	return all
}

func describe(do func(args ...string) resp.Value, key string) string {
	list := func(v resp.Value, per int) string {
		var parts []string
		for i := 0; i+per <= len(v.Array); i += per {
			part := ""
			for j := range per {
				part += fmt.Sprintf("%q ", v.Array[i+j].Text())
			}
			parts = append(parts, part)
		}
		if per > 0 {
			sort.Strings(parts)
		}
		return strings.Join(parts, ",")
	}
	kind := do("TYPE", key).Text()
	out := kind + " "
	switch kind {
	case "string":
		return out + do("GET", key).Text()
	case "list":
		return out + fmt.Sprint(string(resp.AppendFormat(nil, do("LRANGE", key, "0", "-1"))))
	case "set":
		return out + list(do("SMEMBERS", key), 1)
	case "hash":
		return out + list(do("HGETALL", key), 2)
	case "zset":
		return out + list(do("ZRANGE", key, "0", "-1", "WITHSCORES"), 2)
	case "stream":
		out += string(resp.AppendFormat(nil, do("XRANGE", key, "-", "+")))
		for _, g := range do("XINFO", "GROUPS", key).Array {
			name, _ := g.Get("name")
			last, _ := g.Get("last-delivered-id")
			out += name.Text() + " at " + last.Text()
			for _, p := range do("XPENDING", key, name.Text(), "-", "+", "10000").Array {
				out += fmt.Sprintf(" %s %s x%d", p.Array[0].Text(), p.Array[1].Text(), p.Array[3].Int)
			}
		}
	}
	return out
}
