package rowcache

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/stratadb/strata/internal/base"
)

// spansMax is how many invalidated spans are remembered; entries older than the
// oldest one remembered are taken for invalid.
const spansMax = 64

// spanLog holds the latest invalidated spans. Readers look at an immutable state.
type spanLog struct {
	mu    sync.Mutex // held by add
	state atomic.Pointer[spanState]
}

type spanState struct {
	gen   uint64 // of the latest span
	floor uint64 // entries of a generation below are invalid
	spans []spanGen
}

type spanGen struct {
	gen        uint64
	start, end []byte
}

func (l *spanLog) add(span base.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.state.Load()
	next := &spanState{gen: old.gen + 1, floor: old.floor}
	keep := old.spans
	if len(span.Start) == 0 && span.End == nil {
		keep, next.floor = nil, next.gen
	} else {
		if len(keep) == spansMax {
			next.floor = keep[0].gen
			keep = keep[1:]
		}
		next.spans = make([]spanGen, len(keep), len(keep)+1)
		copy(next.spans, keep)
		next.spans = append(next.spans, spanGen{
			gen: next.gen, start: bytes.Clone(span.Start), end: bytes.Clone(span.End),
		})
	}
	l.state.Store(next)
}

// covers reports whether key may have been invalidated after generation gen.
func (st *spanState) covers(key []byte, gen uint64) bool {
	if gen < st.floor {
		return true
	}
	for i := len(st.spans) - 1; i >= 0 && st.spans[i].gen > gen; i-- {
		s := &st.spans[i]
		if bytes.Compare(s.start, key) <= 0 && (s.end == nil || bytes.Compare(key, s.end) < 0) {
			return true
		}
	}
	return false
}
