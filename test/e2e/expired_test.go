package e2e

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

const (
	mortalKeys    = 300
	mortalReaders = 4 // of each node that survives
)

// listener counts the keys whose end it hears of.
type listener struct {
	mu    sync.Mutex
	heard map[string]int
}

func (c *trio) listen(t *testing.T, node int) *listener {
	l := &listener{heard: map[string]int{}}
	at := dial(t, c.nodes[node].RESP)
	at.expect("CONFIG SET notify-keyspace-events Ex", "OK")
	at.do("SUBSCRIBE __keyevent@0__:expired")
	_ = at.SetDeadline(time.Time{})
	go func() {
		for {
			v, err := at.Decoder.Decode()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.heard[string(v.Array[2].Str)]++
			l.mu.Unlock()
		}
	}()
	return l
}

// missing are the keys of which nothing was heard; once fails if one was heard of twice.
func (l *listener) missing(t *testing.T, prefix string) (list []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range mortalKeys {
		key := fmt.Sprint(prefix, i)
		switch l.heard[key] {
		case 0:
			list = append(list, key)
		case 1:
		default:
			t.Errorf("%s expired %d times", key, l.heard[key])
		}
	}
	return list
}

// expiredOnce: keys whose time comes while leadership is handed on, and while the leader is killed,
// are never seen again by anybody who could know. Who listens hears of each once; what the killed
// leader had not told those who asked is heard of at most once.
func (c *trio) expiredOnce(t *testing.T) {
	leader := func() int {
		return leaderAt(t, c.nodes[0])
	}
	transfer := func(to int) {
		c.until("another node leads", func() error {
			if leader() == to {
				return nil
			}
			_, err := distribution(t, c.nodes[0]).TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 1, NodeId: uint64(to + 1)})
			return fmt.Errorf("asked for it: %v", err)
		})
	}
	transfer(1)
	const victim = 2
	alive := []int{0, 1}
	ears := []*listener{c.listen(t, 0), c.listen(t, 1)}
	dial(t, c.nodes[victim].RESP).expect("CONFIG SET notify-keyspace-events Ex", "OK")
	at := dial(t, c.nodes[0].RESP)
	// set lets keys end in turn, from a moment on, and answers how long it takes to say so.
	set := func(prefix string, first time.Time) time.Duration {
		began := time.Now()
		var all []byte
		for i := range mortalKeys {
			all = resp.AppendCommand(all, "SET", fmt.Sprint(prefix, i), "v", "PXAT", fmt.Sprint(first.UnixMilli()+int64(4*i)))
		}
		_ = at.SetDeadline(began.Add(replyWithin))
		if _, err := at.Write(all); err != nil {
			t.Fatal(err)
		}
		for range mortalKeys {
			if v, err := at.Decoder.Decode(); err != nil || string(v.Str) != "OK" {
				t.Fatalf("%+v, %v", v, err)
			}
		}
		return time.Since(began)
	}
	// pass lets keys expire while something happens. They are set while all live: if that took too
	// long they are others.
	pass := func(name string, happens func()) (prefix string, failed int64) {
		var first time.Time
		for left := -time.Second; left < 0; left = time.Until(first) {
			prefix += name
			took := set(prefix, time.Now().Add(time.Hour))
			first = time.Now().Add(400*time.Millisecond + 5*took)
			set(prefix, first)
		}
		r := &mortals{prefix: prefix, end: first.Add(4 * (mortalKeys + 50) * time.Millisecond)}
		var wait sync.WaitGroup
		for _, node := range alive {
			for n := range mortalReaders {
				wait.Go(func() { r.read(t, c.nodes[node].RESP, n) })
			}
		}
		happens()
		wait.Wait()
		leader()
		for i := range mortalKeys {
			at.expect(fmt.Sprint("GET ", prefix, i), "(nil)")
		}
		return prefix, r.failed.Load()
	}
	told := func(prefix string, most int) {
		c.until("the ends of "+prefix+" are heard of", func() error {
			lists := [2][]string{ears[0].missing(t, prefix), ears[1].missing(t, prefix)}
			if len(lists[0]) > most || !slices.Equal(lists[0], lists[1]) {
				return fmt.Errorf("missing are %v and %v", lists[0], lists[1])
			}
			return nil
		})
	}
	soon := func() { <-time.After(500 * time.Millisecond) }
	handed, _ := pass("handed:", func() { soon(); transfer(victim); <-time.After(300 * time.Millisecond) })
	told(handed, 0)
	killed, failed := pass("killed:", func() { soon(); transfer(victim); c.nodes[victim].Kill() })
	told(killed, len(alive)*mortalReaders)
	t.Logf("%d reads failed; not heard of: %v", failed, ears[0].missing(t, killed))
	c.restart(victim)
	back := dial(t, c.nodes[victim].RESP)
	for _, prefix := range []string{handed, killed} {
		for i := range mortalKeys {
			back.expect(fmt.Sprint("GET ", prefix, i), "(nil)")
		}
	}
	c.until("nothing is left", func() error {
		if v := back.do("DBSIZE"); v.Kind != resp.KindInt || v.Int != 0 {
			return fmt.Errorf("%s", resp.AppendFormat(nil, v))
		}
		return nil
	})
}

// mortals are keys that are read while they expire.
type mortals struct {
	prefix string
	end    time.Time
	gone   [mortalKeys]atomic.Bool // somebody has been told
	failed atomic.Int64
}

// read reads keys as long as some may live, and fails if one comes back.
func (r *mortals) read(t *testing.T, addr string, i int) {
	for time.Now().Before(r.end) {
		conn, err := process.Dial(addr)
		if err != nil {
			t.Error(err)
			return
		}
		for ; time.Now().Before(r.end); i = (i + 7) % mortalKeys {
			known := r.gone[i].Load()
			_ = conn.SetDeadline(time.Now().Add(replyWithin))
			v, err := conn.Do("GET", fmt.Sprint(r.prefix, i))
			if err != nil || v.Kind == resp.KindError {
				r.failed.Add(1)
				break
			}
			if v.Kind == resp.KindNull {
				r.gone[i].Store(true)
			} else if known {
				t.Errorf("%s%d has come back: %s", r.prefix, i, v.Str)
			}
		}
		_ = conn.Close()
	}
}
