package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

const (
	accounts, each = 8, 1000

	transferScript = "local a=tonumber(redis.call('GET',KEYS[1])) local n=tonumber(ARGV[1]) if a<n then return redis.error_reply('POOR') end " +
		"redis.call('SET',KEYS[1],a-n) redis.call('INCRBY',KEYS[2],n) return redis.call('INCR','transfers')"
	countScript = "local n=0 for _,k in ipairs(KEYS) do n=n+redis.call('GET',k) end return n"
)

// bank are accounts in several ranges, and the scripts that move money between them.
type bank struct {
	*trio
	mu   sync.Mutex // guards the nodes
	keys []string
	sha  string
	stop atomic.Bool

	sent, acknowledged, counted atomic.Int64
}

func (b *bank) node(i int) *process.Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nodes[i]
}

// asked sends a command, word by word, to a node, and renders the reply.
func asked(n *process.Node, words ...string) string {
	conn, err := process.Dial(n.RESP)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(replyWithin))
	v, err := conn.Do(words...)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(resp.AppendRaw(nil, v)))
}

// client uses one node after the other, as long as they answer.
func (b *bank) client(use func(conn *process.Conn) bool) {
	for !b.stop.Load() {
		conn, err := process.Dial(b.node(rand.IntN(3)).RESP)
		if err != nil {
			continue // that node is down
		}
		for !b.stop.Load() {
			_ = conn.SetDeadline(time.Now().Add(replyWithin))
			if !use(conn) {
				break
			}
		}
		_ = conn.Close()
	}
}

// transfer moves money between two accounts.
func (b *bank) transfer(conn *process.Conn) bool {
	from, to := rand.IntN(accounts), rand.IntN(accounts-1)
	if to >= from {
		to++
	}
	b.sent.Add(1)
	v, err := conn.Do("EVALSHA", b.sha, "2", b.keys[from], b.keys[to], fmt.Sprint(1+rand.IntN(50)))
	if err == nil && v.Kind == resp.KindInt {
		b.acknowledged.Add(1)
	}
	return err == nil && (v.Kind != resp.KindError || string(v.Str) == "ERR POOR")
}

// count counts the money, after a call that is refused.
func (b *bank) count(conn *process.Conn) bool {
	v, err := conn.Do(append([]string{"FCALL_RO", "count", fmt.Sprint(accounts)}, b.keys...)...)
	if err != nil || v.Kind == resp.KindError && !strings.HasPrefix(string(v.Str), "ERR Can not execute") {
		return false
	}
	v, err = conn.Do(append([]string{"FCALL", "count", fmt.Sprint(accounts)}, b.keys...)...)
	if err != nil || v.Kind == resp.KindError {
		return false
	}
	if v.Int != accounts*each {
		b.t.Errorf("somebody counts %d", v.Int)
	}
	b.counted.Add(1)
	return true
}

// more waits until scripts have gone on.
func (b *bank) more() {
	b.t.Helper()
	before, sums := b.acknowledged.Load(), b.counted.Load()
	b.until("scripts have gone on", func() error {
		if n, m := b.acknowledged.Load()-before, b.counted.Load()-sums; n < 100 || m < 5 {
			return fmt.Errorf("%d transfers, %d counts", n, m)
		}
		return nil
	})
}

// TestScriptsOverNodes: what one node was told of scripts and functions all know. Scripts move money
// between accounts that lie in different ranges, at all nodes, while nodes are killed: whoever
// counts it finds all of it, and so does a script that does nothing but count.
func TestScriptsOverNodes(t *testing.T) {
	t.Parallel()
	b := &bank{trio: startDivided(t)}
	for i := range accounts {
		b.keys = append(b.keys, keyIn(i%slotRanges, 100+i))
	}
	b.sha = asked(b.nodes[0], "SCRIPT", "LOAD", transferScript)
	for i := range b.nodes {
		if got := asked(b.nodes[i], "SCRIPT", "EXISTS", b.sha); got != "1" {
			t.Fatalf("node %d: %s", i+1, got)
		}
	}
	for version := range 10 { // whoever is told that it is loaded finds it everywhere
		code := fmt.Sprintf("#!lua name=bank\nredis.register_function('count', function(KEYS) %s end)\nredis.register_function('version', function() return %d end)", countScript, version)
		if got := asked(b.nodes[version%3], "FUNCTION", "LOAD", "REPLACE", code); got != "bank" {
			t.Fatal(got)
		}
		for i := range b.nodes {
			if got := asked(b.nodes[i], "FCALL", "version", "1", b.keys[version%accounts]); got != fmt.Sprint(version) {
				t.Errorf("node %d has version %s, not %d", i+1, got, version)
			}
		}
	}
	for _, key := range b.keys {
		if got := asked(b.nodes[1], "SET", key, fmt.Sprint(each)); got != "OK" {
			t.Fatal(got)
		}
	}
	var clients sync.WaitGroup
	clients.Go(func() { b.client(b.count) })
	for range 5 {
		clients.Go(func() { b.client(b.transfer) })
	}
	for round := range *kills {
		b.more()
		victim := round % 3
		b.node(victim).Kill()
		b.more()
		b.mu.Lock()
		b.restart(victim)
		b.mu.Unlock()
		b.awaitVoters("1,2,3")
	}
	b.more()
	b.stop.Store(true)
	clients.Wait()
	if got := asked(b.nodes[2], append([]string{"FCALL", "count", fmt.Sprint(accounts)}, b.keys...)...); got != fmt.Sprint(accounts*each) {
		t.Errorf("%s are left of %d", got, accounts*each)
	}
	var done int64
	if _, err := fmt.Sscan(asked(b.nodes[1], "GET", "transfers"), &done); err != nil || done < b.acknowledged.Load() || done > b.sent.Load() {
		t.Errorf("%d transfers (%v), of %d sent %d were acknowledged", done, err, b.sent.Load(), b.acknowledged.Load())
	}
	t.Logf("%d transfers, %d counts", b.acknowledged.Load(), b.counted.Load())
}
