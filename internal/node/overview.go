package node

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/admin"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/operator"
	"github.com/stratadb/strata/internal/cluster/placement/load"
	"github.com/stratadb/strata/internal/cluster/remote"
)

var _ admin.Cluster = (*Node)(nil)

// Nodes implements admin.Cluster.
func (n *Node) Nodes(ctx context.Context) []admin.NodeView {
	id := n.store.Identity()
	self := viewOf(n.report())
	self.ID, self.Store = id.Node, id.Store.String()
	if n.cluster == nil {
		return []admin.NodeView{self}
	}
	self.Address, self.Locality = n.cluster.address, n.cluster.locality
	looking, done := context.WithTimeout(ctx, refreshEvery) // what was just changed by this node's clients is seen
	n.cluster.lookNow(looking)
	done()
	known := n.cluster.Nodes()
	others := make([]base.NodeID, 0, len(known))
	for _, other := range known {
		if other != id.Node {
			others = append(others, other)
		}
	}
	reports := n.cluster.client.Reports(ctx, others)
	views := make([]admin.NodeView, 0, len(known))
	for _, other := range known {
		row := n.cluster.node(other)
		if other == id.Node {
			self.Draining = row.Standing == catalog.NodeDraining
			views = append(views, self)
			continue
		}
		var view admin.NodeView
		if r, answered := reports[other]; answered {
			view = viewOf(r)
		}
		view.ID, view.Store, view.Address, view.Locality = other, row.Store, row.Address, row.Locality
		view.Draining = row.Standing == catalog.NodeDraining
		views = append(views, view)
	}
	return views
}

func viewOf(r remote.Report) admin.NodeView {
	v := admin.NodeView{Live: true, Version: r.Version, Uptime: time.Duration(r.UptimeSeconds) * time.Second,
		LogBytes: r.LogBytes, StateBytes: r.StateBytes, DiskFull: r.DiskFull, Sleeping: r.Sleeping, Beats: r.Beats, Clients: r.Clients, Commands: r.Commands}
	for _, p := range r.Replicas {
		v.Replicas = append(v.Replicas, admin.ReplicaView{Range: p.Range, Epoch: p.Epoch, Span: base.Span{Start: p.Start, End: p.End},
			Voters: p.Voters, Learners: p.Learners, Leads: p.Leads, Term: p.Term, Applied: p.Applied, Bytes: p.Bytes, Position: p.Position,
			Reads: p.Reads, Writes: p.Writes, Hot: p.Hot})
	}
	return v
}

// report is what this node says about itself.
func (n *Node) report() remote.Report {
	st := n.store.Stats()
	r := remote.Report{Version: Version(), UptimeSeconds: int64(time.Since(n.started) / time.Second),
		LogBytes: st.Log.SizeBytes, StateBytes: st.State.DiskBytes, DiskFull: st.Full,
		Sleeping: st.Sleep.Sleeping, Beats: int64(st.Sleep.Sent)}
	if s := n.resp.Load(); s != nil {
		r.Clients, r.Commands = s.Traffic()
	}
	for _, p := range n.store.Replicas() {
		out := remote.ReportOf(p, n.store.EstimateSize)
		if x, known := n.care.census.Of(out.Range); known && out.Leads {
			out.Reads, out.Writes = x.Reads, x.Writes
			if x.Hot.Outcome != load.Unknown {
				out.Hot = x.Hot.Outcome.String()
			}
		}
		r.Replicas = append(r.Replicas, out)
	}
	return r
}

// Explain implements admin.Cluster.
func (n *Node) Explain(ctx context.Context, id base.RangeID) (string, error) {
	text, err := n.care.ask(ctx, operator.AskExplain, fmt.Sprint(id))
	if errors.Is(err, remote.ErrRefused) {
		err = catalog.Mistake(err.Error())
	}
	return text, err
}
