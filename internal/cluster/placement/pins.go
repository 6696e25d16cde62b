package placement

import (
	"bytes"
	"slices"
	"sort"

	"github.com/stratadb/strata/internal/base"
)

// policy is what all pins together ask for between two neighbouring bounds.
type policy struct {
	from     []byte
	replicas int
	require  []Tier
	leader   base.NodeID
	voters   []base.NodeID
}

// prefers reports whether the policy has preferred nodes.
func (p *policy) prefers() bool { return p.leader != 0 || len(p.voters) > 0 }

// preferred reports whether node is one of them.
func (p *policy) preferred(node base.NodeID) bool {
	return node == p.leader || slices.Contains(p.voters, node)
}

// policies cuts the keyspace at the bounds of the pins; the first policy begins
// at the empty key.
func policies(pins []Pin, replicas int) []policy {
	bounds := [][]byte{nil}
	for i := range pins {
		bounds = append(bounds, pins[i].Span.Start, pins[i].Span.End)
	}
	slices.SortFunc(bounds, bytes.Compare)
	bounds = slices.CompactFunc(bounds, bytes.Equal)
	table := make([]policy, len(bounds))
	for i, from := range bounds {
		table[i] = policy{from: from, replicas: replicas}
	}
	for i := range pins {
		p := &pins[i]
		first := sort.Search(len(table), func(j int) bool { return bytes.Compare(table[j].from, p.Span.Start) >= 0 })
		for j := first; bytes.Compare(table[j].from, p.Span.End) < 0; j++ {
			table[j].merge(p)
		}
	}
	return table
}

func (p *policy) merge(pin *Pin) {
	if pin.Replicas != 0 {
		p.replicas = pin.Replicas
	}
	if len(pin.Require) > 0 {
		p.require = pin.Require
	}
	if pin.Leader != 0 {
		p.leader = pin.Leader
	}
	if len(pin.Voters) > 0 {
		p.voters = pin.Voters
	}
}

// policyAt is the index of the policy that key falls under.
func policyAt(table []policy, key []byte) int {
	return sort.Search(len(table), func(i int) bool { return bytes.Compare(table[i].from, key) > 0 }) - 1
}
