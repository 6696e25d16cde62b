package redis

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/eviction"
	model "github.com/stratadb/strata/internal/model/redis"
)

const errOOM command.Error = "OOM command not allowed when used memory > 'maxmemory'."

// newEvictor makes the one that keeps to maxmemory.
func (s *Server) newEvictor() *eviction.Evictor {
	return eviction.New(eviction.Options{DB: s.db, Model: s.o.Model, Broker: s.broker, Log: s.log, Now: s.now, Limit: s.settings.cacheLimit, Usage: &s.usage,
		Evicted: &s.stats.evicted, Stopping: s.stopping, Classes: s.eventClasses, Idle: s.idle})
}

// eventClasses are those of the events that anybody may be told of.
func (s *Server) eventClasses() model.EventClasses {
	return model.EventClasses(s.settings.events.Load())
}

// idle reports whether what works in the background has nothing to do for now.
func (s *Server) idle() bool { return s.closing.Load() || s.passive.Load() }

func (c *settings) cacheLimit() eviction.Limit {
	return eviction.Limit{Bytes: c.maxMemory.Load(), Policy: eviction.Policy(c.evictionPolicy.Load()), Samples: int(c.evictionSamples.Load())}
}

// cacheChanged makes commands tell what they use, if the settings want it.
func (s *Server) cacheChanged() {
	l := s.settings.cacheLimit()
	s.usage.Track(l.Bytes > 0 && (l.Policy.LRU() || l.Policy.LFU()), s.now().Unix())
	s.setSpecial(specialCache, l.Bytes > 0)
}

// room refuses a command that needs room where there is none, and notes the keys that
// another one uses.
func (s *session) room(cmd *Command, args [][]byte) error {
	if cmd.Flags&command.FlagDenyOOM != 0 && s.srv.evictor.Full() {
		return errOOM
	}
	if !s.srv.usage.On() || s.handle == nil || strings.HasPrefix(cmd.FullName(), "object|") {
		return nil
	}
	s.info.Lock()
	silent := s.info.noTouch
	s.info.Unlock()
	if silent {
		return nil
	}
	var few [16]int
	now := s.srv.now().Unix()
	for _, i := range cmd.Keys.Positions(args, few[:0]) {
		s.srv.usage.Touch(eviction.Cell(uint64(s.ns.ID), s.handle.Number(), args[i]), now)
	}
	return nil
}

// evictionPatience is how long a command waits for an eviction that is far behind, and
// evictionPause for how long at a time.
const (
	evictionPatience = time.Second
	evictionPause    = 5 * time.Millisecond
)

// awaitEviction lets a command that needs room wait where keys come faster than they go.
func (s *session) awaitEviction(x *executor) {
	for waited := time.Duration(0); s.srv.evictor.Behind() && waited < evictionPatience; waited += evictionPause {
		if !s.wait(x, evictionPause, nil) {
			return
		}
	}
}

// used is what OBJECT says of a key's use.
func (c *Call) used(key []byte) (idle, freq int64, lfu bool) {
	s := c.s.srv
	cell, now := eviction.Cell(uint64(c.DB.Namespace()), c.DB.Number(), key), s.now().Unix()
	return s.usage.Idle(cell, now), s.usage.Freq(cell, now), s.settings.cacheLimit().Policy.LFU()
}

// memoryUnits are those of Redis's configuration.
var memoryUnits = []struct {
	suffix string
	bytes  int64
}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}, {"", 1}}

func parseMemory(v string) (int64, bool) {
	v = strings.ToLower(v)
	for _, u := range memoryUnits {
		if digits, ok := strings.CutSuffix(v, u.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			return n * u.bytes, err == nil && n >= 0 && n < 1<<62/u.bytes
		}
	}
	return 0, false
}

func cacheSettings() []setting {
	return []setting{
		setting{
			name: "maxmemory",
			get:  func(s *Server) string { return fmt.Sprint(s.settings.maxMemory.Load()) },
			parse: func(s *Server, v string) (func(), string) {
				n, ok := parseMemory(v)
				if !ok {
					return nil, "argument must be a memory value"
				}
				return parsed(func() { s.settings.maxMemory.Store(n) })
			},
		}.then((*Server).cacheChanged),
		setting{
			name: "maxmemory-policy",
			get:  func(s *Server) string { return s.settings.cacheLimit().Policy.String() },
			parse: func(s *Server, v string) (func(), string) {
				p, ok := eviction.ParsePolicy(strings.ToLower(v))
				if !ok {
					return nil, "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, " +
						"allkeys-lru, allkeys-lfu, allkeys-random, noeviction"
				}
				return parsed(func() { s.settings.evictionPolicy.Store(int64(p)) })
			},
		}.then((*Server).cacheChanged),
		intSetting("maxmemory-samples", 1, func(s *Server) *atomic.Int64 { return &s.settings.evictionSamples }),
	}
}
