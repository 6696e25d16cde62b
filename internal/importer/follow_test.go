package importer_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/importer"
	"github.com/stratadb/strata/internal/migrate/replica"
	"github.com/stratadb/strata/test/process"
)

// cable is a way to a server that can be cut.
type cable struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	count atomic.Int64
}

func newCable(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l}
	t.Cleanup(func() { _ = l.Close(); c.cut() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, a, b)
			c.mu.Unlock()
			c.count.Add(1)
			go func() { _, _ = io.Copy(a, b); _ = a.Close(); _ = b.Close() }()
			go func() { _, _ = io.Copy(b, a); _ = a.Close(); _ = b.Close() }()
		}
	}()
	return c
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// told is what an importer has said.
type told struct {
	sync.Mutex
	lines []string
}

func (l *told) tell(what string) {
	l.Lock()
	defer l.Unlock()
	l.lines = append(l.lines, what)
}

func (l *told) count(part string) (n int) {
	l.Lock()
	defer l.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// files are those of a test.
type files struct{ *testing.T }

func (f files) Temporary() (replica.File, error) { return os.CreateTemp(f.TempDir(), "") }

func (files) Map(f replica.File) ([]byte, func(), error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	return b, func() {}, err
}

func followOptions(t *testing.T, from, to string, l *told) importer.FollowOptions {
	return importer.FollowOptions{Options: options(from, to), Files: files{t}, Tell: l.tell}
}

// refreshed is how long keys live that somebody refreshes all the time.
const refreshed = 5 * time.Second

// scribble writes for as long as it may: commands of all types, what depends on chance and on the
// clock, transactions, scripts, keys that end and keys that would have.
func scribble(ctx context.Context, c *redis.Client, seed uint64) (writes int64) {
	r := rand.New(rand.NewPCG(seed, 7))
	background := context.Background()
	key := func(kind string) string { return fmt.Sprintf("%s:%d:%d", kind, seed, r.IntN(20)) }
	script := redis.NewScript("redis.call('INCR', KEYS[1]); redis.call('SADD', KEYS[2], redis.call('TIME')[2]); return redis.call('SPOP', KEYS[2])")
	for ; ctx.Err() == nil; <-time.After(time.Millisecond) {
		writes++
		_, _ = c.Pipelined(background, func(p redis.Pipeliner) error {
			p.Incr(background, "counter")
			p.IncrByFloat(background, key("float"), 0.1)
			p.Append(background, key("text"), "x")
			p.Set(background, key("brief"), "v", time.Duration(1+r.IntN(300))*time.Millisecond)
			p.Expire(background, fmt.Sprint("refreshed:", seed), refreshed)
			p.RPush(background, key("list"), r.IntN(1000), r.IntN(1000))
			p.LPop(background, key("list"))
			p.SAdd(background, key("set"), r.IntN(100), r.IntN(100))
			p.SPop(background, key("set"))
			p.HIncrByFloat(background, key("hash"), fmt.Sprint(r.IntN(9)), 1.5)
			p.ZIncrBy(background, key("zset"), 0.25, fmt.Sprint(r.IntN(30)))
			p.ZPopMin(background, key("zset"), 1)
			p.XAdd(background, &redis.XAddArgs{Stream: "stream", MaxLen: 500, Approx: r.IntN(2) == 0, Values: []any{"n", writes}})
			p.XReadGroup(background, &redis.XReadGroupArgs{Group: "g", Consumer: fmt.Sprint("c", r.IntN(3)), Count: 2, Streams: []string{"stream", ">"}, NoAck: r.IntN(5) == 0})
			p.PFAdd(background, key("sketch"), r.IntN(1000))
			p.SetBit(background, key("bits"), int64(r.IntN(500)), 1)
			p.Del(background, key("text"))
			if r.IntN(10) == 0 {
				p.Rename(background, key("list"), key("list"))
				p.Copy(background, key("set"), key("set"), 0, true)
				p.Move(background, key("float"), 2)
				p.Do(background, "GETEX", key("brief"), "PERSIST")
			}
			return nil
		})
		_, _ = c.TxPipelined(background, func(p redis.Pipeliner) error {
			p.Incr(background, "first")
			p.Incr(background, "second")
			return nil
		})
		_ = script.Run(background, c, []string{"scripted", key("set")}).Err()
		if pending, err := c.XPendingExt(background, &redis.XPendingExtArgs{Stream: "stream", Group: "g", Start: "-", End: "+", Count: 2}).Result(); err == nil && len(pending) > 0 {
			c.XAck(background, "stream", "g", pending[0].ID)
		}
	}
	return writes
}

// TestFollow: a target that follows a server which is written to has what it has, each command
// once, though both connections are cut and the importer is started again.
func TestFollow(t *testing.T) {
	for _, diskless := range []string{"yes", "no"} {
		t.Run("diskless "+diskless, func(t *testing.T) {
			t.Parallel()
			addr := process.Redis(t, "--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb")
			node := process.Start(t, process.Options{})
			lines := []*cable{newCable(t, addr), newCable(t, node.RESP)}
			source, target := client(t, addr, 0), client(t, node.RESP, 0)
			ctx := context.Background()
			fill(t, source, 500)
			client(t, addr, 1).Set(ctx, "in one", "v", 0)
			source.XGroupCreateMkStream(ctx, "stream", "g", "0")
			source.FunctionLoad(ctx, "#!lua name=l\nredis.register_function('f', function(k) return redis.call('INCR', k[1]) end)")
			for seed := range 2 {
				client(t, addr, seed).Set(ctx, fmt.Sprint("refreshed:", seed), "v", refreshed)
			}
			writing, stop := context.WithCancel(ctx)
			defer stop()
			var writers sync.WaitGroup
			for seed := range uint64(3) {
				writers.Go(func() { scribble(writing, client(t, addr, int(seed%2)), seed) })
			}
			var said told
			o := followOptions(t, lines[0].Addr().String(), lines[1].Addr().String(), &said)
			follow := func() (end func()) {
				following, cancel := context.WithCancel(ctx)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if sum, err := importer.Follow(following, o); err != nil || sum.Failed > 0 {
						t.Errorf("%v, %+v", err, sum)
					}
				}()
				return func() { cancel(); <-ended }
			}
			end := follow()
			// ahead waits until the target has executed something more.
			ahead := func() {
				t.Helper()
				was, _ := target.Get(ctx, "second").Int64()
				await(t, "the target goes on", func() bool {
					n, _ := target.Get(ctx, "second").Int64()
					return n > was+20
				})
			}
			ahead()
			for i := range 6 {
				lines[i%2].cut()
				ahead()
			}
			end()
			<-time.After(refreshed + 200*time.Millisecond) // keys that were held end at the source, or do not
			end = follow()
			ahead()
			if a, b := target.Get(ctx, "first").Val(), target.Get(ctx, "second").Val(); a == "" || b == "" {
				t.Errorf("half of a transaction: %q, %q", a, b)
			}
			stop()
			writers.Wait()
			for seed := range 2 {
				if !client(t, addr, seed).Expire(ctx, fmt.Sprint("refreshed:", seed), time.Hour).Val() {
					t.Errorf("refreshed:%d has ended at the source", seed)
				}
			}
			<-time.After(400 * time.Millisecond) // what is brief ends
			source.FCall(ctx, "f", []string{"counter"})
			// Who asks the source how far its followers are is answered.
			if n, err := source.Wait(ctx, 1, time.Minute).Result(); err != nil || n != 1 {
				t.Errorf("WAIT: %d, %v", n, err)
			}
			end()
			last := o
			last.UntilCaughtUp, last.Verify = true, true
			sum, err := importer.Follow(ctx, last)
			if err != nil || sum.Different > 0 || sum.Failed > 0 || sum.Verified < 500 {
				t.Errorf("%v, %+v", err, sum)
			}
			if n := said.count("copying everything"); n != 1 {
				t.Errorf("everything was copied %d times: %q", n, said.lines)
			}
			for db := range 3 {
				a, b := client(t, addr, db), client(t, node.RESP, db)
				for _, k := range b.Keys(ctx, "brief:*").Val() {
					if ttl := b.PTTL(ctx, k).Val(); ttl > time.Second {
						t.Errorf("%s lives for another %v", k, ttl)
					}
				}
				await(t, "as many keys", func() bool { return a.DBSize(ctx).Val() == b.DBSize(ctx).Val() })
			}
		})
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited until %s", what)
		}
	}
}

