package node

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/operator"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// care is the node's part in caring for the ranges: it counts what its own have and do,
// carries operators out on those that it leads, and decides while it leads the first one.
type care struct {
	store    *store.Store
	db       *kv.DB
	cluster  *cluster // nil: the node is alone
	census   *census.Census
	operator *operator.Operator
	log      *slog.Logger
}

var _ operator.Cluster = (*care)(nil)

func (n *Node) newCare(c config.Config, db *kv.DB) *care {
	bytes, ops := c.RangeMaxBytes, float64(c.RangeMaxOps)
	if bytes == 0 {
		bytes = math.MaxInt64
	}
	if ops == 0 {
		ops = math.Inf(1)
	}
	k := &care{store: n.store, db: db, cluster: n.cluster, log: n.log,
		census: census.New(n.store, census.Options{SplitBytes: bytes, SplitOps: ops})}
	k.operator = operator.New(k, operator.Options{Self: k.self(), Replicas: c.Replicas, DeadAfter: c.DeadAfter,
		SplitBytes: bytes, SplitOps: ops, MergeAfter: c.RangeMergeAfter, Now: time.Now, Log: n.log})
	if n.cluster != nil {
		remote.ServeStates(n.cluster.transport, k.census.Since)
		remote.ServeOperators(n.cluster.transport, func(ctx context.Context, op placement.Operator) (remote.Done, error) {
			return operator.Carry(ctx, k.store, op)
		})
		remote.ServeQuestions(n.cluster.transport, k.operator.Ask)
	}
	return k
}

// runCare cares until the node stops.
func (n *Node) runCare(k *care) {
	ctx, cancel := context.WithCancel(context.Background())
	n.wait.Go(func() {
		<-n.stop
		cancel()
	})
	n.wait.Go(func() { k.look(n.stop) })
	n.wait.Go(func() { routes{k}.keep(ctx) })
	n.wait.Go(func() { k.operator.Run(ctx) })
}

