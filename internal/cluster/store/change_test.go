package store_test

import (
	"testing"

	"github.com/stratadb/strata/internal/rangestore/replica"
)

// TestChangeIsToldAtOnce: as soon as the leader knows that the members have changed, the
// others learn it, without a tick between. If it went before that, they would need a quorum of
// the members before.
func TestChangeIsToldAtOnce(t *testing.T) {
	c := startThree(t, false)
	members := func() int { return len(c.leader.Descriptor().Replicas) }
	for _, x := range []replica.Change{
		{Kind: replica.Remove, Replica: 3},
		{Kind: replica.AddLearner, Replica: 4, Node: 3},
	} {
		before := members()
		if err := c.leader.ChangeMembers(x); err != nil {
			t.Fatal(err)
		}
		c.settle()
		if members() == before {
			t.Fatalf("%+v: the leader does not know of it", x)
		}
		if n := len(c.stores[1].Replica(1).Descriptor().Replicas); n != members() {
			t.Errorf("%+v: a follower knows %d members, its leader %d", x, n, members())
		}
	}
}
