package catalog

import (
	"encoding/binary"
	"encoding/json"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Node is a node's row: which store it is, and where other nodes reach it.
type Node struct {
	ID      base.NodeID `json:"-"`
	Store   string      `json:"store"` // hexadecimal
	Address string      `json:"address"`
}

func nodeKey(id base.NodeID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyspace.Sys, keyspace.SysNode}, uint32(id))
}

// NodeSpan holds the rows of all nodes.
func NodeSpan() base.Span { return base.PrefixSpan([]byte{keyspace.Sys, keyspace.SysNode}) }

// DecodeNode reads a row of NodeSpan.
func DecodeNode(key, value []byte) (n Node, err error) {
	if len(key) != 6 {
		return n, corrupt("node row %q", key)
	}
	n.ID = base.NodeID(binary.BigEndian.Uint32(key[2:]))
	if err := json.Unmarshal(value, &n); err != nil {
		return n, corrupt("node row %q: %v", value, err)
	}
	return n, nil
}

// Nodes lists the nodes by id.
func Nodes(t kv.Reader) (nodes []Node, err error) {
	var bad error
	err = t.Scan(NodeSpan(), kv.ScanOptions{}, func(key, value []byte) bool {
		var n Node
		if n, bad = DecodeNode(key, value); bad == nil {
			nodes = append(nodes, n)
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return nodes, err
}

// JoinNode gives a store its place among the nodes, the same one whenever it asks,
// and notes its address.
func JoinNode(t kv.Txn, store, address string) (Node, error) {
	nodes, err := Nodes(t)
	if err != nil {
		return Node{}, err
	}
	n := Node{ID: 1, Store: store, Address: address}
	for _, other := range nodes {
		if other.Store == store {
			n.ID = other.ID
			break
		}
		n.ID = max(n.ID, other.ID+1)
	}
	return n, WriteNode(t, n)
}

// WriteNode stores a node's row.
func WriteNode(t kv.Txn, n Node) error {
	value, err := json.Marshal(n)
	if err == nil {
		t.Set(nodeKey(n.ID), value)
	}
	return err
}
