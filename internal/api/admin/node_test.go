package admin

import (
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
)

// TestNode: what is allowed for a node follows from what it says, and what the others
// say about it.
func TestNode(t *testing.T) {
	n := start(t)
	store := strings.Repeat("b", 32)
	other := catalog.NodeMember(store, 2)
	if err := n.run(func(t kv.Txn) error {
		for id, s := range map[base.NodeID]string{1: strings.Repeat("a", 32), 2: store, 3: strings.Repeat("c", 32)} {
			if err := catalog.WriteNode(t, catalog.Node{ID: id, Store: s, Address: "10.0.0.1:7000"}); err != nil {
				return err
			}
		}
		return catalog.WriteMember(t, catalog.Member{ID: other, Status: catalog.MemberRunning})
	}); err != nil {
		t.Fatal(err)
	}
	standing := n.standing
	say := func(draining bool, voters ...base.NodeID) {
		n.told.say(NodeView{ID: 1, Live: true, Replicas: []ReplicaView{{Range: 1, Voters: voters}}},
			NodeView{ID: 2, Live: true, Draining: draining}, NodeView{ID: 3})
	}
	say(false, 1, 2, 3)
	l := n.line(n.admAt)
	l.script(`
		KR.ADMIN NODE DRAIN        => ERR invalid number of parameters
		KR.ADMIN NODE DRAIN x      => ERR invalid node id
		KR.ADMIN NODE DRAIN 4      => ERR there is no node 4
		KR.ADMIN NODE FROB 2       => ERR unknown operation on a node: FROB
		KR.ADMIN NODE DRAIN 2 DEAD => ERR invalid number of parameters
		KR.ADMIN NODE REMOVE 4     => ERR there is no node 4
		KR.ADMIN NODE REMOVE 2     => ERR node 2 is in use: drain it first
		KR.ADMIN NODE DRAIN 2`)
	if s := standing(2); s != catalog.NodeDraining {
		t.Errorf("drained, it stands %q", s)
	}
	say(true, 1, 2, 3)
	l.script(`
		KR.ADMIN NODE REMOVE 2      => ERR node 2 still holds replicas of 1 ranges
		KR.ADMIN NODE REMOVE 2 DEAD => ERR node 2 answers: it is not dead
		KR.ADMIN NODE REMOVE 3      => ERR node 3 does not answer…
		KR.ADMIN NODE ACTIVATE 2`)
	if s := standing(2); s != catalog.NodeActive {
		t.Errorf("active again, it stands %q", s)
	}

	// The status of a member says the same.
	l.script("KR.ADMIN SET-MEMBER-STATUS " + other + " STOPPED")
	if s := standing(2); s != catalog.NodeDraining {
		t.Errorf("stopped, it stands %q", s)
	}
	l.script("KR.ADMIN SET-MEMBER-STATUS " + other + " RUNNING")
	if s := standing(2); s != catalog.NodeActive {
		t.Errorf("running again, it stands %q", s)
	}

	say(true, 1, 3)
	l.script(`
		KR.ADMIN NODE REMOVE 2
		KR.ADMIN NODE ACTIVATE 2       => ERR there is no node 2
		KR.ADMIN FIND-MEMBER ` + other + ` => ERR Member: ` + other + ` not registered
		KR.ADMIN NODE REMOVE 3 DEAD`)
	if s := standing(3); s != catalog.NodeRemoved {
		t.Errorf("dead, it stands %q", s)
	}
	checkGone(t, n, store, standing)

	// Who joins is not sent to those that are gone.
	l.script("KR.ADMIN JOIN " + strings.Repeat("d", 32) + " 10.0.0.4:7000 => [c1 4 [1 " +
		strings.Repeat("a", 32) + " 10.0.0.1:7000] [4 " + strings.Repeat("d", 32) + " 10.0.0.4:7000]]")
}

// checkGone: node 2 does not come back by itself, and its number is not given again.
func checkGone(t *testing.T, n *node, store string, standing func(base.NodeID) catalog.Standing) {
	t.Helper()
	for _, err := range []error{
		n.run(func(t kv.Txn) error { return catalog.MoveNode(t, catalog.Node{ID: 2, Store: store, Address: "x"}) }),
		n.run(func(t kv.Txn) error { _, err := catalog.JoinNode(t, store, "x", ""); return err }),
	} {
		if err == nil || !strings.Contains(err.Error(), "node 2 was removed") {
			t.Errorf("a removed node comes back: %v", err)
		}
	}
	var fresh catalog.Node
	if err := n.run(func(t kv.Txn) (err error) {
		fresh, err = catalog.JoinNode(t, strings.Repeat("d", 32), "x", "")
		return err
	}); err != nil || fresh.ID != 4 {
		t.Errorf("a new node: %+v, %v", fresh, err)
	}

}

func (n *node) standing(id base.NodeID) (s catalog.Standing) {
	n.t.Helper()
	if err := n.run(func(t kv.Txn) error {
		row, _, err := catalog.ReadNode(t, id)
		s = row.Standing
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// TestReplacedNode: a store that takes another one's place ends that one; asking again
// changes nothing.
func TestReplacedNode(t *testing.T) {
	n := start(t)
	old, next := strings.Repeat("d", 32), strings.Repeat("e", 32)
	join := func(store, replaces string) (joined catalog.Node) {
		t.Helper()
		if err := n.run(func(t kv.Txn) (err error) {
			joined, err = catalog.JoinNode(t, store, "x", replaces)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return joined
	}
	damaged := join(old, "")
	first, again := join(next, old), join(next, old)
	if first.ID == damaged.ID || again != first {
		t.Errorf("in place of %+v came %+v and %+v", damaged, first, again)
	}
	if s := n.standing(damaged.ID); s != catalog.NodeRemoved {
		t.Errorf("replaced, it stands %q", s)
	}
	if err := n.run(func(t kv.Txn) error { _, err := catalog.JoinNode(t, strings.Repeat("f", 32), "x", old); return err }); err == nil ||
		!strings.Contains(err.Error(), "was removed") {
		t.Errorf("a second one in its place: %v", err)
	}
}
