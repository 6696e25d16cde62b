package lsm

import (
	"sync/atomic"

	"github.com/stratadb/strata/internal/base"
)

// gate lets readers in until it is closed, and Close wait for those inside:
// Pebble panics under whoever reads a store that is closed.
type gate struct {
	inside atomic.Int64
	closed atomic.Bool
	empty  chan struct{}
}

func newGate() gate { return gate{empty: make(chan struct{}, 1)} }

// enter must be followed by leave unless it fails.
func (g *gate) enter() error {
	g.inside.Add(1)
	if g.closed.Load() {
		g.leave()
		return base.ErrClosed
	}
	return nil
}

func (g *gate) leave() {
	if g.inside.Add(-1) == 0 && g.closed.Load() {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

// close refuses whoever comes, and waits for those who are inside.
func (g *gate) close() {
	g.closed.Store(true)
	for g.inside.Load() > 0 {
		<-g.empty
	}
}
