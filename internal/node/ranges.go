package node

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/kvgrpc"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// routes keeps the rows of the ranges that this node leads, and splits them.
type routes struct {
	store  *store.Store
	db     *kv.DB
	shared bool // with other nodes
}

var _ kvgrpc.Routes = routes{}

func (n *Node) routes(db *kv.DB) routes { return routes{n.store, db, n.cluster != nil} }

// report writes the rows of the ranges that this node leads, if they are not there: the
// first time, and after a split that a crash has interrupted.
func (r routes) report(ctx context.Context) error {
	var led []base.RangeDescriptor
	for _, x := range r.store.Replicas() {
		if x.Serving() {
			led = append(led, x.Descriptor())
		}
	}
	slices.SortFunc(led, func(a, b base.RangeDescriptor) int { return bytes.Compare(a.Span.Start, b.Span.Start) })
	return r.write(ctx, led...)
}

// write writes the rows of ranges, which are in the order of their keys.
func (r routes) write(ctx context.Context, list ...base.RangeDescriptor) error {
	_, err := r.db.Transact(ctx, func(t kv.Txn) error { return catalog.WriteRanges(t, list...) })
	return errors.Wrap(err, "the ranges' rows")
}

// keep reports what this node has begun to lead or has changed, until stop is closed, so
// that any node can tell the routes.
func (r routes) keep(log *slog.Logger, stop <-chan struct{}) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	said := map[base.RangeID]base.Epoch{}
	for {
		news, now := false, map[base.RangeID]base.Epoch{}
		for _, x := range r.store.Replicas() {
			if d := x.Descriptor(); x.Serving() {
				now[d.ID] = d.Epoch
				news = news || said[d.ID] != d.Epoch
			}
		}
		if news {
			if err := r.report(context.Background()); err != nil {
				log.Warn("routes", "error", err)
			} else {
				said = now
			}
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// read reads all rows.
func (r routes) read(ctx context.Context) (c catalog.Ranges, err error) {
	_, err = r.db.Transact(ctx, func(t kv.Txn) (err error) {
		c, err = catalog.ReadRanges(t)
		return err
	})
	return c, err
}

// Routes implements kvgrpc.Routes.
func (r routes) Routes(ctx context.Context) (c kvgrpc.Catalog, err error) {
	if err := r.report(ctx); err != nil {
		return c, err
	}
	known, err := r.read(ctx)
	c.Version = known.Version
	for i := range known.List {
		c.Routes = append(c.Routes, route(&known.List[i]))
	}
	return c, err
}

func route(d *base.RangeDescriptor) kvgrpc.Route {
	return kvgrpc.Route{ID: d.ID, Span: d.Span, Parent: d.Parent}
}

// Split implements kvgrpc.Routes. The rows follow the ranges; a crash in between is
// made up for by the next report.
func (r routes) Split(ctx context.Context, expected uint64, id base.RangeID, key []byte) (s kvgrpc.Split, err error) {
	if x := r.store.Replica(id); r.shared && (x == nil || !x.Serving()) {
		return s, errors.Wrap(kvgrpc.ErrRouteBusy, "another node leads the range")
	}
	if err := r.report(ctx); err != nil {
		return s, err
	}
	key = bytes.Clone(key)
	var right base.RangeID
	if _, err := r.db.Transact(ctx, func(t kv.Txn) (err error) {
		right, err = catalog.BeginSplit(t, expected, id, key)
		return err
	}); err != nil {
		return s, err
	}
	left, other, err := r.store.Split(ctx, id, key, right)
	if errors.Is(err, replica.ErrSplit) {
		err = errors.Wrap(kvgrpc.ErrRouteBusy, err.Error())
	}
	if err != nil {
		return s, err
	}
	if err := r.write(ctx, left, other); err != nil {
		return s, err
	}
	known, err := r.read(ctx)
	return kvgrpc.Split{Version: known.Version, Left: route(&left), Right: route(&other)}, err
}
