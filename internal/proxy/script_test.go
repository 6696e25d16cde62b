package proxy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/proxy"
)

const transferScript = `
local from = tonumber(redis.call('GET', KEYS[1]) or '100')
if from < tonumber(ARGV[1]) then return {0, from} end
redis.call('SET', KEYS[1], from - ARGV[1])
redis.call('INCRBY', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[1] .. ':log', ARGV[1])
return {1, redis.call('GET', KEYS[2])}`

const library = "#!lua name=accounts\n" +
	"redis.register_function('deposit', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)"

// TestScripts: scripts and functions do the same on both sides, whichever decides.
func TestScripts(t *testing.T) {
	m := start(t, proxy.DualWriteShadow)
	ctx := context.Background()
	direct := m.clientOf(m.redis, 2)
	early := redis.NewScript("return redis.call('APPEND', KEYS[1], ARGV[1])")
	early.Load(ctx, direct) // before anybody could see its text
	if err := direct.FunctionLoad(ctx, library).Err(); err != nil {
		t.Fatal(err)
	}
	m.sync()
	for _, mode := range []proxy.Mode{proxy.DualWriteShadow, proxy.StrataPrimary} {
		m.setMode(mode)
		var wg sync.WaitGroup
		for i := range 4 {
			c := m.client()
			wg.Add(1)
			go func() {
				defer wg.Done()
				r := rand.New(rand.NewPCG(uint64(i), 1))
				s := redis.NewScript(transferScript)
				for range 150 {
					a, b := fmt.Sprint("account:", r.IntN(4)), fmt.Sprint("account:", r.IntN(4))
					if err := s.Run(ctx, c, []string{a, b}, 1+r.IntN(20)).Err(); err != nil {
						t.Error(err)
						return
					}
					if err := c.FCall(ctx, "deposit", []string{a}, 1).Err(); err != nil {
						t.Error(err)
						return
					}
					if _, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
						p.Eval(ctx, "return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)", []string{"h"}, a)
						p.EvalSha(ctx, s.Hash(), []string{b, a}, 1)
						p.Get(ctx, a)
						return nil
					}); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
		m.equal()
		m.noDifferences()
	}
	m.setMode(proxy.DualWriteShadow)
	c := m.client()
	for range 3 {
		if err := c.EvalSha(ctx, early.Hash(), []string{"text"}, "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := redis.NewScript(transferScript).Run(ctx, c, []string{"account:0", "account:1"}, 1).Err(); err != nil {
		t.Error(err)
	}
	m.equal()
	m.noDifferences()
	if r := m.Report(); r.UnknownScripts != 3 {
		t.Errorf("%d scripts of unknown text", r.UnknownScripts)
	}
}

// TestScriptKnownBeforeItRuns: the text of a script is known from the moment when somebody sends
// it, since the deciding side may know it before the reply is read.
func TestScriptKnownBeforeItRuns(t *testing.T) {
	m := start(t, proxy.DualWrite)
	m.sync()
	ctx := context.Background()
	script := redis.NewScript("return redis.call('RPUSH', KEYS[1], 'a')")
	if err := script.Load(ctx, m.clientOf(m.redis, 2)).Err(); err != nil { // as if the next one had run already
		t.Fatal(err)
	}
	one := m.client().Conn()
	for _, words := range [][]any{{"MULTI"}, {"EVAL", "return redis.call('RPUSH', KEYS[1], 'a')", 1, "k"}} {
		if err := one.Do(ctx, words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.client().EvalSha(ctx, script.Hash(), []string{"l"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := one.Do(ctx, "EXEC").Err(); err != nil {
		t.Fatal(err)
	}
	if n := m.Report().UnknownScripts; n != 0 {
		t.Errorf("%d scripts of unknown text", n)
	}
	m.equal()
}

// TestScriptsPush: a client that waits gets what a script has pushed, also to a key that the
// script has not declared.
func TestScriptsPush(t *testing.T) {
	m := start(t, proxy.DualWrite)
	m.sync()
	ctx := context.Background()
	for script, key := range map[string]string{"return redis.call('RPUSH', KEYS[1], 'a')": "l", "return redis.call('RPUSH', 'l', 'a')": "other"} {
		got := make(chan error, 1)
		waiting := m.client()
		go func() { got <- waiting.BLPop(ctx, time.Minute, "l").Err() }()
		m.waiting(1, 0)
		if err := m.client().Eval(ctx, script, []string{key}).Err(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Errorf("%s: %v", script, err)
		}
	}
	c := m.client()
	c.Set(ctx, "k", 1, 0)
	m.equal()
}
