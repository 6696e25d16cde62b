package proxy

import (
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Progress is how far a sync has come, in the report.
type Progress struct {
	Running bool      `json:"running"`
	Phase   string    `json:"phase,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Keys    int64     `json:"keys"`
	Total   int64     `json:"total"`
	Removed int64     `json:"removed"`
	Error   string    `json:"error,omitempty"`
}

type progress struct {
	sync.Mutex
	Progress
	again   bool // a script ran meanwhile: what it wrote to, nobody knows
	swapped bool // SWAPDB ran meanwhile
}

func (s *progress) set(change func(s *progress)) {
	s.Lock()
	defer s.Unlock()
	change(s)
}

func (s *progress) get() Progress {
	s.Lock()
	defer s.Unlock()
	return s.Progress
}

// ErrSync says why a sync cannot begin.
var ErrSync = errors.New("cannot sync")

// Sync makes the side that follows the same as the deciding one, while clients go on: first
// keys that only the follower has are deleted, then each key is copied under its lock. A key
// that is written before its turn is copied at once, so that from its first write on effects
// meet what they were made on. It runs in the background.
func (p *Proxy) Sync() error {
	p.gate.RLock()
	follows := p.follower != nil
	epoch := p.epoch
	p.gate.RUnlock()
	if !follows {
		return errors.Wrap(ErrSync, "in this mode no side follows")
	}
	p.syncing.Lock()
	defer p.syncing.Unlock()
	if p.syncing.Running {
		return errors.Wrap(ErrSync, "a sync is running")
	}
	p.syncing.Progress, p.syncing.swapped = Progress{Running: true, Since: time.Now()}, false
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		err := p.syncAll(epoch)
		p.touched.Store(nil)
		p.syncing.set(func(s *progress) {
			s.Running, s.Phase = false, ""
			if err != nil {
				s.Error = err.Error()
			}
		})
		if err != nil {
			p.log.Warn("the sync has failed", "error", err)
			return
		}
		p.log.Info("the side that follows is complete")
		p.gate.RLock()
		defer p.gate.RUnlock()
		if err := p.save(true); err != nil {
			p.log.Warn("saving the state", "error", err)
		}
	}()
	return nil
}

// syncRounds bounds how often everything is copied because of scripts.
const syncRounds = 2

func (p *Proxy) syncAll(epoch uint64) error {
	p.gate.Lock()
	if p.epoch != epoch {
		p.gate.Unlock()
		return errors.New("the mode was changed")
	}
	decider := p.mode.decider()
	// From here on what is written is copied first: the bits begin empty for all at once.
	p.ledger.clear()
	p.touched.Store(new(bitmap))
	p.gate.Unlock()
	from, err := peer.Dial(p.ctx, &p.cfg.Servers[decider])
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := peer.Dial(p.ctx, &p.cfg.Servers[decider.other()])
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	if err := p.syncFunctions(from, epoch); err != nil {
		return err
	}
	for round := range syncRounds {
		p.syncing.set(func(s *progress) { s.again, s.Keys, s.Removed = false, 0, 0 })
		if err := p.syncRound(from, to, epoch); err != nil {
			return err
		}
		p.syncing.Lock()
		again := p.syncing.again && round == 0
		p.syncing.Unlock()
		if !again {
			break
		}
	}
	// Complete is what is in the queue, too: the locks are free, nothing is between sides.
	p.gate.Lock()
	defer p.gate.Unlock()
	if p.epoch != epoch {
		return errors.New("the mode was changed")
	}
	p.syncing.Lock()
	defer p.syncing.Unlock()
	if p.syncing.swapped {
		return errors.New("databases were swapped meanwhile: begin again")
	}
	p.touched.Store(nil)
	p.setComplete()
	return nil
}

func (p *Proxy) syncRound(from, to *peer.Conn, epoch uint64) error {
	all, total, err := from.Databases(nil)
	if err != nil {
		return err
	}
	extra, _, err := to.Databases(nil)
	if err != nil {
		return err
	}
	p.syncing.set(func(s *progress) { s.Phase, s.Total = "removing", total })
	for _, db := range extra {
		err := scan(to, db, func(keys []string) error {
			return p.underLocks(epoch, keys, func(f *follower) error { return p.removeExtra(f, from, db, keys) })
		})
		if err != nil {
			return err
		}
	}
	p.syncing.set(func(s *progress) { s.Phase = "copying" })
	for _, db := range all {
		err := scan(from, db, func(keys []string) error {
			err := p.underLocks(epoch, keys, func(f *follower) error {
				bits := p.touched.Load()
				for _, k := range keys {
					bits.set(db, []byte(k))
				}
				return p.copyKeys(f, db, keys)
			})
			p.syncing.set(func(s *progress) { s.Keys += int64(len(keys)) })
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// underLocks runs f with the locks of keys, once there is room in the queue.
func (p *Proxy) underLocks(epoch uint64, keys []string, do func(f *follower) error) error {
	for {
		p.gate.RLock()
		f := p.follower
		switch {
		case p.epoch != epoch || f == nil:
			p.gate.RUnlock()
			return errors.New("the mode was changed")
		case p.ctx.Err() != nil:
			p.gate.RUnlock()
			return p.ctx.Err()
		case f.up.Load() && f.q.quiet():
			held := p.locks.lock(stripesOf(keys))
			err := do(f)
			p.locks.unlock(held)
			p.gate.RUnlock()
			return err
		}
		p.gate.RUnlock()
		select {
		case <-p.ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// removeExtra deletes those of the follower's keys that the deciding side does not have.
func (p *Proxy) removeExtra(f *follower, from *peer.Conn, db int, keys []string) error {
	if err := from.Select(db); err != nil {
		return err
	}
	asks := make([][]string, len(keys))
	for i, k := range keys {
		asks[i] = []string{"EXISTS", k}
	}
	found, err := from.Pipeline(asks)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if found[i].Int != 0 {
			continue
		}
		it := item{kind: isCopy, raw: resp.AppendCommand(nil, "DEL", k), replies: 1, db: db, t: p.commands.nobody, place: place{db, k}}
		if !f.q.put([]item{it}, p.cfg.Wait, nil) {
			return errors.New("the queue is full")
		}
		p.syncing.set(func(s *progress) { s.Removed++ })
	}
	return nil
}

// syncFunctions loads the deciding side's functions at the other one.
func (p *Proxy) syncFunctions(from *peer.Conn, epoch uint64) error {
	list, err := from.Do("FUNCTION", "LIST", "WITHCODE")
	if err != nil || list.Err() != nil {
		return err // a server that knows none has none
	}
	for _, library := range list.Array {
		code, ok := library.Get("library_code")
		if !ok {
			continue
		}
		err := p.underLocks(epoch, nil, func(f *follower) error {
			it := item{raw: resp.AppendCommand(nil, []byte("FUNCTION"), []byte("LOAD"), []byte("REPLACE"), code.Str), replies: 1, t: p.commands.nobody, loose: true}
			if !f.q.put([]item{it}, p.cfg.Wait, nil) {
				return errors.New("the queue is full")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scanCount is how many keys are asked for at once.
const scanCount = 32

// scan visits the keys of a database.
func scan(c *peer.Conn, db int, visit func(keys []string) error) error {
	for cursor := "0"; ; {
		if err := c.Select(db); err != nil {
			return err
		}
		v, err := c.Do("SCAN", cursor, "COUNT", strconv.Itoa(scanCount))
		if err != nil {
			return err
		}
		if len(v.Array) != 2 {
			return errors.Newf("SCAN: %s", v.Text())
		}
		if n := len(v.Array[1].Array); n > 0 {
			keys := make([]string, n)
			for i, k := range v.Array[1].Array {
				keys[i] = string(k.Str)
			}
			if err := visit(keys); err != nil {
				return err
			}
		}
		if cursor = v.Array[0].Text(); cursor == "0" {
			return nil
		}
	}
}