// look takes the census, more often while replicas come and go.
func (k *care) look(stop <-chan struct{}) {
	const often = 4
	tick := time.NewTicker(census.Every / often)
	defer tick.Stop()
	for n, busy := 0, true; ; n++ {
		if busy || n%often == 0 {
			busy = k.census.Look(time.Now())
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func (k *care) self() base.NodeID { return k.store.Identity().Node }

// Leads implements operator.Cluster.
func (k *care) Leads() bool {
	r := k.store.Range(nil)
	return r != nil && r.Serving()
}

// Nodes implements operator.Cluster.
func (k *care) Nodes() []base.NodeID {
	if k.cluster == nil {
		return []base.NodeID{k.self()}
	}
	return k.cluster.Nodes()
}

// Standing implements operator.Cluster. A node that is drained is about to be removed:
// the number of copies need not count on it.
func (k *care) Standing(id base.NodeID) placement.Standing {
	if k.cluster == nil {
		return placement.Active
	}
	switch k.cluster.node(id).Standing {
	case catalog.NodeDraining:
		return placement.Decommissioning
	case catalog.NodeRemoved:
		return placement.Removed
	}
	return placement.Active
}

// Locality implements operator.Cluster.
func (k *care) Locality(id base.NodeID) placement.Locality {
	if k.cluster == nil {
		return nil
	}
	l, _ := placement.ParseLocality(k.cluster.node(id).Locality) // it was read before it was written
	return l
}

// Ranges implements operator.Cluster.
func (k *care) Ranges(ctx context.Context) ([]base.RangeDescriptor, error) {
	known, err := routes{k}.read(ctx)
	return known.List, err
}

// Heard implements operator.Cluster.
func (k *care) Heard(id base.NodeID) (time.Time, bool) {
	if k.cluster == nil {
		return time.Time{}, false
	}
	return k.cluster.server.Heard(id)
}

// Wishes implements operator.Cluster. The primary of a REDIS shard should lead its slots,
// and its standbys hold them: those of the database that clients in cluster mode see. On
// a node that is alone all is where it is.
func (k *care) Wishes(ctx context.Context, known string) (w operator.Wishes, changed bool) {
	var routes []catalog.ShardRoute
	nodes := uint64(0)
	if k.cluster != nil {
		nodes = k.cluster.changes.Load()
	}
	_, err := k.db.Transact(ctx, func(t kv.Txn) error {
		shards, err := catalog.ShardVersion(t)
		if err != nil {
			return err
		}
		ranges, err := catalog.RangesVersion(t)
		if w.Version = fmt.Sprintf("%x %d %d", shards, ranges, nodes); err != nil || w.Version == known {
			return err
		}
		if w.Bounds, err = catalog.Bounds(t); err == nil && k.cluster != nil {
			routes, err = catalog.ShardRoutes(t)
		}
		return err
	})
	for _, r := range routes {
		p := placement.Pin{Span: base.Span{Start: slotStart(int(r.First)), End: slotStart(int(r.Last) + 1)}, Leader: k.memberNode(r.Primary)}
		for _, m := range r.Standbys {
			if id := k.memberNode(m); id != 0 {
				p.Voters = append(p.Voters, id)
			}
		}
		w.Pins = append(w.Pins, p)
	}
	return w, err == nil && w.Version != known
}

// memberNode is the node that a member is; zero: none.
func (k *care) memberNode(member string) base.NodeID {
	for _, id := range k.cluster.Nodes() {
		if catalog.NodeMember(k.cluster.node(id).Store, id) == member {
			return id
		}
	}
	return 0
}

// States implements operator.Cluster.
func (k *care) States(ctx context.Context, node base.NodeID, since uint64) (census.Report, error) {
	if node == k.self() {
		return k.census.Since(since), nil
	}
	return k.cluster.client.States(ctx, node, since)
}

// Do implements operator.Cluster.
func (k *care) Do(ctx context.Context, at base.NodeID, op placement.Operator) error {
	r := routes{k}
	if op.Kind != placement.Split && op.Kind != placement.Merge {
		_, err := k.carry(ctx, at, op)
		return err
	}
	if at == k.self() {
		if err := r.report(ctx); err != nil {
			return err
		}
	}
	var err error
	if op.Kind == placement.Merge {
		_, err = r.merge(ctx, anyVersion, op.Range, op.Right)
	} else {
		_, err = r.split(ctx, anyVersion, op, func(op placement.Operator) (remote.Done, error) { return k.carry(ctx, at, op) })
	}
	return err
}

// carry has an operator carried out on a node.
func (k *care) carry(ctx context.Context, at base.NodeID, op placement.Operator) (remote.Done, error) {
	if at == k.self() {
		return operator.Carry(ctx, k.store, op)
	}
	return k.cluster.client.Operate(ctx, at, op)
}

const (
	// seekPause is between two tries to find who leads, seekTime how long that may take.
	seekPause = 50 * time.Millisecond
	seekTime  = 5 * time.Second
)

// leaderOf is the node that leads a replica's range as far as is known here, else this one:
// who seeks the leader begins there.
func (k *care) leaderOf(r *replica.Replica) base.NodeID {
	if r != nil && r.Leader() != 0 {
		return r.Leader()
	}
	return k.self()
}

// lead has an operator carried out by the leader of its range, wherever that is.
func (k *care) lead(ctx context.Context, op placement.Operator) (done remote.Done, err error) {
	err = k.seek(ctx, k.leaderOf(k.store.Replica(op.Range)), func(at base.NodeID) (err error) {
		done, err = k.carry(ctx, at, op)
		return err
	})
	return done, err
}

// ask asks the node that cares for all ranges.
func (k *care) ask(ctx context.Context, words ...string) (answer string, err error) {
	err = k.seek(ctx, k.leaderOf(k.store.Range(nil)), func(at base.NodeID) (err error) {
		if at == k.self() {
			answer, err = k.operator.Ask(ctx, words)
		} else {
			answer, err = k.cluster.client.Ask(ctx, at, words)
		}
		return err
	})
	return answer, err
}

// seek tries nodes, first the one given, then those that others name, then all in turn,
// as long as they say that it is another one's business, or cannot be reached.
func (k *care) seek(ctx context.Context, first base.NodeID, try func(at base.NodeID) error) error {
	until := time.Now().Add(seekTime)
	for node, n := first, 0; ; n++ {
		err := try(node)
		other := (*remote.NotLeader)(nil)
		switch {
		case errors.As(err, &other):
			err = errors.Wrap(base.ErrUnavailable, "no leader was found")
		case !errors.Is(err, base.ErrUnavailable):
			return err
		}
		if time.Now().After(until) {
			return err
		}
		nodes := k.Nodes()
		switch {
		case other != nil && other.Leader != 0 && other.Leader != node && n%3 != 2:
			node = other.Leader
			if n == 0 {
				continue
			}
		case len(nodes) > 0:
			node = nodes[n%len(nodes)]
		}
		select {
		case <-ctx.Done():
			return errors.CombineErrors(err, ctx.Err())
		case <-time.After(seekPause):
		}
	}
}
