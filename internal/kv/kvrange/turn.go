package kvrange

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

var _ kv.TurnEngine = (*Engine)(nil)

// Turn implements kv.TurnEngine.
func (e *Engine) Turn(key []byte, since base.Stamp) kv.Turn {
	if e.client == nil {
		return kv.First
	}
	return e.client.Turn(key, since)
}

// Waited implements kv.TurnEngine.
func (e *Engine) Waited(key []byte) bool { return e.client != nil && e.client.Standing(key) > 0 }
