package window

import (
	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
)

// checkWait compares what a snapshot has to wait for with the list of all writes.
func (m *model) checkWait() {
	s := m.base + base.Stamp(rapid.IntRange(0, int(m.stamp-m.base)+1).Draw(m.t, "snapshot"))
	_, open := m.open()
	var want, installed base.Position
	for i, b := range m.batches {
		if b.committed {
			continue
		}
		if b.stamp != 0 && b.stamp <= s || b.stamp == 0 && b.closed {
			want = max(want, b.lastPos)
		}
		for _, x := range m.txns {
			if x.resolved == i && x.commit <= s {
				want, installed = max(want, x.pos), max(installed, x.pos)
			}
		}
	}
	if got := m.w.WaitFor(s, open); got != want {
		m.t.Fatalf("a snapshot at %d waits for %d, want %d", s, got, want)
	}
	if got := m.w.WaitForInstalled(s); got != installed {
		m.t.Fatalf("a snapshot at %d waits for the installed position %d, want %d", s, got, installed)
	}
	m.checkWaitForKey(s)
}

// checkWaitForKey is checkWait for single keys.
func (m *model) checkWaitForKey(s base.Stamp) {
	closed := base.Position(0)
	for _, b := range m.batches {
		if b.closed && rapid.Bool().Draw(m.t, "closed") {
			closed = b.lastPos
		}
	}
	want := map[string]base.Position{}
	wait := func(key string, at int, pos base.Position, own base.Stamp) {
		b := m.batches[at]
		stamp := b.stamp
		if own != 0 {
			stamp = own
		}
		if !b.committed && (stamp != 0 && stamp <= s || stamp == 0 && pos <= closed) {
			want[key] = max(want[key], pos)
		}
	}
	var all []string
	for key, list := range m.versions {
		all = append(all, key)
		for _, v := range list {
			wait(key, v.batch, v.pos, v.own)
		}
	}
	for _, key := range keys {
		all = append(all, key, key+"/some stamp")
	}
	for at, b := range m.batches {
		for _, u := range b.unstamped {
			for _, key := range all {
				if len(key) == len(u.prefix)+base.VersionstampLen && key[:len(u.prefix)] == u.prefix {
					wait(key, at, u.pos, 0)
				}
			}
		}
	}
	for _, c := range m.clears {
		for _, key := range all {
			if c.span.Contains([]byte(key)) {
				wait(key, c.batch, c.pos, c.own)
			}
		}
	}
	for _, key := range all {
		if got := m.w.WaitForKey([]byte(key), s, closed); got != want[key] {
			m.t.Fatalf("a snapshot at %d, with %d closed, waits for position %d of %q, want %d", s, closed, got, key, want[key])
		}
	}
}
