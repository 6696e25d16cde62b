package kvrange_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/wire/resp"
)

// doors are the three nodes as Redis's clients see them.
func (c *nodes) doors() (addrs []string) {
	c.t.Helper()
	for _, n := range c.list {
		s := redis.NewServer(redis.Options{DB: n.db})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		c.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
				c.t.Error(err)
			}
		})
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// talker is a client of Redis's protocol. One whose connection has ended, since what it was
// told or has done is lost with a leader, begins a new one.
type talker struct {
	t    testing.TB
	addr string
	net.Conn
	d *resp.Decoder
	// begun is called with each connection, pushed with what comes unasked.
	begun  func()
	pushed func(v resp.Value)
}

func talkTo(t testing.TB, addr string) *talker {
	t.Helper()
	k := &talker{t: t, addr: addr, begun: func() {}, pushed: func(resp.Value) {}}
	k.dial()
	return k
}

func (k *talker) dial() {
	c, err := net.Dial("tcp", k.addr)
	if err == nil {
		k.t.Cleanup(func() { _ = c.Close() })
	}
	if err != nil {
		k.t.Error(err)
		runtime.Goexit()
	}
	k.Conn, k.d = c, resp.NewDecoder(c, resp.DecoderLimits{})
	k.begun()
}

// do sends a command and answers its reply, or an error if there is none.
func (k *talker) do(words string) resp.Value {
	_ = k.SetDeadline(time.Now().Add(time.Minute))
	_, err := k.Write(resp.AppendCommand(nil, strings.Fields(words)...))
	for err == nil {
		var v resp.Value
		if v, err = k.d.Decode(); err == nil && v.Kind != resp.KindPush {
			return v
		} else if err == nil {
			k.pushed(v)
		}
	}
	k.dial()
	return resp.Value{Kind: resp.KindError, Str: []byte("ERR " + err.Error())}
}

// cacher is a client that keeps what it reads until it is told.
type cacher struct {
	*talker
	mu sync.Mutex
	// kept are values by key; asked are the keys whose values are on their way, for who is told
	// over another connection.
	kept         map[string]string
	asked        map[string]bool
	told, nulled int
}

func newCacher(t testing.TB, addr, tracking string) *cacher {
	c := &cacher{talker: talkTo(t, addr), kept: map[string]string{}, asked: map[string]bool{}}
	c.pushed = c.forget
	ear := (*talker)(nil)
	if strings.Contains(tracking, "<other>") {
		ear = talkTo(t, addr)
		ear.do("HELLO 3")
		tracking = strings.ReplaceAll(tracking, "<other>", ear.do("CLIENT ID").Text())
		_ = ear.SetDeadline(time.Time{})
		go func() {
			for {
				v, err := ear.d.Decode()
				if err != nil {
					return
				}
				c.forget(v)
			}
		}()
	}
	c.begun = func() {
		c.mu.Lock()
		clear(c.kept)
		clear(c.asked)
		c.mu.Unlock()
		c.do("HELLO 3")
		if v := c.do("CLIENT TRACKING ON " + tracking); v.Err() != nil {
			t.Error(v.Err())
		}
	}
	c.begun()
	return c
}

// forget takes what an invalidation names.
func (c *cacher) forget(v resp.Value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told++
	if len(v.Array) == 2 && v.Array[1].IsNull() {
		clear(c.kept)
		clear(c.asked)
		c.nulled++
		return
	}
	for _, k := range v.Array[1].Array {
		delete(c.kept, k.Text())
		delete(c.asked, k.Text())
	}
}

