package store

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/lsm"
)

// Copy says how much of a range a stopped store has. Of several copies the one with the
// highest last term, and of those with the same the one with the highest last index, has
// every acknowledged write that any of them has.
type Copy struct {
	Range   base.RangeID   `json:"range"`
	Span    base.Span      `json:"-"`
	Start   string         `json:"start"`
	End     string         `json:"end"`
	Epoch   base.Epoch     `json:"epoch"`   // of the state on disk
	Replica base.ReplicaID `json:"replica"` // this one
	// Replicas are all of the range's as of the end of the log.
	Replicas []Member `json:"replicas"`
	// LastIndex and LastTerm are those of the last entry of the log.
	LastIndex base.LogIndex `json:"last_index"`
	LastTerm  base.Term     `json:"last_term"`
	// Commit is the highest index that this copy knows to be acknowledged by a quorum;
	// more may be. Applied is that of the state on disk.
	Commit  base.LogIndex `json:"commit"`
	Applied base.LogIndex `json:"applied"`

	alone bool // it is a quorum
}

// Member is one of the replicas of a range.
type Member struct {
	Node    base.NodeID    `json:"node"`
	Replica base.ReplicaID `json:"replica"`
	Role    string         `json:"role"`
}

// Copies lists the store's replicas as its disk has them, by range.
func (s *Store) Copies() (list []Copy, err error) {
	err = s.state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		state, err := decodeState(st)
		if err != nil {
			return err
		}
		self, found := state.Range.On(s.id.Node)
		if !found {
			return nil
		}
		group := s.log.Group(id)
		last := group.LastIndex()
		term, err := group.Term(last)
		if err != nil {
			return err
		}
		members, alone, err := replica.Follow(state.Range, self.Replica, group, st.Applied)
		if err != nil {
			return err
		}
		hard, _ := group.HardState()
		span := state.Range.Span
		c := Copy{Range: id, Span: span, Start: keyspace.Pretty(span.Start), End: keyspace.Pretty(span.End), Epoch: state.Range.Epoch,
			LastIndex: last, LastTerm: term, Commit: max(hard.Commit, st.Applied), Applied: st.Applied, Replica: self.Replica, alone: alone}
		for _, m := range members {
			c.Replicas = append(c.Replicas, Member{Node: m.Node, Replica: m.Replica, Role: m.Role.String()})
		}
		list = append(list, c)
		return nil
	})
	return list, err
}
