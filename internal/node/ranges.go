package node

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/kvgrpc"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/operator"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/kv"
)

// routes keeps the rows of the ranges that this node leads, and changes the ranges when
// somebody asks for it.
type routes struct{ *care }

var _ kvgrpc.Routes = routes{}

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

// rowsAtOnce is how many rows a transaction writes.
const rowsAtOnce = 256

// keep writes the rows of what this node has begun to lead or has changed, until ctx ends,
// so that any node can tell the routes. It writes them twice: the first time a right side's
// row may be missing, and the left one's waits for it.
func (r routes) keep(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	version, said := uint64(0), map[base.RangeID]base.Epoch{}
	var again []base.RangeDescriptor
	for {
		news := r.census.Since(version)
		changed := again
		for i := range news.Ranges {
			if d := news.Ranges[i].Descriptor; said[d.ID] != d.Epoch {
				changed = append(changed, d)
			}
		}
		if err := r.writeAll(ctx, changed); ctx.Err() != nil {
			return
		} else if err != nil {
			r.log.Warn("routes", "error", err)
		} else {
			again = nil
			for i := range news.Ranges {
				if d := news.Ranges[i].Descriptor; said[d.ID] != d.Epoch {
					said[d.ID] = d.Epoch
					again = append(again, d)
				}
			}
			version = news.Version
		}
		if err := r.thaw(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("frozen ranges", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// thaw tells the store what the rows say about frozen ranges: their left neighbours may
// have moved to other nodes.
func (r routes) thaw(ctx context.Context) error {
	frozen := r.store.Frozen()
	if len(frozen) == 0 {
		return nil
	}
	var rows []base.RangeDescriptor
	if _, err := r.db.Transact(ctx, func(t kv.Txn) (err error) {
		rows, err = catalog.RangeRows(t)
		return err
	}); err != nil {
		return err
	}
	for i := range frozen {
		for j := range rows {
			if frozen[i].Ends(&rows[j]) != base.Open {
				r.store.Learn(&rows[j])
			}
		}
	}
	return nil
}

func (r routes) writeAll(ctx context.Context, list []base.RangeDescriptor) error {
	slices.SortFunc(list, func(a, b base.RangeDescriptor) int { return bytes.Compare(b.Span.Start, a.Span.Start) })
	for some := range slices.Chunk(list, rowsAtOnce) { // right sides first
		slices.Reverse(some)
		if err := r.write(ctx, some...); err != nil {
			return err
		}
	}
	return nil
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
	return r.list(ctx)
}

func (r routes) list(ctx context.Context) (c kvgrpc.Catalog, err error) {
	known, err := r.read(ctx)
	c.Version = known.Version
	for i := range known.List {
		c.Routes = append(c.Routes, route(&known.List[i]))
	}
	return c, err
}

// watchPause is the least time between two looks at the catalog.
const watchPause = 50 * time.Millisecond

// Watch implements kvgrpc.Routes.
func (r routes) Watch(ctx context.Context, send func(kvgrpc.Catalog) error) error {
	if err := r.report(ctx); err != nil {
		return err
	}
	for last, first := uint64(0), true; ; first = false {
		w := r.db.Watch(catalog.RangesVersionKey())
		c, err := r.list(ctx)
		if err == nil && (first || c.Version != last) {
			last, err = c.Version, send(c)
		}
		if err == nil {
			select {
			case <-w.Changed():
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		w.Close()
		if err != nil {
			return err
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// known refuses ranges that are not in the catalog, and nodes that are not there.
func (r routes) known(ctx context.Context, id base.RangeID, nodes ...base.NodeID) error {
	if err := r.report(ctx); err != nil {
		return err
	}
	c, err := r.read(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(c.List, func(d base.RangeDescriptor) bool { return d.ID == id }) {
		return errors.Wrapf(catalog.ErrNoRange, "range %d", id)
	}
	there := r.Nodes()
	for _, n := range nodes {
		if !slices.Contains(there, n) {
			return errors.Wrapf(kvgrpc.ErrNoNode, "%d", n)
		}
	}
	return nil
}

// Move implements kvgrpc.Routes.
func (r routes) Move(ctx context.Context, id base.RangeID, from, to base.NodeID) error {
	if err := r.known(ctx, id, from, to); err != nil {
		return err
	}
	_, err := r.ask(ctx, operator.AskMove, fmt.Sprint(id), fmt.Sprint(from), fmt.Sprint(to))
	return busy(err)
}

// transferLook is how often Transfer looks, transferTime how long a node may take to lead.
const (
	transferLook = 20 * time.Millisecond
	transferTime = 3 * time.Second
)

// Transfer implements kvgrpc.Routes.
func (r routes) Transfer(ctx context.Context, id base.RangeID, to base.NodeID) error {
	if err := r.known(ctx, id, to); err != nil {
		return err
	}
	if _, err := r.lead(ctx, placement.Operator{Kind: placement.TransferLeader, Range: id, Node: to}); err != nil {
		return busy(err)
	}
	return r.awaitLeader(ctx, id, to)
}

// leads reports, without an error, that a node leads a range.
func (r routes) leads(ctx context.Context, id base.RangeID, node base.NodeID) error {
	_, err := r.carry(ctx, node, placement.Operator{Kind: placement.LeaveJoint, Range: id}) // who carries it out leads
	return err
}

func (r routes) awaitLeader(ctx context.Context, id base.RangeID, to base.NodeID) error {
	for end := time.Now().Add(transferTime); ; {
		err := r.leads(ctx, id, to)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.Wrapf(kvgrpc.ErrRouteBusy, "node %d did not take over: %v", to, err)
		}
		select {
		case <-time.After(transferLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func route(d *base.RangeDescriptor) kvgrpc.Route {
	return kvgrpc.Route{ID: d.ID, Span: d.Span, Parent: d.Parent}
}

// Split implements kvgrpc.Routes.
func (r routes) Split(ctx context.Context, expected uint64, id base.RangeID, key []byte) (s kvgrpc.Split, err error) {
	if err := r.report(ctx); err != nil {
		return s, err
	}
	op := placement.Operator{Kind: placement.Split, Range: id, Key: bytes.Clone(key)}
	done, err := r.split(ctx, expected, op, func(op placement.Operator) (remote.Done, error) { return r.lead(ctx, op) })
	if err != nil {
		return s, busy(err)
	}
	if _, err := r.db.Transact(ctx, func(t kv.Txn) error { return catalog.KeepBound(t, op.Key) }); err != nil {
		return s, err
	}
	known, err := r.read(ctx)
	return kvgrpc.Split{Version: known.Version, Left: route(&done.Left), Right: route(&done.Right)}, err
}

// Merge implements kvgrpc.Routes.
func (r routes) Merge(ctx context.Context, expected uint64, left, right base.RangeID) (m kvgrpc.Merge, err error) {
	if err := r.report(ctx); err != nil {
		return m, err
	}
	both, err := r.merge(ctx, expected, left, right)
	if err != nil {
		return m, busy(err)
	}
	known, err := r.read(ctx)
	return kvgrpc.Merge{Version: known.Version, Route: route(&both)}, err
}

// merge claims what a merge needs, brings leadership of the right range to the left one's
// leader, has it done there, and writes the rows. These follow the ranges, as those of a
// split do.
func (r routes) merge(ctx context.Context, expected uint64, left, right base.RangeID) (both base.RangeDescriptor, err error) {
	if _, err := r.db.Transact(ctx, func(t kv.Txn) error {
		version, err := expect(t, expected)
		if err == nil {
			err = catalog.BeginMerge(t, version, left, right)
		}
		return err
	}); err != nil {
		return both, err
	}
	at := r.leaderOf(r.store.Replica(left))
	if err := r.seek(ctx, at, func(node base.NodeID) error {
		at = node
		return r.leads(ctx, left, node)
	}); err != nil {
		return both, err
	}
	if r.leads(ctx, right, at) != nil {
		if _, err := r.lead(ctx, placement.Operator{Kind: placement.TransferLeader, Range: right, Node: at}); err != nil {
			return both, err
		}
		if err := r.awaitLeader(ctx, right, at); err != nil {
			return both, err
		}
	}
	done, err := r.carry(ctx, at, placement.Operator{Kind: placement.Merge, Range: left, Right: right})
	if err != nil {
		return both, err
	}
	return done.Left, r.write(ctx, done.Left)
}

// anyVersion stands for the version that the catalog has.
const anyVersion = math.MaxUint64

// expect is the version that a change is made for.
func expect(t kv.Reader, version uint64) (uint64, error) {
	if version != anyVersion {
		return version, nil
	}
	return catalog.RangesVersion(t)
}

// busy turns the refusal of a range's leader into the door's words.
func busy(err error) error {
	if errors.Is(err, remote.ErrRefused) {
		return errors.Wrap(kvgrpc.ErrRouteBusy, err.Error())
	}
	return err
}

// split claims what a split needs, has it done, and writes the rows. These follow the
// ranges; a crash in between is made up for by the next report.
func (r routes) split(ctx context.Context, expected uint64, op placement.Operator,
	do func(placement.Operator) (remote.Done, error)) (done remote.Done, err error) {
	if _, err := r.db.Transact(ctx, func(t kv.Txn) error {
		version, err := expect(t, expected)
		if err == nil {
			op.Right, err = catalog.BeginSplit(t, version, op.Range, op.Key)
		}
		return err
	}); err != nil {
		return done, err
	}
	if done, err = do(op); err != nil {
		return done, err
	}
	return done, r.write(ctx, done.Left, done.Right)
}
