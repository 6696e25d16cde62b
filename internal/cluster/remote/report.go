package remote

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Report is what a node says about itself to operators. It travels as JSON, so that
// nodes of different versions understand each other's.
type Report struct {
	Version       string          `json:"version"`
	UptimeSeconds int64           `json:"uptime_seconds"`
	LogBytes      int64           `json:"log_bytes"`
	StateBytes    int64           `json:"state_bytes"`
	DiskFull      bool            `json:"disk_full"`
	Sleeping      int             `json:"sleeping"`   // of the replicas
	Beats         int64           `json:"heartbeats"` // of the store that were sent so far
	Clients       int             `json:"clients"`    // over RESP
	Commands      int64           `json:"commands"`   // theirs, so far
	Replicas      []ReplicaReport `json:"replicas"`
}

// ReplicaReport is what a node says about a replica that it holds.
type ReplicaReport struct {
	Range    base.RangeID  `json:"range"`
	Epoch    base.Epoch    `json:"epoch"`
	Start    []byte        `json:"start"`
	End      []byte        `json:"end"`
	Voters   []base.NodeID `json:"voters"`   // those of a joint configuration, too
	Learners []base.NodeID `json:"learners"` // and those that are being demoted
	Leads    bool          `json:"leads"`    // it may answer
	Term     base.Term     `json:"term"`     // of Raft, since when it leads; else zero
	Applied  base.LogIndex `json:"applied"`
	Bytes    int64         `json:"bytes"` // on disk, about
	// Position counts the transactions that have written something.
	Position base.Position  `json:"position"`
	Replica  base.ReplicaID `json:"replica"`
	// Reads and Writes are transactions per second, of a leader. Hot is what is known of
	// where the load could be cut, of a leader whose range has much.
	Reads  float64 `json:"reads,omitempty"`
	Writes float64 `json:"writes,omitempty"`
	Hot    string  `json:"hot,omitempty"`
}

// ReportOf describes a replica.
func ReportOf(r *replica.Replica, bytes func(base.Span) (int64, error)) ReplicaReport {
	d, st := r.Descriptor(), r.Stats()
	_, self := r.ID()
	out := ReplicaReport{Range: d.ID, Epoch: d.Epoch, Start: d.Span.Start, End: d.Span.End, Leads: st.Serving, Term: st.Term, Applied: st.Applied, Replica: self,
		Position: st.Position}
	for _, m := range d.Replicas {
		if m.Role == base.Learner || m.Role == base.Demoting {
			out.Learners = append(out.Learners, m.Node)
		} else {
			out.Voters = append(out.Voters, m.Node)
		}
	}
	if n, err := bytes(d.Span); err == nil { // else the store is closing
		out.Bytes = n
	}
	return out
}

// ServeReports lets others ask for a node's report.
func ServeReports(to transport.Registrar, report func() Report) {
	to.HandleCall(kindReport, func(context.Context, base.NodeID, []byte) ([]byte, error) { return json.Marshal(report()) })
}

// reportTime is how long nodes are waited for.
const reportTime = time.Second

// Reports asks nodes for their reports, all at once. Who does not answer is missing.
func (c *Client) Reports(ctx context.Context, nodes []base.NodeID) map[base.NodeID]Report {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	var wait sync.WaitGroup
	var mu sync.Mutex
	reports := map[base.NodeID]Report{}
	for _, id := range nodes {
		wait.Go(func() {
			var r Report
			b, err := c.call(ctx, id, kindReport, nil)
			if err == nil {
				err = json.Unmarshal(b, &r)
			}
			if err != nil {
				c.log.Debug("no report", "node", id, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			reports[id] = r
		})
	}
	wait.Wait()
	return reports
}
