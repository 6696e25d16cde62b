package kvmem

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// following is somebody who follows.
type following struct {
	span base.Span
	to   kv.Follower
}

// Follow implements kv.Engine.
func (e *Engine) Follow(span base.Span, f kv.Follower) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.feeds == nil {
		e.mu.feeds = map[*following]struct{}{}
	}
	who := &following{span, f}
	e.mu.feeds[who] = struct{}{}
	f.Covered(span)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.mu.feeds, who)
	}
}

// tellLocked tells of a commit. Whoever follows must not use the engine.
func (e *Engine) tellLocked(req *kv.CommitRequest) {
	for f := range e.mu.feeds {
		var list []base.Change
		for i := range req.Mutations {
			if key, some := keyspace.RedisChange(f.span, &req.Mutations[i]); some {
				list = append(list, base.Change{Key: bytes.Clone(key), Origin: req.Origin})
			}
		}
		if len(list) > 0 {
			f.to.Changed(list)
		}
	}
}
