package replica

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// merger lays a page of the window over the rows of the disk.
type merger struct {
	items   []window.Item
	gone    []base.Span // in scan order
	reverse bool
	visit   func(key, value []byte) bool
	stopped bool
	buried  int // rows of gone[0] that were read
}

// buriedRows is how many rows in a span that was deleted a scan reads before it looks
// behind the span: that costs about as much.
const buriedRows = 64

// before reports whether a comes before b in scan order.
func (m *merger) before(a, b []byte) bool {
	if m.reverse {
		a, b = b, a
	}
	return bytes.Compare(a, b) < 0
}

// row takes the next row of the disk. Its memory is copied when it is visited.
func (m *merger) row(key, value []byte) bool {
	for len(m.items) > 0 && m.before(m.items[0].Key, key) {
		if !m.item() {
			return false
		}
	}
	if len(m.items) > 0 && bytes.Equal(m.items[0].Key, key) {
		if m.items[0].State != window.Unknown {
			return m.item()
		}
		m.items = m.items[1:]
	}
	if m.isGone(key) {
		m.buried++
		return m.buried < buriedRows
	}
	m.buried = 0
	kv := make([]byte, 0, len(key)+len(value))
	kv = append(append(kv, key...), value...)
	n := len(key)
	m.stopped = !m.visit(kv[:n:n], kv[n:])
	return !m.stopped
}

func (m *merger) isGone(key []byte) bool {
	for len(m.gone) > 0 {
		g := m.gone[0]
		if g.Contains(key) {
			return true
		}
		past := bytes.Compare(g.End, key) <= 0
		if m.reverse {
			past = bytes.Compare(key, g.Start) < 0
		}
		if !past {
			return false
		}
		m.gone = m.gone[1:]
	}
	return false
}

// begin is span without what is deleted at its beginning.
func (m *merger) begin(span base.Span) base.Span {
	if len(m.gone) > 0 && bytes.Equal(m.near(m.gone[0]), m.near(span)) {
		return m.behind(span)
	}
	return span
}

// behind is what is left of span behind the deleted one in which the scan was given up, and
// behind those that adjoin it.
func (m *merger) behind(span base.Span) base.Span {
	for {
		g := m.gone[0]
		m.gone = m.gone[1:]
		edge := g.End
		if m.reverse {
			edge = g.Start
			span.End = edge
		} else {
			span.Start = edge
		}
		if len(m.gone) == 0 || !bytes.Equal(edge, m.near(m.gone[0])) {
			return span
		}
	}
}

// near is the end of a span that a scan meets first.
func (m *merger) near(s base.Span) []byte {
	if m.reverse {
		return s.End
	}
	return s.Start
}

// item visits the window's next item and reports whether to go on.
func (m *merger) item() bool {
	it := m.items[0]
	m.items = m.items[1:]
	if it.State != window.Present {
		return true
	}
	m.stopped = !m.visit(it.Key, it.Value)
	return !m.stopped
}

// rest visits what the window has behind the disk's last row.
func (m *merger) rest() {
	for len(m.items) > 0 && m.item() {
	}
}
