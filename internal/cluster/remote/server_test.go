//go:build !fuzzing

package remote

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// cutting is a store whose range is cut right after it was found, as often as there are keys.
type cutting struct {
	*store.Store
	t    *testing.T
	keys []string
}

func (c *cutting) Range(key []byte) *replica.Replica {
	r := c.Store.Range(key)
	if len(c.keys) == 0 {
		return r
	}
	if _, err := r.BeginSplit([]byte(c.keys[0]), base.RangeID(10-len(c.keys))); err != nil {
		c.t.Fatal(err)
	}
	c.keys = c.keys[1:]
	if err := c.Step(); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// quiet takes what is not of interest.
type quiet struct{ loop }

func (quiet) HandleMessage(transport.Kind, transport.MessageHandler) {}
func (quiet) HandleStream(transport.Kind, transport.StreamHandler)   {}

// TestRouteHoldsTheKey: where a range is cut while it is looked for, nobody is told of the side
// that does not hold the key.
func TestRouteHoldsTheKey(t *testing.T) {
	for _, who := range []string{"another node", "the node itself"} {
		s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", Manual: true, OnFatal: func(err error) { t.Errorf("%+v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abandon()
		if err := s.Step(); err != nil {
			t.Fatal(err)
		}
		key, at := []byte("\x04z"), &cutting{Store: s, t: t, keys: []string{"\x04m", "\x04y"}}
		var span base.Span
		if who == "another node" {
			q := &quiet{loop{calls: map[transport.Kind]transport.CallHandler{}}}
			NewServer(at, slog.New(slog.DiscardHandler), q)
			ids := []base.NodeID{1, 4}
			span, err = NewClient(4, q, without{}, func() []base.NodeID { return ids }, slog.New(slog.DiscardHandler)).Span(key)
		} else {
			span, err = (&coordinator.Here{Store: at}).Span(key)
		}
		if err != nil && !errors.Is(err, base.ErrWrongRange) || err == nil && !span.Contains(key) {
			t.Errorf("%s: %v, %v", who, span, err)
		}
	}
}