// TestFollowAgain: who was away for longer than the source remembers copies everything again; a
// target with keys of its own is not touched unless that is wanted.
func TestFollowAgain(t *testing.T) {
	t.Parallel()
	addr := process.Redis(t, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16kb")
	node := process.Start(t, process.Options{})
	source, target := client(t, addr, 0), client(t, node.RESP, 0)
	ctx := context.Background()
	source.Set(ctx, "k", "v", 0)
	target.Set(ctx, "own", "v", 0)
	var said told
	o := followOptions(t, addr, node.RESP, &said)
	o.UntilCaughtUp = true
	if _, err := importer.Follow(ctx, o); !errors.Is(err, importer.ErrNotEmpty) || target.Get(ctx, "own").Val() != "v" {
		t.Fatalf("into a target with keys: %v", err)
	}
	o.Existing = importer.Replace
	if _, err := importer.Follow(ctx, o); err != nil || target.Exists(ctx, "own").Val() != 0 || target.Get(ctx, "k").Val() != "v" {
		t.Fatalf("%v", err)
	}
	o.Existing = importer.Skip
	if _, err := importer.Follow(ctx, o); !errors.Is(err, importer.ErrNotEmpty) {
		t.Fatalf("going on from what is finished: %v", err)
	}
	// once follows until the target has a value, and is interrupted.
	once := func(value string) importer.Summary {
		t.Helper()
		following, cancel := context.WithCancel(ctx)
		defer cancel()
		o.UntilCaughtUp = false
		var sum importer.Summary
		ended := make(chan error, 1)
		go func() {
			var err error
			sum, err = importer.Follow(following, o)
			ended <- err
		}()
		await(t, "the value is there, and all the others", func() bool {
			return target.Get(ctx, "k").Val() == value && said.count("everything is copied") == said.count("copying everything")
		})
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return sum
	}
	o.Existing = importer.Replace
	source.Set(ctx, "k", "w", time.Hour)
	once("w")
	if ttl := target.Do(ctx, "TTL", "k").Val().(int64); ttl < 100*365*24*3600 {
		t.Errorf("a key ends by itself in %d seconds", ttl)
	}
	source.Set(ctx, "k", "x", 0)
	if sum := once("x"); sum.Commands != 1 || sum.Copied != 0 {
		t.Errorf("going on: %+v", sum)
	}
	for range 100 {
		source.Set(ctx, "filler", strings.Repeat("x", 1000), 0)
	}
	source.Set(ctx, "k", "y", time.Hour)
	if sum := once("y"); sum.Copied != 2 {
		t.Errorf("after the source has forgotten: %+v", sum)
	}
	o.UntilCaughtUp = true
	if _, err := importer.Follow(ctx, o); err != nil || target.StrLen(ctx, "filler").Val() != 1000 || target.DBSize(ctx).Val() != 2 {
		t.Fatalf("%v", err)
	}
	if a, b := source.PExpireTime(ctx, "k").Val(), target.PExpireTime(ctx, "k").Val(); a != b {
		t.Errorf("the key ends at %v, and there at %v", a, b)
	}
	if n := said.count("copying everything"); n != 3 {
		t.Errorf("everything was copied %d times: %q", n, said.lines)
	}
	o.From.Addr = node.RESP
	if _, err := importer.Follow(ctx, o); err == nil || !strings.Contains(err.Error(), "no replicas") {
		t.Errorf("following a server that has no replicas: %v", err)
	}
}
