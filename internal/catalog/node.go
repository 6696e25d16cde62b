package catalog

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Node is a node's row: which store it is, and where other nodes reach it.
type Node struct {
	ID      base.NodeID `json:"-"`
	Store   string      `json:"store"` // hexadecimal
	Address string      `json:"address"`
	Admin   string      `json:"admin,omitempty"` // its door for operators, if it has one
	Client  Address     `json:"client"`          // where RESP clients are told to connect
	// Locality is where the node is (placement.Locality).
	Locality string `json:"locality,omitempty"`
	// Standing is what operators want of the node.
	Standing Standing `json:"standing,omitempty"`
}

// NodeMember is the id of a node as a member: its store and its number.
func NodeMember(store string, id base.NodeID) string { return fmt.Sprintf("%s%08x", store, uint32(id)) }

// Standing is what operators want of a node.
type Standing string

// Standings. A node that was removed keeps its row: its number is never given again.
const (
	NodeActive   Standing = ""
	NodeDraining Standing = "draining"
	NodeRemoved  Standing = "removed"
)

func nodeKey(id base.NodeID) []byte {
	return binary.BigEndian.AppendUint32(nodePrefix(), uint32(id))
}

func nodePrefix() []byte { return []byte{keyspace.Sys, keyspace.SysNode} }

// nodeVersionKey is the row that every change of a node's row writes.
func nodeVersionKey() []byte { return []byte{keyspace.Sys, keyspace.SysNodeVersion} }

// NodesVersion tells states of the nodes' rows apart: reading it costs less than
// reading them.
func NodesVersion(t kv.Reader) (string, error) {
	value, err := t.Get(nodeVersionKey())
	return string(value), err
}

func decodeNode(key, value []byte) (n Node, err error) {
	if len(key) != len(nodeKey(0)) {
		return n, corrupt("node row %q", key)
	}
	n.ID = base.NodeID(binary.BigEndian.Uint32(key[len(nodePrefix()):]))
	if err := json.Unmarshal(value, &n); err != nil {
		return n, corrupt("node row %q: %v", value, err)
	}
	return n, nil
}

// Nodes lists the nodes by id.
func Nodes(t kv.Reader) ([]Node, error) { return rows(t, nodePrefix(), 0, decodeNode) }

// rows decodes the rows whose keys begin with prefix, up to limit if that is not zero.
func rows[T any](t kv.Reader, prefix []byte, limit int, decode func(key, value []byte) (T, error)) (list []T, err error) {
	var bad error
	err = t.Scan(base.PrefixSpan(prefix), kv.ScanOptions{Limit: limit}, func(key, value []byte) bool {
		var row T
		if row, bad = decode(key, value); bad == nil {
			list = append(list, row)
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return list, err
}

// JoinNode gives a store its place among the nodes, the same one whenever it asks,
// and notes its address. The store that it replaces, if it names one, is gone for
// good: its node is removed. One that was removed already has no place to give away.
func JoinNode(t kv.Txn, store, address, replaces string) (Node, error) {
	nodes, err := Nodes(t)
	if err != nil {
		return Node{}, err
	}
	n, next, gone := Node{Store: store, Address: address}, base.NodeID(1), base.NodeID(0)
	for _, other := range nodes {
		switch other.Store {
		case store:
			n = other
			n.Address = address
		case replaces:
			if other.Standing == NodeRemoved {
				gone = other.ID
				break
			}
			other.Standing = NodeRemoved
			if err := WriteNode(t, other); err != nil {
				return Node{}, err
			}
		}
		next = max(next, other.ID+1)
	}
	if n.ID == 0 {
		if gone != 0 {
			return Node{}, removed(gone)
		}
		n.ID = next
	}
	if n.Standing == NodeRemoved {
		return Node{}, removed(n.ID)
	}
	return n, WriteNode(t, n)
}

func removed(id base.NodeID) error {
	return Mistake(fmt.Sprintf("node %d was removed from its cluster: start with an empty data directory and join again", id))
}

// ReadNode reads a node's row; found is false when there is none.
func ReadNode(t kv.Reader, id base.NodeID) (n Node, found bool, err error) {
	value, err := t.Get(nodeKey(id))
	if err != nil || value == nil {
		return Node{}, false, err
	}
	n, err = decodeNode(nodeKey(id), value)
	return n, err == nil, err
}

// MoveNode notes a node's address, unless the node was removed.
func MoveNode(t kv.Txn, n Node) error {
	known, found, err := ReadNode(t, n.ID)
	switch {
	case err != nil:
		return err
	case found && known.Standing == NodeRemoved:
		return removed(n.ID)
	case found:
		n.Standing = known.Standing
	}
	return WriteNode(t, n)
}

// SetStanding changes what operators want of a node.
func SetStanding(t kv.Txn, id base.NodeID, s Standing) error {
	n, found, err := ReadNode(t, id)
	switch {
	case err != nil:
		return err
	case !found || n.Standing == NodeRemoved:
		return Mistake(fmt.Sprintf("there is no node %d", id))
	}
	n.Standing = s
	return WriteNode(t, n)
}

// WriteNode stores a node's row.
func WriteNode(t kv.Txn, n Node) error {
	value, err := json.Marshal(n)
	if err == nil {
		t.Set(nodeKey(n.ID), value)
		t.Atomic(base.OpAdd, nodeVersionKey(), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return err
}

// RemoveOthers removes every node but one: the cluster was recovered from it alone.
func RemoveOthers(t kv.Txn, self base.NodeID) (removed []base.NodeID, err error) {
	nodes, err := Nodes(t)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.ID == self || n.Standing == NodeRemoved {
			continue
		}
		n.Standing = NodeRemoved
		if err := WriteNode(t, n); err != nil {
			return nil, err
		}
		removed = append(removed, n.ID)
	}
	return removed, nil
}
