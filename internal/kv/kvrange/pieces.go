package kvrange

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
)

// visitor is shown pairs, and answers false when it has seen enough.
type visitor = func(key, value []byte) bool

// pieces visits a span from its beginning, in reverse from its end. piece visits what one
// range holds of the rest, and answers how much that is.
func pieces(rest base.Span, reverse bool, visit visitor, piece func(rest base.Span, visit visitor) (base.Span, error)) error {
	stopped := false
	each := func(key, value []byte) bool {
		stopped = !visit(key, value)
		return !stopped
	}
	for !rest.Empty() && !stopped {
		done, err := piece(rest, each)
		if err != nil {
			return err
		}
		if reverse {
			rest.End = done.Start
		} else {
			rest.Start = done.End
		}
	}
	return nil
}

// holdsEdge reports whether a range holds the beginning of span, in reverse the end.
func holdsEdge(held, span base.Span, reverse bool) bool {
	if reverse {
		return bytes.Compare(held.Start, span.End) < 0 && bytes.Compare(span.End, held.End) <= 0
	}
	return held.Contains(span.Start)
}
