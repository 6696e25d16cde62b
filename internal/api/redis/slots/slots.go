// Package slots is how clients in cluster mode see the cluster: members, and who of them serves
// which hash slots.
package slots

import (
	"slices"

	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/hashslot"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Topology tells clients in cluster mode which member serves which slots.
type Topology interface {
	// Layout is the present state. It is asked for every command of a client in
	// cluster mode, and nobody changes what it has answered.
	Layout() *Layout
}

// Layout is a state of the cluster in the terms of Redis Cluster.
type Layout struct {
	// Epoch grows with every change of the layout.
	Epoch   uint64
	Members []Member
	// Self is the index of this member.
	Self int
	// Spans ascend and do not overlap; two that touch have not the same members. A
	// slot in none of them has no leader.
	Spans []Span
}

// Member is a member of the cluster.
type Member struct {
	// ID is catalog.MemberIDBytes hexadecimal digits.
	ID string
	// External is where clients connect. This member's host may be empty: then it is
	// the address that the client has connected to.
	External catalog.Address
	// Down is true while it is not heard of.
	Down bool
}

// Span is consecutive slots with the same members, which are indexes.
type Span struct {
	model.SlotRange
	Leader   int
	Standbys []int
}

// Layout makes a layout the topology of a cluster that does not change.
func (l *Layout) Layout() *Layout { return l }

var _ Topology = (*Layout)(nil)

// Find finds the span of a slot; nil if the slot has no leader.
func (l *Layout) Find(slot uint16) *Span {
	i, _ := slices.BinarySearchFunc(l.Spans, slot, func(s Span, slot uint16) int { return int(s.Last) - int(slot) })
	if i == len(l.Spans) || slot < l.Spans[i].First {
		return nil
	}
	return &l.Spans[i]
}

// Master is the member that i is a replica of: of the first span that it stands by
// for. One that leads slots, or does nothing, is its own master. A master gives its
// shard its id.
func (l *Layout) Master(i int) int {
	of := i
	for _, s := range l.Spans {
		switch {
		case s.Leader == i:
			return i
		case of == i && slices.Contains(s.Standbys, i):
			of = s.Leader
		}
	}
	return of
}

// Led are the spans that i leads.
func (l *Layout) Led(i int) (spans []Span) {
	for _, s := range l.Spans {
		if s.Leader == i {
			spans = append(spans, s)
		}
	}
	return spans
}

// Member finds a member by its id; -1 if there is none.
func (l *Layout) Member(id []byte) int {
	return slices.IndexFunc(l.Members, func(m Member) bool { return m.ID == string(id) })
}

// Coverage is what CLUSTER INFO tells about the slots.
type Coverage struct{ Assigned, Failing, Leaders int }

// Coverage counts slots and those who lead them.
func (l *Layout) Coverage() (c Coverage) {
	leads := make([]bool, len(l.Members))
	for _, s := range l.Spans {
		n := int(s.Last) - int(s.First) + 1
		c.Assigned += n
		if l.Members[s.Leader].Down {
			c.Failing += n
		}
		if !leads[s.Leader] {
			leads[s.Leader] = true
			c.Leaders++
		}
	}
	return c
}

// OK reports whether every slot has a leader that is there.
func (c Coverage) OK() bool { return c.Assigned == hashslot.Slots && c.Failing == 0 }
