package redis

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// hintEngine notes what it is told to expect, and what is read then.
type hintEngine struct {
	kv.Engine
	mu             sync.Mutex
	expected, read map[string]bool
}

func (e *hintEngine) begin() {
	e.mu.Lock()
	e.expected, e.read = map[string]bool{}, map[string]bool{}
	e.mu.Unlock()
}

func (e *hintEngine) Expect(keys [][]byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range keys {
		e.expected[string(key)] = true
	}
	return true
}

func (e *hintEngine) NewAttempt() kv.Attempt { return &hintAttempt{e.Engine.NewAttempt(), e} }

type hintAttempt struct {
	kv.Attempt
	e *hintEngine
}

func (a *hintAttempt) Get(key []byte) ([]byte, error) {
	a.e.mu.Lock()
	a.e.read[string(key)] = true
	a.e.mu.Unlock()
	return a.Attempt.Get(key)
}

// TestElementsAreExpected: of a pipeline on elements of large values all rows are looked for
// together, headers once each, and each of them is read.
func TestElementsAreExpected(t *testing.T) {
	e := &hintEngine{Engine: kvmem.New(stampNow)}
	e.begin()
	c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
	for i := range 200 {
		c.says("HSET", "h", fmt.Sprint("e", i), "v")
		c.says("SADD", "s", fmt.Sprint("e", i))
		c.says("ZADD", "z", fmt.Sprint(i), fmt.Sprint("e", i))
	}
	c.pipe("PING|PING", "+PONG|+PONG|")
	for _, tc := range []struct {
		command, reply string
		keys           int
	}{
		{"HSET h e%d w|", ":0|", 17}, {"HGET h e%d|", "$1|w|", 17}, {"HDEL h e%d|", ":1|", 17}, {"HINCRBY h e%d 1|", ":1|", 17},
		{"SADD s e%d|", ":0|", 17}, {"SISMEMBER s e%d|", ":1|", 17}, {"SREM s e%d|", ":1|", 17},
		{"ZADD z 7 e%d|", ":0|", 17}, {"ZSCORE z e%d|", "$1|7|", 17}, {"ZINCRBY z 1 e%d|", "$1|8|", 17}, {"ZREM z e%d|", ":1|", 17},
		{"SET k%d 1|", "+OK|", 16},
	} {
		var send, want strings.Builder
		for i := range togetherHere {
			fmt.Fprintf(&send, tc.command, 20+i)
			want.WriteString(tc.reply)
		}
		e.begin()
		c.pipe(strings.TrimSuffix(send.String(), "|"), want.String())
		e.mu.Lock()
		if len(e.expected) != tc.keys {
			t.Errorf("%s: %d rows were expected, want %d", tc.command, len(e.expected), tc.keys)
		}
		for key := range e.expected {
			if !e.read[key] {
				t.Errorf("%s: %q was expected and not read", tc.command, key)
			}
		}
		e.mu.Unlock()
	}
}
