package redis

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
)

// pause is CLIENT PAUSE: until when, and whether only writes wait.
type pause struct {
	until atomic.Int64 // unix milliseconds, 0: not paused
	tell  func(on bool)
	mu    struct {
		sync.Mutex
		writesOnly bool
		over       chan struct{}
	}
}

// begin pauses until a time; a pause that is on is only ever made longer and stricter.
func (p *pause) begin(until int64, writesOnly bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.Load() == 0 || p.mu.over == nil {
		p.mu.over, p.mu.writesOnly = make(chan struct{}), writesOnly
	}
	p.mu.writesOnly = p.mu.writesOnly && writesOnly
	p.until.Store(max(until, p.until.Load()))
	p.tell(true)
}

// end lets everybody go on.
func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked()
}

func (p *pause) endLocked() {
	p.until.Store(0)
	p.tell(false)
	if p.mu.over != nil {
		close(p.mu.over)
		p.mu.over = nil
	}
}

// holds reports how long a command has to wait and what ends the wait early.
func (p *pause) holds(now int64, writes bool) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.until.Load() - now
	if left <= 0 {
		p.endLocked()
	}
	if p.mu.over == nil || p.mu.writesOnly && !writes {
		return 0, nil
	}
	return time.Duration(left) * time.Millisecond, p.mu.over
}

// awaitUnpause waits for the end of CLIENT PAUSE. The arguments stay where they
// are: nothing is read meanwhile.
func (s *session) awaitUnpause(x *executor, cmd *Command) {
	writes := cmd.Flags&command.FlagWrite != 0
	if s.multi.open && cmd.Name == "exec" {
		for _, q := range s.multi.queue {
			writes = writes || q.cmd.Flags&command.FlagWrite != 0
		}
	}
	for {
		d, over := s.srv.pause.holds(s.srv.now().UnixMilli(), writes)
		if over == nil {
			return
		}
		if !s.wait(x, d, over) {
			return
		}
	}
}
