package proxy

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
)

// ErrSwitch says why the mode cannot be changed.
var ErrSwitch = errors.New("the mode was not changed")

// Mode is the mode now.
func (p *Proxy) Mode() Mode {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return p.mode
}

// SetMode changes the mode. Where the other side shall decide, or shall be left behind as it
// is, everything must have arrived there; force does it all the same. Clients are held until
// the queue is empty, for the time that the configuration allows; held says how long that was.
func (p *Proxy) SetMode(to Mode, force bool) (held time.Duration, err error) {
	p.switching.Lock()
	defer p.switching.Unlock()
	from := p.Mode()
	if to == from {
		return 0, nil
	}
	moves := from.decider() != to.decider()
	if moves && !force {
		p.gate.RLock()
		f := p.follower
		p.gate.RUnlock()
		if f != nil { // it may have begun with the change before
			f.awaitTry(p.cfg.Switch)
		}
		if err := p.ready(); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	p.gate.Lock()
	p.releaseNatives()
	defer func() {
		held = time.Since(begun)
		p.gate.Unlock()
		p.line.wakeAll()
	}()
	f := p.follower
	if f != nil && moves && f.up.Load() && !f.q.drained(p.cfg.Switch) && !force {
		n, bytes, _ := f.q.backlog()
		return 0, errors.Wrapf(ErrSwitch, "%d writes (%d bytes) have not arrived at the %s within %v", n, bytes, f.side, p.cfg.Switch)
	}
	if moves && !force {
		if err := p.readyLocked(); err != nil {
			return 0, err
		}
	}
	stays := f != nil && to.follows() && !moves
	if f != nil && !stays {
		f.stop()
		p.abandon(f)
		p.follower = nil
	}
	complete, _ := p.completeness()
	whole := complete && p.ledger.count.Load() == 0
	if !stays {
		p.ledger.clear()
	}
	p.mode = to
	p.epoch++
	if moves {
		p.movePushes()
	}
	switch {
	case !to.follows(), stays:
	case moves && f != nil && whole:
		p.setComplete() // who decided has all, and follows now
		p.follower = newFollower(p, to.decider().other())
	default:
		p.incomplete("it was not synced since " + string(from) + " mode")
		p.follower = newFollower(p, to.decider().other())
	}
	if !to.follows() || force && moves {
		p.incomplete(fmt.Sprintf("the mode was changed from %s to %s", from, to))
	}
	p.log.Info("the mode was changed", "from", string(from), "to", string(to), "forced", force, "held", time.Since(begun).String())
	p.report.switched(from, to, time.Since(begun), force)
	return 0, p.save(true)
}

// ready is why the other side cannot decide, as far as that is known without holding clients.
func (p *Proxy) ready() error {
	p.gate.RLock()
	defer p.gate.RUnlock()
	return p.readyLocked()
}

func (p *Proxy) readyLocked() error {
	f := p.follower
	if f == nil {
		return errors.Wrapf(ErrSwitch, "in %s mode the other side has not got the writes", p.mode)
	}
	if complete, why := p.completeness(); !complete {
		return errors.Wrapf(ErrSwitch, "the %s is not complete: %s; sync it", f.side, why)
	}
	if n := p.ledger.count.Load(); n > 0 {
		return errors.Wrapf(ErrSwitch, "%d keys differ", n)
	}
	if !f.up.Load() {
		return errors.Wrapf(ErrSwitch, "the %s cannot be reached", f.side)
	}
	if s := p.report.unmirroredNames(); s != "" {
		return errors.Wrapf(ErrSwitch, "these commands were not mirrored, since nobody knows their keys: %s", s)
	}
	return nil
}

// saved is the document in the store.
type saved struct {
	Mode     Mode   `json:"mode"`
	Complete bool   `json:"complete"`
	Why      string `json:"why,omitempty"`
	// Running is true while the process has not ended as it should.
	Running  bool       `json:"running"`
	Diverged []Diverged `json:"diverged,omitempty"`
}

// save writes the state.
func (p *Proxy) save(running bool) error {
	if p.cfg.State == nil {
		return nil
	}
	s := saved{Mode: p.mode, Running: running}
	s.Complete, s.Why = p.completeness()
	if !running {
		s.Diverged = p.ledger.list(limits.ProxyDivergedKeys)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return errors.Wrap(p.cfg.State.Save(append(b, '\n')), "saving the state")
}

// restore reads the state.
func (p *Proxy) restore() error {
	p.truth.why = "it was never synced"
	if p.cfg.State == nil {
		return p.defaultMode()
	}
	b, err := p.cfg.State.Load()
	if err != nil {
		return errors.Wrap(err, "reading the state")
	}
	if b == nil {
		return p.defaultMode()
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.Wrap(err, "reading the state")
	}
	if _, err := ParseMode(string(s.Mode)); err != nil {
		return errors.Wrap(err, "reading the state")
	}
	if p.cfg.Mode != "" && p.cfg.Mode != s.Mode {
		return errors.Newf("the state says %s mode, the command line %s: leave the mode out, and change it while the proxy runs", s.Mode, p.cfg.Mode)
	}
	p.mode = s.Mode
	p.truth.complete, p.truth.why = s.Complete, s.Why
	if s.Running {
		p.truth.complete, p.truth.why = false, "the process before this one ended without emptying its queue"
	}
	for _, d := range s.Diverged {
		p.ledger.mark(place{d.DB, d.Key}, 0, d.Reason)
	}
	return nil
}

func (p *Proxy) defaultMode() error {
	if p.mode == "" {
		p.mode = RedisOnly
	}
	return nil
}
