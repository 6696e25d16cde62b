package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/proxy"
	"github.com/stratadb/strata/test/process"
)

// TestFollowerDies: while the side that follows is dead or does not answer, clients are
// served; when it is back it gets what it missed.
func TestFollowerDies(t *testing.T) {
	m := start(t, proxy.DualWrite, func(m *migration) { m.config.Servers[1].Timeout = 5 * time.Second })
	m.sync()
	end := m.load(4, 6, 2)
	goesOn := func() {
		t.Helper()
		before := m.Report().Commands
		m.until("that clients go on", func() bool { return m.Report().Commands > before+200 })
	}
	goesOn()
	m.node.Kill()
	m.until("that the proxy notices", func() bool { return !m.Report().FollowerUp })
	goesOn()
	m.node = process.Start(t, process.Options{Dir: m.node.Dir, Args: []string{"--resp-addr", m.strata}})
	m.until("that it is back", func() bool { return m.Report().FollowerUp })
	goesOn()
	m.node.Pause()
	goesOn() // beside one that hangs
	m.until("that the proxy notices", func() bool { return !m.Report().FollowerUp })
	m.node.Resume()
	end()
	m.equal()
	if r := m.Report(); r.DivergedEver == 0 || !r.Complete {
		t.Errorf("%d keys were lost on the way; complete %v %s", r.DivergedEver, r.Complete, r.Why)
	}
}

// TestLostInFlight: writes that were sent to a side that died before it answered are made good.
func TestLostInFlight(t *testing.T) {
	m := start(t, proxy.DualWrite)
	m.sync()
	c, ctx := m.client(), context.Background()
	m.node.Pause()
	before := m.Report().Sent
	for i := range 50 {
		c.Set(ctx, fmt.Sprint("k", i), i, 0)
	}
	m.until("that they were sent", func() bool { return m.Report().Sent >= before+50 })
	m.node.Kill()
	m.until("that the proxy notices", func() bool { return !m.Report().FollowerUp })
	m.node = process.Start(t, process.Options{Dir: m.node.Dir, Args: []string{"--resp-addr", m.strata}})
	m.equal()
	if n := m.Report().DivergedEver; n != 50 {
		t.Errorf("%d keys were marked", n)
	}
}

// TestQueueOverflows: what has no room in the queue is remembered by its keys.
func TestQueueOverflows(t *testing.T) {
	m := start(t, proxy.DualWrite, func(m *migration) {
		m.config.QueueItems, m.config.Wait = 50, 10*time.Millisecond
	})
	m.sync()
	m.node.Kill()
	m.until("that the proxy notices", func() bool { return !m.Report().FollowerUp })
	c, ctx := m.client(), context.Background()
	for i := range 300 {
		for range 2 {
			if err := c.Incr(ctx, fmt.Sprint("k", i)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := m.Report(); r.Overflowed == 0 || r.DivergedNow < 200 || r.QueueItems > 50 {
		t.Errorf("%d overflowed, %d diverged, %d queued", r.Overflowed, r.DivergedNow, r.QueueItems)
	}
	if _, err := m.SetMode(proxy.StrataPrimary, false); err == nil {
		t.Error("Strata was made to decide without having the data")
	}
	m.node = process.Start(t, process.Options{Dir: m.node.Dir, Args: []string{"--resp-addr", m.strata}})
	m.equal()
	m.setMode(proxy.StrataPrimary)
}

// memory is a store.
type memory struct{ b []byte }

func (s *memory) Load() ([]byte, error) { return s.b, nil }
func (s *memory) Save(b []byte) error   { s.b = append([]byte(nil), b...); return nil }

// TestState: the mode outlives the process, and one that did not end as it should leaves
// the other side incomplete.
func TestState(t *testing.T) {
	state := &memory{}
	m := start(t, proxy.DualWrite, func(m *migration) { m.config.State = state })
	m.sync()
	c, ctx := m.client(), context.Background()
	c.Set(ctx, "a", 1, 0)
	m.settle()
	m.setMode(proxy.StrataPrimary)
	crashed := append([]byte(nil), state.b...)
	m.stop()
	if !strings.Contains(string(state.b), `"running": false`) {
		t.Errorf("after the end the state is %s", state.b)
	}
	if _, err := proxy.Start(m.config, nil); err == nil {
		t.Error("a mode other than the state's was taken")
	}
	m.config.Mode = ""
	m.open()
	if r := m.Report(); r.Mode != proxy.StrataPrimary || !r.Complete {
		t.Errorf("after a clean end: %s, complete %v", r.Mode, r.Complete)
	}
	m.stop()
	state.b = crashed
	m.open()
	if r := m.Report(); r.Mode != proxy.StrataPrimary || r.Complete {
		t.Errorf("after a crash: %s, complete %v", r.Mode, r.Complete)
	}
	if _, err := m.SetMode(proxy.DualWrite, false); err == nil {
		t.Error("Redis was made to decide without having the data")
	}
	m.sync()
	m.setMode(proxy.DualWrite)
	m.equal()
}

// TestDeciderDies: the client hears it; what it wrote is copied if nobody knows whether it
// was executed.
func TestDeciderDies(t *testing.T) {
	m := start(t, proxy.StrataPrimary, func(m *migration) { m.config.Servers[1].Timeout = 5 * time.Second })
	m.sync()
	c, ctx := m.client(), context.Background()
	if err := c.Set(ctx, "a", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	m.node.Pause()
	if err := c.Incr(ctx, "a").Err(); err == nil {
		t.Error("a write was answered by nobody")
	}
	if r := m.Report(); r.DivergedNow != 1 {
		t.Errorf("%d keys are marked", r.DivergedNow)
	}
	m.node.Resume()
	m.node.Kill()
	if err := c.Get(ctx, "a").Err(); err == nil || !strings.Contains(err.Error(), "secondary") {
		t.Errorf("a read without a server: %v", err)
	}
	m.node = process.Start(t, process.Options{Dir: m.node.Dir, Args: []string{"--resp-addr", m.strata}})
	m.until("an answer", func() bool { return c.Incr(ctx, "a").Err() == nil })
	m.equal()
}