// read reads a key, unless it is kept.
func (c *cacher) read(key string) {
	c.mu.Lock()
	if _, ok := c.kept[key]; ok {
		c.mu.Unlock()
		return
	}
	c.asked[key] = true
	c.mu.Unlock()
	v := c.do("GET " + key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[key] && v.Err() == nil {
		c.kept[key] = fmt.Sprint(v.IsNull(), v.Text())
	}
	delete(c.asked, key)
}

const trackedKeys = 60

// TestTrackingOnNodes: clients that keep what they read, at all nodes and in all modes, while
// others write at all nodes and leaders come and go. Once that has ended, nothing that is kept
// is another value than the database's.
func TestTrackingOnNodes(t *testing.T) {
	db := keyspace.AppendRedisDB(nil, catalog.DefaultID, 0)
	cuts := []string{string(keyspace.AppendRedisSlot(nil, db, 5000)), string(keyspace.AppendRedisSlot(nil, db, 11000))}
	c := startNodes(t, cuts...)
	addrs := c.doors()
	var cachers []*cacher
	for i, mode := range []string{"", "BCAST", "REDIRECT <other>", "OPTOUT", "BCAST PREFIX k1 PREFIX k2 PREFIX k3 PREFIX k4 PREFIX k5 PREFIX k6 PREFIX k7 PREFIX k8 PREFIX k9 PREFIX k0", "NOLOOP"} {
		cachers = append(cachers, newCacher(t, addrs[i%3], mode))
	}
	var writing, quiet atomic.Bool
	var writers, readers sync.WaitGroup
	writing.Store(true)
	for i := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			k, r := talkTo(t, addrs[i%3]), rand.New(rand.NewPCG(uint64(i), 1))
			key := func() string { return fmt.Sprint("k", r.IntN(trackedKeys)) }
			for n := 0; writing.Load(); n++ {
				switch r.IntN(12) {
				case 0:
					k.do("DEL " + key())
				case 1:
					k.do(fmt.Sprintf("MSET %s %d %s %d", key(), n, key(), n))
				case 2:
					k.do("RENAME " + key() + " " + key())
				case 3:
					k.do(fmt.Sprintf("SET %s short PX %d", key(), 1+r.IntN(50)))
				case 4:
					k.do(fmt.Sprintf("EVAL return{redis.call('set',KEYS[1],ARGV[1]),redis.call('append',KEYS[2],ARGV[1])} 2 %s %s %d", key(), key(), n))
				case 5:
					if n%40 == 0 {
						k.do("FLUSHDB")
					}
				default:
					k.do(fmt.Sprintf("SET %s %d-%d", key(), i, n))
				}
			}
		}()
	}
	for i, x := range cachers {
		readers.Add(1)
		go func() {
			defer readers.Done()
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for !quiet.Load() {
				x.read(fmt.Sprint("k", r.IntN(trackedKeys)))
				if r.IntN(50) == 0 {
					x.do("PING")
				}
			}
		}()
	}
	for i := range 8 {
		<-time.After(100 * time.Millisecond)
		for j, cut := range cuts {
			c.lead([]byte(cut), (i+j)%3)
		}
	}
	writing.Store(false)
	writers.Wait()
	<-time.After(100 * time.Millisecond) // for reads of what is written last
	quiet.Store(true)
	readers.Wait()
	for _, x := range cachers {
		for n := range trackedKeys {
			x.read(fmt.Sprint("k", n))
		}
	}
	agree(t, c, cachers, talkTo(t, addrs[0]))
}

// agree waits until what is kept is what is stored; values with a time end meanwhile.
func agree(t *testing.T, c *nodes, cachers []*cacher, k *talker) {
	t.Helper()
	c.until("what is kept to be what is stored", func() error {
		for i, x := range cachers {
			x.do("PING")
			x.mu.Lock()
			kept := x.kept
			x.kept = map[string]string{}
			for key, value := range kept {
				x.kept[key] = value
			}
			x.mu.Unlock()
			for key, value := range kept {
				if v := k.do("GET " + key); fmt.Sprint(v.IsNull(), v.Text()) != value {
					return fmt.Errorf("client %d keeps %q of %s, which is %q", i, value, key, v.Text())
				}
			}
		}
		return nil
	})
	for i, x := range cachers {
		if len(x.kept) == 0 || x.told == x.nulled {
			t.Errorf("client %d keeps %d keys, and was told %d times, %d times of everything", i, len(x.kept), x.told, x.nulled)
		}
	}
}
