package redis

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/acl"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// witness is an engine that remembers which Redis keys were touched, and which were written.
type witness struct {
	kv.Engine
	mu      sync.Mutex
	touched map[string]bool // true: written
}

func (w *witness) NewAttempt() kv.Attempt { return &witnessed{w.Engine.NewAttempt(), w} }

// see notes a row, if it belongs to a Redis key.
func (w *witness) see(row []byte, write bool) {
	if len(row) == 0 || row[0] != keyspace.Data {
		return
	}
	_, rest, ok := keyspace.DecodeOrdered(row[1:])
	const inside = 4 // model, database and slot
	if !ok || len(rest) < inside+1+keyspace.RedisPlaceBytes || rest[0] != byte(keyspace.ModelRedis) || rest[inside] != keyspace.SlotKeys {
		return
	}
	if key, _, ok := keyspace.DecodeEscaped(nil, rest[inside+1+keyspace.RedisPlaceBytes:]); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.touched[string(key)] = w.touched[string(key)] || write
	}
}

type witnessed struct {
	kv.Attempt
	w *witness
}

func (a *witnessed) Get(key []byte) ([]byte, error) {
	a.w.see(key, false)
	return a.Attempt.Get(key)
}

func (a *witnessed) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	return a.Attempt.Scan(span, reverse, func(key, value []byte) bool {
		a.w.see(key, false)
		return visit(key, value)
	})
}

func (a *witnessed) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	for _, m := range req.Mutations {
		a.w.see(m.Key, true)
	}
	return a.Attempt.Commit(req)
}

// TestACLKnowsAllKeys: a command touches no key but those that its rights are compared with, and
// writes none that it has no right to write by that.
//
// What Redis's own table says is kept where it is lax.
func TestACLKnowsAllKeys(t *testing.T) {
	w := &witness{Engine: kvmem.New(stampNow), touched: map[string]bool{}}
	s := start(t, Options{DB: kv.New(w, time.Now), ManualExpiry: true})
	c := s.dial(t)
	calls := strings.Split(strings.ReplaceAll(strings.Join(aclCalls, "|"), "\n\t\t", "|"), "|")
	calls = append(calls, "SORT al STORE b STORE c", "SORT al LIMIT 0 1 STORE STORE", "GEORADIUS ag 1 1 9 km STORE b STOREDIST c", "GEORADIUS ag 1 1 9 km STOREDIST b STORE c", "GEORADIUS ag 1 1 9 km COUNT 1 STORE STORE",
		"GEORADIUSBYMEMBER STORE x 9 km STORE b", "XREAD COUNT 1 STREAMS STREAMS 0", "XREAD COUNT 1 STREAMS STREAMS ax 0 0", "XREADGROUP GROUP STREAMS c STREAMS ax >", "XREADGROUP GROUP g STREAMS STREAMS ax 0",
		"ZUNIONSTORE b +2 az c", "ZUNION 02 az b", "LMPOP +1 al LEFT", "BLMPOP 0.01 01 al LEFT", "SET b v get", "SET b v IFEQ get", "DELEX b IFEQ x", "BITFIELD b GET u8 0 SET u8 0 1", "BITFIELD b OVERFLOW SAT GET u8 0", "EXISTS b c a1",
		"HGETDEL ah FIELDS 1 f", "HGETEX ah FIELDS 1 f", "HSETNX ah f v", "HPEXPIRE ah 1000000 FIELDS 1 f", "XAUTOCLAIM ax g c 0 0", "XCLAIM ax g c 0 1-1", "XPENDING ax g", "LINSERT al BEFORE x y", "SINTERSTORE b as as", "ZDIFFSTORE b 1 az",
		"PFDEBUG GETREG ap", "OBJECT FREQ b", "MEMORY USAGE al", "DEBUG OBJECT al", "EXPIRE b 10000 NX", "RENAME al STORE", "COPY az b REPLACE", "LCS a1 b IDX", "ZADD az 1 x 2 y", "RPUSH al 1 2 3", "SADD as 1 2", "XADD ax * f v")
	r := rand.New(rand.NewPCG(8, 9))
	tried, rounds := 0, 6000
	if testing.Short() { // the race detector learns nothing from one client
		rounds = 1500
	}
	for range rounds {
		words := strings.Fields(calls[r.IntN(len(calls))])
		args := make([][]byte, len(words))
		for i, word := range words {
			args[i] = []byte(word)
		}
		cmd := s.table.Resolve(args)
		if cmd == nil || cmd.Handler == nil || !cmd.ArityFits(len(args)) || cmd.Group == command.GroupTransactions || cmd.Flags&command.FlagPubsub != 0 ||
			strings.Contains("scan keys randomkey flushdb flushall swapdb dbsize auth", cmd.FullName()) || cmd.Elsewhere(args) {
			continue
		}
		keys, _ := acl.Keys(cmd, args, nil)
		may := map[string]bool{}
		for _, k := range keys {
			may[words[k.At]] = may[words[k.At]] || k.Write
		}
		w.mu.Lock()
		clear(w.touched)
		w.mu.Unlock()
		reply := c.says(words...)
		w.mu.Lock()
		for key, written := range w.touched {
			writes, known := may[key]
			if name := cmd.FullName(); name == "xreadgroup" || name == "pfdebug" {
				writes = true // as in Redis, which asks for no right to write what a reader leaves behind
			}
			if !known || written && !writes {
				t.Errorf("%v touches %q (written: %v), rights are asked for %v: %s", words, key, written, may, reply)
			}
		}
		if len(w.touched) > 0 {
			tried++
		}
		w.mu.Unlock()
	}
	if tried < rounds/2 {
		t.Errorf("only %d commands touched keys", tried)
	}
}
