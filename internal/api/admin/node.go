package admin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
)

// node changes what is wanted of a node: NODE DRAIN id, NODE ACTIVATE id, and NODE
// REMOVE id [DEAD].
func (a *Admin) node(c *redis.Call) error {
	if len(c.Args) < 4 || len(c.Args) > 5 {
		return errParameters
	}
	number, err := strconv.ParseUint(string(c.Args[3]), 10, 32)
	if err != nil || number == 0 {
		return catalog.Mistake("invalid node id")
	}
	id, what := base.NodeID(number), strings.ToUpper(string(c.Args[2]))
	dead := len(c.Args) == 5 && strings.EqualFold(string(c.Args[4]), "DEAD")
	if len(c.Args) == 5 && (!dead || what != "REMOVE") {
		return errParameters
	}
	standing := catalog.NodeActive
	switch what {
	case "DRAIN":
		standing = catalog.NodeDraining
	case "ACTIVATE":
	case "REMOVE":
		standing = catalog.NodeRemoved
		if err := removable(a.ask(), id, dead); err != nil {
			return err
		}
	default:
		return catalog.Mistake("unknown operation on a node: " + what[:min(len(what), 64)])
	}
	return ok(c, c.Transact(func(t kv.Txn) error {
		if standing == catalog.NodeRemoved {
			if err := a.forget(t, id); err != nil {
				return err
			}
		}
		return catalog.SetStanding(t, id, standing)
	}))
}

// removable refuses to remove a node that is still needed, or may be.
func removable(nodes []NodeView, id base.NodeID, dead bool) error {
	i := slices.IndexFunc(nodes, func(n NodeView) bool { return n.ID == id })
	if i < 0 {
		return catalog.Mistake(fmt.Sprintf("there is no node %d", id))
	}
	held := 0
	for _, r := range rangesOf(nodes) {
		if slices.Contains(r.Voters, id) || slices.Contains(r.Learners, id) {
			held++
		}
	}
	n := &nodes[i]
	switch {
	case n.Live && dead:
		return catalog.Mistake(fmt.Sprintf("node %d answers: it is not dead", id))
	case dead:
		return nil // its copies are made again on others
	case !n.Live:
		return catalog.Mistake(fmt.Sprintf("node %d does not answer: only a node that will never come back is removed as dead", id))
	case !n.Draining:
		return catalog.Mistake(fmt.Sprintf("node %d is in use: drain it first", id))
	case held > 0:
		return catalog.Mistake(fmt.Sprintf("node %d still holds replicas of %d ranges", id, held))
	}
	return nil
}

// forget removes the row of a node's member.
func (a *Admin) forget(t kv.Txn, id base.NodeID) error {
	n, found, err := catalog.ReadNode(t, id)
	if found {
		catalog.RemoveMember(t, catalog.NodeMember(n.Store, n.ID))
	}
	return err
}

// settle makes a node's standing follow the status of its member: one that was stopped
// is drained.
func settle(t kv.Txn, m catalog.Member) error {
	number, err := strconv.ParseUint(m.ID[len(m.ID)-8:], 16, 32)
	if err != nil {
		return nil // an id that was made up has no node
	}
	n, found, err := catalog.ReadNode(t, base.NodeID(number))
	if err != nil || !found || catalog.NodeMember(n.Store, n.ID) != m.ID || n.Standing == catalog.NodeRemoved {
		return err
	}
	n.Standing = catalog.NodeActive
	if m.Status == catalog.MemberStopped {
		n.Standing = catalog.NodeDraining
	}
	return catalog.WriteNode(t, n)
}
